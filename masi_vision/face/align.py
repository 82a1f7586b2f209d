"""The aligned frame: every face laid over the mean face, and back.

Triangles between the landmarks carry the photo's skin into the frame (piecewise affine). What a triangle
takes to the frame, the same triangle takes back; only along folds, where on a turned head one triangle
hides another, do some pixels come back elsewhere. Triangles that face away from the camera carry nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.face.atlas import FaceAtlas, Floats, with_forehead

Window = tuple[int, int, int, int]
"""(top, left, bottom, right) in pixels, bottom and right exclusive."""

_MOST_STRETCH = 2.0  # skin seen at more than 60 degrees is measured badly: it counts no more than there
_FACET_WIDTH = 0.02  # of the frame's width: over so much the normals of triangles are smoothed
_SHIFT = 4  # fractional bits of the corners handed to cv2.fillConvexPoly


@dataclass(frozen=True)
class _FrameGrid:
    """What each pixel of the aligned frame is made of; the same for every photo."""

    triangle: npt.NDArray[np.int32]  # (H, W), -1 outside the mesh
    inside: npt.NDArray[np.int64]  # flat numbers of the pixels inside the mesh
    corners: npt.NDArray[np.int32]  # (P, 3) nodes
    weights: Floats  # (P, 3) barycentric

    @cached_property
    def by_corner(self) -> tuple[list[Floats], list[npt.NDArray[np.int32]]]:
        """The three weights and the three nodes of all pixels, each in one piece."""
        columns = range(3)
        return (
            [np.ascontiguousarray(self.weights[:, k]) for k in columns],
            [np.ascontiguousarray(self.corners[:, k]) for k in columns],
        )


@lru_cache(maxsize=4)
def _grid(atlas: FaceAtlas) -> _FrameGrid:
    height, width = atlas.labels.shape
    order = np.arange(len(atlas.triangles))
    triangle = _paint(atlas.nodes[atlas.triangles], order, (0, 0, height, width))
    inside = np.flatnonzero(triangle >= 0)
    of = triangle.ravel()[inside]
    points = np.stack([inside % width, inside // width], axis=1).astype(np.float32)
    weights = _barycentric(atlas.nodes[atlas.triangles][of], points)
    return _FrameGrid(triangle, inside, atlas.triangles[of], weights)


@lru_cache(maxsize=4)
def skin_area(atlas: FaceAtlas) -> Floats:
    """Skin of the mean face behind each pixel of the aligned frame, (H, W), in pixels; 0 outside the mesh.

    Notes
    -----
    The frame shows the mean face from the front, where a pixel of the side of a cheek stands for more skin
    than one of the forehead. Per triangle, area by the mean landmarks in three dimensions over its area as
    seen, at most 2: beyond 60 degrees neither depth nor colour is sure.
    """
    corners = with_forehead(atlas.landmark_mean)[atlas.triangles].astype(np.float64)
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    seen = np.maximum(np.abs(across[:, 2]), 1e-12)
    stretch = np.minimum(np.linalg.norm(across, axis=1) / seen, _MOST_STRETCH)
    triangle = _grid(atlas).triangle
    area = np.where(triangle >= 0, stretch[triangle], 0).astype(np.float32)
    area.flags.writeable = False
    return area


@lru_cache(maxsize=4)
def surface_normals(atlas: FaceAtlas) -> Floats:
    """Where the skin of the mean face turns to, (H, W, 3), of length 1; 0 outside the mesh.

    Notes
    -----
    In the axes of `FaceAtlas.landmark_mean`, out of the face: x < 0 on the patient's right. Per triangle of
    the mean landmarks, smoothed over 2 % of the frame's width: what catches light is no facet.
    """
    corners = with_forehead(atlas.landmark_mean)[atlas.triangles].astype(np.float64)
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    across *= -np.sign(across[:, 2:]) / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    triangle = _grid(atlas).triangle
    facets = np.where(triangle[..., None] >= 0, across[triangle], 0).astype(np.float32)
    smooth = cv2.GaussianBlur(facets, (0, 0), _FACET_WIDTH * triangle.shape[1])
    length = np.maximum(np.linalg.norm(smooth, axis=2, keepdims=True), 1e-6)
    normals = np.where(triangle[..., None] >= 0, smooth / length, 0).astype(np.float32)
    normals.flags.writeable = False
    return normals


def _barycentric(corners: Floats, points: Floats) -> Floats:
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac, ap = b - a, c - a, points - a
    area = _cross(ab, ac)
    v = _cross(ap, ac) / area
    w = _cross(ab, ap) / area
    return np.stack([1 - v - w, v, w], axis=1).astype(np.float32)


def _cross(u: Floats, v: Floats) -> Floats:
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]


def _paint(corners: Floats, order: npt.NDArray[np.int64], window: Window) -> npt.NDArray[np.int32]:
    """Number of the triangle that covers each pixel of the window, -1 for none; later ones cover earlier."""
    top, left, bottom, right = window
    picture = np.full((bottom - top, right - left), -1, np.int32)
    fixed = np.round((corners - (left, top)) * (1 << _SHIFT)).astype(np.int32)
    for number in order:
        cv2.fillConvexPoly(picture, fixed[number], int(number), cv2.LINE_8, _SHIFT)
    return picture


@dataclass(frozen=True)
class Alignment:
    """One face laid over the mean face.

    Parameters
    ----------
    atlas : FaceAtlas
        The aligned frame.
    landmarks : (478, 3) float32
        The face's landmarks in pixels of the photo; z grows away from the camera.
    """

    atlas: FaceAtlas
    landmarks: Floats

    @property
    def nodes(self) -> Floats:
        """(504, 3) landmarks and forehead nodes in pixels of the photo."""
        return with_forehead(self.landmarks)

    def facing(self) -> npt.NDArray[np.float32]:
        """(T,) photo area of each triangle per frame area; zero or less where it faces away."""
        corners = self.nodes[:, :2][self.atlas.triangles]
        mean = self.atlas.nodes[self.atlas.triangles]
        return _signed_area(corners) / _signed_area(mean)

    def squareness(self) -> npt.NDArray[np.float32]:
        """How squarely the camera sees each pixel of the aligned frame, (H, W); 0 outside or facing away.

        Notes
        -----
        Cosine between the normal of the triangle, by the landmarks' depth, and the line to the camera: 1 for
        skin seen straight on, and so many photo pixels per area of skin in proportion.
        """
        corners = self.nodes[self.atlas.triangles].astype(np.float64)
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        cosine = np.abs(normal[:, 2]) / np.maximum(np.linalg.norm(normal, axis=1), 1e-12)
        cosine[self.facing() <= 0] = 0
        triangle = _grid(self.atlas).triangle
        return np.where(triangle >= 0, cosine[triangle], 0).astype(np.float32)

    def photo_positions(self, *, hidden: bool = False) -> Floats:
        """(H, W, 2) photo x, y of every pixel of the aligned frame; NaN outside.

        Parameters
        ----------
        hidden : bool
            Say also where what faces away from the camera lies behind the rest; else it is NaN.
        """
        return self._all_positions if hidden else self._photo_positions

    @cached_property
    def _photo_positions(self) -> Floats:
        grid = _grid(self.atlas)
        positions = self._all_positions.copy()
        away = self.facing()[grid.triangle.ravel()[grid.inside]] <= 0
        positions.reshape(-1, 2)[grid.inside[away]] = np.nan
        positions.flags.writeable = False
        return positions

    @cached_property
    def _all_positions(self) -> Floats:
        grid = _grid(self.atlas)
        height, width = self.atlas.labels.shape
        positions = np.full((height * width, 2), np.nan, np.float32)
        xy = np.ascontiguousarray(self.nodes[:, :2])
        carried = np.empty((len(grid.inside), 2), np.float32)
        for axis in range(2):  # one axis at a time: NumPy is slow along an axis of two
            at = np.ascontiguousarray(xy[:, axis])
            first, second, third = (
                weight * at[corner] for weight, corner in zip(*grid.by_corner, strict=True)
            )
            carried[:, axis] = first + second + third
        positions[grid.inside] = carried
        positions.flags.writeable = False
        return positions.reshape(height, width, 2)

    def frame_positions(self, window: Window) -> Floats:
        """(h, w, 2) frame x, y of every photo pixel in the window; NaN where no facing triangle lies.

        Where triangles overlap, as on a turned head, the one nearest to the camera is taken.
        """
        top, left, bottom, right = window
        corners = self.nodes[self.atlas.triangles]
        facing = np.flatnonzero(self.facing() > 0)
        far_first = facing[np.argsort(-corners[facing, :, 2].mean(axis=1), kind="stable")]
        triangle = _paint(corners[:, :, :2], far_first, window)
        nowhere = np.full((1, 2, 3), np.nan, np.float32)  # the last: where the number is -1
        affine = _affine(corners[:, :, :2], self.atlas.nodes[self.atlas.triangles])
        ways = np.ascontiguousarray(np.concatenate([affine, nowhere]).transpose(1, 2, 0))
        x = np.arange(left, right, dtype=np.float32)
        y = np.arange(top, bottom, dtype=np.float32)[:, None]
        return np.stack(
            [of_x[triangle] * x + of_y[triangle] * y + shift[triangle] for of_x, of_y, shift in ways], axis=2
        )

    def to_frame(self, picture: npt.NDArray[np.generic], *, nearest: bool = False) -> npt.NDArray[np.generic]:
        """Carry a picture of the photo's size into the aligned frame; what is hidden becomes 0."""
        return _remap(picture, self.photo_positions(), nearest)

    def to_photo(
        self, picture: npt.NDArray[np.generic], window: Window, *, nearest: bool = False
    ) -> npt.NDArray[np.generic]:
        """Carry a picture of the aligned frame back onto a window of the photo; off the face it is 0."""
        return _remap(picture, self.frame_positions(window), nearest)


def _remap(picture: npt.NDArray[np.generic], positions: Floats, nearest: bool) -> npt.NDArray[np.generic]:
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    outside = np.nan_to_num(positions, nan=-1e4)
    return np.asarray(cv2.remap(picture, outside, None, how, borderMode=cv2.BORDER_CONSTANT, borderValue=0))


def _signed_area(corners: Floats) -> npt.NDArray[np.float32]:
    return np.asarray(_cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2, np.float32)


def _affine(source: Floats, target: Floats) -> Floats:
    """(T, 2, 3) affine maps that take each source triangle to its target."""
    ones = np.ones((*source.shape[:2], 1), np.float64)
    system = np.concatenate([source.astype(np.float64), ones], axis=2)
    flat = np.abs(np.linalg.det(system)) < 1e-9
    system[flat] = np.eye(3)
    return np.linalg.solve(system, target.astype(np.float64)).transpose(0, 2, 1).astype(np.float32)
