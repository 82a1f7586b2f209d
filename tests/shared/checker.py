"""A ColorChecker as tests draw it: a table of its own, and the card on grey cloth."""

import cv2
import numpy as np

# 8-bit sRGB of the card, by colour-science 0.4.7: XYZ_to_RGB of its ColorChecker24 after November 2014,
# Bradford; row by row from dark skin.
CARD_SRGB = np.array(
    [
        *([116, 79, 65], [197, 144, 127], [91, 120, 155], [91, 108, 64], [131, 127, 175], [95, 189, 172]),
        *([224, 124, 48], [69, 90, 167], [197, 80, 95], [93, 58, 104], [156, 187, 58], [227, 161, 39]),
        *([40, 62, 145], [61, 147, 70], [178, 54, 57], [236, 200, 15], [191, 79, 146], [0, 133, 165]),
        *([241, 242, 235], [201, 202, 201], [161, 163, 163], [121, 121, 121], [83, 84, 85], [50, 50, 50]),
    ]
)


def photograph(patches, *, turn_deg=0.0, patch_px=40, size=(700, 500), mirrored=False):
    """A card of 8-bit patches on grey cloth, in its black frame."""
    card = np.full((5 * 48, 7 * 48, 3), 45, np.uint8)
    for i, colour in enumerate(np.reshape(patches, (4, 6, 3)).reshape(24, 3)):
        top, left = 24 + 48 * (i // 6), 24 + 48 * (i % 6)
        card[top + 3 : top + 45, left + 3 : left + 45] = colour
    if mirrored:
        card = np.ascontiguousarray(card[:, ::-1])
    onto = cv2.getRotationMatrix2D((7 * 24 - 0.5, 5 * 24 - 0.5), turn_deg, patch_px / 48)
    onto[:, 2] += np.array(size) / 2 - [7 * 24, 5 * 24]
    picture = np.full((size[1], size[0], 3), 140, np.uint8)
    return cv2.warpAffine(card, onto, size, picture, cv2.INTER_AREA, cv2.BORDER_TRANSPARENT)
