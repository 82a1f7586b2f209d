"""The networks: one finds the face in the photo, one draws its regions and landmarks, one its pigment.

The first two take sRGB in [0, 1] and standardize it themselves, so that exposure drops out before the
first filter and the exported models need no companion arithmetic. The third takes what
`masi_vision.pigment.learned` makes of a face in the aligned frame, where exposure has dropped out already.
"""

from __future__ import annotations

from masi_vision.training import torchvision_compat  # isort: skip

import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from torch import Tensor, nn

from masi_vision.errors import SettingsError
from masi_vision.face.atlas import N_LANDMARKS, Subunit
from masi_vision.pigment.learned import INPUT_CHANNELS
from masi_vision.training.experiment import OURS

torchvision_compat.make_importable()

FINDER_POINTS = 6


def check_names(architecture: str, encoder: str) -> None:
    """Refuse architectures and encoders that are not to be had.

    Raises
    ------
    SettingsError
    """
    zoo = smp.base.SegmentationModel
    architectures = [n for n, one in vars(smp).items() if isinstance(one, type) and issubclass(one, zoo)]
    if architecture != OURS and architecture.lower() not in map(str.lower, architectures):
        raise SettingsError(
            f"model.architecture: found {architecture!r}. Expected {OURS} or one of "
            f"{', '.join(architectures)}."
        )
    if not encoder.startswith("tu-") and encoder not in smp.encoders.encoders:
        raise SettingsError(
            f"model.encoder: found {encoder!r}. Expected one of segmentation-models-pytorch, such as "
            "resnet18 or efficientnet-b0, or tu- and the name of one of timm."
        )


class _UNet(nn.Module):
    """A segmentation-models-pytorch encoder of depth 4 with U-Net blocks up to half resolution."""

    def __init__(
        self, encoder: str, channels: tuple[int, ...], *, in_channels: int = 3, weights: str | None = None
    ) -> None:
        super().__init__()
        self.encoder = smp.encoders.get_encoder(encoder, in_channels=in_channels, depth=4, weights=weights)
        if hasattr(self.encoder, "layer4"):  # ResNets keep the stage that depth 4 never runs
            self.encoder.layer4 = nn.Identity()
        widths = self.encoder.out_channels
        inputs, skips = [widths[-1], *channels[:-1]], list(widths[1:-1])[::-1]
        self.blocks = nn.ModuleList(
            UnetDecoderBlock(i, s, o) for i, s, o in zip(inputs, skips, channels, strict=False)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Bottleneck, then the output of every block."""
        features = self.encoder(image)
        out = [features[-1]]
        for block, skip in zip(self.blocks, features[1:-1][::-1], strict=False):
            out.append(block(out[-1], skip.shape[-2], skip.shape[-1], skip))
        return out


def _standardized(image: Tensor) -> Tensor:
    mean = image.mean(dim=(1, 2, 3), keepdim=True)
    spread = (image - mean).square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return (image - mean) / (spread + 0.02)


class FaceFinder(nn.Module):
    """Coarse pass: is there a face, and where are six of its points.

    ``forward`` maps (B, 3, 128, 128) to presence logits (B,) and heat maps (B, 6, 32, 32), stride 4.
    """

    def __init__(self, encoder: str = "tu-mobilenetv3_small_100", weights: str | None = None) -> None:
        super().__init__()
        self.unet = _UNet(encoder, (64, 32), weights=weights)
        width = self.unet.encoder.out_channels[-1]
        self.presence = nn.Sequential(nn.Linear(2 * width, 64), nn.ReLU(), nn.Linear(64, 1))
        self.heat = nn.Conv2d(32, FINDER_POINTS, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Presence logits and heat maps."""
        features = self.unet(_standardized(image))
        bottom = features[0]
        pooled = torch.cat([bottom.mean(dim=(2, 3)), bottom.amax(dim=(2, 3))], dim=1)
        return self.presence(pooled)[:, 0], self.heat(features[-1])


class ZooFinder(nn.Module):
    """The same by an architecture of segmentation-models-pytorch."""

    def __init__(self, architecture: str, encoder: str, weights: str | None) -> None:
        super().__init__()
        head = {"classes": 1, "pooling": "avg"}
        self.zoo = _from_zoo(architecture, encoder, weights, 3, FINDER_POINTS, aux_params=head)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Presence logits and heat maps."""
        heat, presence = self.zoo(_standardized(image))
        return presence[:, 0], nn.functional.avg_pool2d(heat, 4)


class _Reader(nn.Module):
    """From heat maps of ``len(anchors)`` landmarks to all 478.

    By soft-argmax, spread to all by one linear map, which starts as the ridge regression of training shapes.
    """

    def __init__(self, anchors: list[int]) -> None:
        super().__init__()
        self.anchors = anchors
        self.spread = nn.Linear(2 * len(anchors), 3 * N_LANDMARKS)

    def _landmarks(self, heat: Tensor, size: float) -> tuple[Tensor, Tensor]:
        """Landmarks (B, 478, 3) and anchors (B, A, 2), px, from heat maps at a quarter of the size."""
        anchors = soft_argmax(heat.float(), stride=4)
        flat = (anchors / size - 0.5).flatten(1)
        return (self.spread(flat).float().reshape(-1, N_LANDMARKS, 3) + 0.5) * size, anchors


class FaceReader(_Reader):
    """Fine pass: subunits on visible skin and all landmarks of an upright face crop.

    ``forward`` maps (B, 3, S, S) to region logits (B, 7, S, S), landmarks (B, 478, 3) and the anchors' own
    positions (B, A, 2), in crop pixels.
    """

    def __init__(self, anchors: list[int], encoder: str = "resnet18", weights: str | None = None) -> None:
        super().__init__(anchors)
        self.unet = _UNet(encoder, (128, 64, 48), weights=weights)
        self.regions = nn.Conv2d(48, len(Subunit), 3, padding=1)
        self.heat = nn.Conv2d(64, len(anchors), 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Region logits, landmarks and anchors."""
        features = self.unet(_standardized(image))
        logits = nn.functional.interpolate(
            self.regions(features[3]).float(), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        landmarks, anchors = self._landmarks(self.heat(features[2]), float(image.shape[-1]))
        return logits, landmarks, anchors


class ZooReader(_Reader):
    """The same by an architecture of segmentation-models-pytorch, a map for each region and anchor."""

    def __init__(self, architecture: str, encoder: str, weights: str | None, anchors: list[int]) -> None:
        super().__init__(anchors)
        self.zoo = _from_zoo(architecture, encoder, weights, 3, len(Subunit) + len(anchors))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Region logits, landmarks and anchors."""
        drawn = self.zoo(_standardized(image))
        heat = nn.functional.avg_pool2d(drawn[:, len(Subunit) :], 4)
        landmarks, anchors = self._landmarks(heat, float(image.shape[-1]))
        return drawn[:, : len(Subunit)].float(), landmarks, anchors


class PigmentReader(nn.Module):
    """Lesion and pigment of a face in the aligned frame.

    ``forward`` maps (B, 15, H, W), as `masi_vision.pigment.learned.network_input` makes it, to lesion logits
    and density in units of 0.1 OD, (B, 2, H, W); the density is never negative. Beside its input the network
    sees how far each pixel is from its mirror image: light from one side shows there, and so does a patch.

    An encoder with its U-Net blocks up to half the size; three small convolutions draw the borders at full.
    """

    def __init__(self, encoder: str = "resnet18", weights: str | None = None) -> None:
        super().__init__()
        seen = INPUT_CHANNELS + 3
        self.unet = _UNet(encoder, (128, 64, 48), in_channels=seen, weights=weights)
        self.fine = nn.Sequential(_filtered(48 + seen, 32), _filtered(32, 32), nn.Conv2d(32, 2, 1))

    def forward(self, frame: Tensor) -> Tensor:
        """Lesion logits and density."""
        seen = _with_mirror(frame)
        features = _enlarged(self.unet(seen)[-1], seen)
        both = self.fine(torch.cat([features, seen], dim=1)).float()
        return torch.stack([both[:, 0], nn.functional.softplus(both[:, 1])], dim=1)


class ZooPigmentReader(nn.Module):
    """The same by an architecture of segmentation-models-pytorch, the frame padded to what it can halve."""

    def __init__(self, architecture: str, encoder: str, weights: str | None) -> None:
        super().__init__()
        self.zoo = _from_zoo(architecture, encoder, weights, INPUT_CHANNELS + 3, 2)

    def forward(self, frame: Tensor) -> Tensor:
        """Lesion logits and density."""
        seen = _with_mirror(frame)
        height, width = seen.shape[-2:]
        padded = nn.functional.pad(seen, (0, -width % 32, 0, -height % 32))
        both = self.zoo(padded)[..., :height, :width].float()
        return torch.stack([both[:, 0], nn.functional.softplus(both[:, 1])], dim=1)


def _from_zoo(
    architecture: str, encoder: str, weights: str | None, inputs: int, outputs: int, **more: object
) -> nn.Module:
    return smp.create_model(
        architecture, encoder, encoder_weights=weights, in_channels=inputs, classes=outputs, **more
    )


def _with_mirror(frame: Tensor) -> Tensor:
    """The frame, its density off the skin taken away, and how far each pixel is from its mirror image."""
    skin = frame[:, 3:4]
    density = frame[:, :3] * skin
    uneven = (density - density.flip(-1)) * skin.flip(-1)
    return torch.cat([density, frame[:, 3:], uneven], dim=1)


def _filtered(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def _enlarged(picture: Tensor, like: Tensor) -> Tensor:
    """A picture at the size of another."""
    size = like.shape[-2:]
    return nn.functional.interpolate(picture, size=size, mode="bilinear", align_corners=False)


def soft_argmax(heat: Tensor, *, stride: int) -> Tensor:
    """Expected position of each heat map, (B, A, 2) as x, y in pixels of the input image."""
    _, _, height, width = heat.shape
    weight = heat.flatten(2).softmax(dim=2).unflatten(2, (height, width))
    columns = torch.arange(width, device=heat.device, dtype=torch.float32)
    rows = torch.arange(height, device=heat.device, dtype=torch.float32)
    x = (weight.sum(dim=2) * columns).sum(dim=2)
    y = (weight.sum(dim=3) * rows).sum(dim=2)
    return (torch.stack([x, y], dim=2) + 0.5) * stride - 0.5
