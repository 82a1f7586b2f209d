"""Whole photographs of phantoms, measured as a user's photos are, beside their truth.

Each person is photographed four times: clear, clear again, planted, and planted after treatment, each time in
another light and position. The face models find face and regions; truth follows through the camera.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.config import Settings
from masi_vision.evaluation.photo_figures import tone_of_pixels
from masi_vision.face.align import Alignment, skin_area
from masi_vision.face.atlas import SUBUNIT_OF_REGION, FaceAtlas, Floats
from masi_vision.labels.dataset import Split
from masi_vision.phantom.capture import Capture, draw_capture, taken
from masi_vision.phantom.colour import (
    colour_from_depth,
    colour_from_lab_shift,
    delta_l_of,
    density_for_delta_l,
)
from masi_vision.phantom.distractor import Distraction, Distractor, distraction
from masi_vision.phantom.melasma import Melasma, draw_melasma, no_melasma
from masi_vision.phantom.pattern import Distribution, HeldOutPattern, Pattern
from masi_vision.phantom.plant import transmitted
from masi_vision.photo import Photo, srgb_to_linear
from masi_vision.pigment.map import undecided
from masi_vision.pigment.measure import integrated_od
from masi_vision.scale import MasiRegion
from masi_vision.skin.density import optical_density
from masi_vision.training.cache import TrainingSet
from masi_vision.training.data import LabelledFace
from masi_vision.training.moved_lamp import draw_lamp, moved_lamp_photo
from masi_vision.training.pigment_data import in_colour
from masi_vision.training.turned_head import turned_photo
from masi_vision.visit.laid_over import face_in_frame, laid_over
from masi_vision.visit.measure import PhotoMeasures, measure_photo
from masi_vision.visit.models import Models

Mask = npt.NDArray[np.bool_]
Families = Literal["training", "held out"]
State = Literal["clear", "again", "planted", "treated"]

_LEAST_SKIN_PX = 3000


@dataclass(frozen=True)
class Scene:
    """A person before the camera: a face, what is planted on it, what else lies on it, where the lamp stands.

    ``lamp_deg`` is how far from where it stood in the face's own photograph, see `moved_lamp_photo`.
    """

    face: LabelledFace
    melasma: Melasma
    extra: Distraction | None = None
    lamp_deg: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One photograph of a phantom, found and laid over the mean face, with its truth there.

    Parameters
    ----------
    state : {"clear", "again", "planted", "treated"}
    distractor : str
        Its kind; "none" without one.
    delta_l : float
        How much darker full pigment makes this skin, in L*.
    linear : (H, W, 3) float32
    lesion, density_od : (H, W)
        Truth in the frame of the measures.
    graded : frozenset of str
        Regions of which enough skin is visible.
    scene : Scene
    scene_xy : (H, W, 2) float32
        Which point of the scene, in its pixels, each pixel of the frame shows; far outside where none.
    """

    person: str
    tone: str
    state: State
    distractor: str
    delta_l: float
    linear: Floats
    measures: PhotoMeasures
    lesion: Mask
    density_od: Floats
    graded: frozenset[str]
    scene: Scene
    scene_xy: Floats

    @property
    def codes(self) -> npt.NDArray[np.uint8]:
        """Subunit of every pixel of visible skin."""
        return self.measures.codes

    @cached_property
    def light_range_od(self) -> float:
        """How far light and shade lie apart: 10th to 90th percentile of density over the visible skin."""
        density = optical_density(self.linear[self.codes > 0]).mean(axis=1)
        low, high = np.percentile(density, (10, 90))
        return float(high - low)

    @property
    def face_px(self) -> float:
        """Width of the face in pixels of the photograph."""
        return self.measures.face.face_width_px / self.measures.photo.scale


@dataclass(frozen=True)
class Row:
    """One estimate of one region of MASI beside its truth.

    Parameters
    ----------
    light_range_od : float
        How far light and shade lie apart on the photograph.
    face_px : float
        Width of the face on the photograph.
    integrated_od, true_integrated_od : float
        Mean of the density over the region, estimated (less what the map is undecided of) and planted.
    region_px, both_px, either_px : int
        Visible skin; lesion pixels found and true at once; found and true, added.
    undecided_fraction : float or None
        As of `RegionMeasure`; None where the estimator knows no doubt.
    clear_fraction : float or None
        As of `ChangeMap`, of a change between visits laid over each other; else None.
    """

    estimator: str
    person: str
    tone: str
    state: State
    distractor: str
    delta_l: float
    light_range_od: float
    face_px: float
    region: MasiRegion
    fraction: float
    contrast_od: float
    integrated_od: float
    true_fraction: float
    true_contrast_od: float
    true_integrated_od: float
    region_px: int
    both_px: int
    either_px: int
    undecided_fraction: float | None = None
    clear_fraction: float | None = None


def can_be_planted(face: LabelledFace) -> bool:
    """In colour, with enough visible skin."""
    return in_colour(face.pixels) and bool((face.labels > 0).sum() >= _LEAST_SKIN_PX)


def people_to_plant(data: TrainingSet, split: Split) -> list[LabelledFace]:
    """The people of a split who are seen from the front and can be planted, in the order of the index."""
    faces = [face for face in data.faces if data.split[face.id] == split and face.view == "frontal"]
    return [data.labelled[face.id] for face in faces if can_be_planted(data.labelled[face.id])]


def four_pictures(
    face: LabelledFace, models: Models, settings: Settings, families: Families, rng: np.random.Generator
) -> list[Picture]:
    """The four photographs of one person; at the second visit of either the lamp stands elsewhere.

    Raises
    ------
    NotScorable
        One of them cannot be measured.
    """
    melasma, delta_l = drawn_melasma(face, models.face.atlas, families, rng)
    shape = (melasma.lesion.shape[0], melasma.lesion.shape[1])
    left = np.full(shape, rng.uniform(0, 1), np.float32)
    clear = no_melasma(shape)
    states: dict[State, Melasma] = {
        "clear": clear,
        "again": clear,
        "planted": melasma,
        "treated": melasma.after_treatment(left),
    }
    kind: Distractor | None = rng.choice(get_args(Distractor)) if rng.random() < 0.5 else None
    extra = distraction(kind, shape, rng) if kind else None
    (of_lamp,) = rng.spawn(1)
    lamp_deg = draw_lamp(of_lamp)
    lamps = {"again": lamp_deg, "treated": lamp_deg}
    return [
        picture_of(
            Scene(face, planted, extra, lamps.get(state, (0.0, 0.0))),
            draw_capture(rng),
            models,
            settings,
            rng,
            state=state,
            distractor=str(kind or "none"),
            delta_l=delta_l,
        )
        for state, planted in states.items()
    ]


def drawn_melasma(
    face: LabelledFace, atlas: FaceAtlas, families: Families, rng: np.random.Generator
) -> tuple[Melasma, float]:
    """Melasma of this person's own, and its full dL*."""
    skin = np.median(srgb_to_linear(face.pixels[face.labels > 0][None]), axis=(0, 1))
    skin = np.maximum(skin, 0.02).astype(np.float32)
    if families == "held out":
        colour = colour_from_depth(float(rng.random()))
        patterns: tuple[Pattern | HeldOutPattern, ...] = get_args(HeldOutPattern)
    else:
        colour, patterns = colour_from_lab_shift(skin, rng), get_args(Pattern)
    delta_l = float(np.exp(rng.uniform(np.log(3), np.log(15))))
    distribution: Distribution = rng.choice(get_args(Distribution), p=[0.45, 0.35, 0.2, 0, 0])
    pattern: Pattern | HeldOutPattern = rng.choice(patterns)
    density = min(0.5, density_for_delta_l(skin, colour, delta_l))
    delta_l = min(
        delta_l, delta_l_of(skin, colour, density)
    )  # on dark skin the densest is fainter than drawn
    symmetric = bool(rng.random() < 0.8)
    shape = (atlas.labels.shape[0], atlas.labels.shape[1])
    return draw_melasma(shape, distribution, pattern, colour, density, rng, symmetric=symmetric), delta_l


def photographed(
    scene: Scene, atlas: FaceAtlas, capture: Capture, rng: np.random.Generator, *, yaw_deg: float = 0.0
) -> npt.NDArray[np.uint8]:
    """The photograph of a scene, 8-bit sRGB, its head turned from where it was photographed."""
    linear = srgb_to_linear(scene.face.pixels)
    window = (0, 0, *linear.shape[:2])
    over = Alignment(atlas, scene.face.landmarks)
    light = linear * transmitted(np.asarray(over.to_photo(scene.melasma.taken_od, window), np.float32))
    if scene.extra is not None:
        added = np.asarray(over.to_photo(scene.extra.added_light, window), np.float32)
        on_photo = Distraction(
            np.asarray(over.to_photo(scene.extra.taken_od, window), np.float32),
            added.reshape(*light.shape[:2], 1),
        )
        light = on_photo.laid_on(light)
    if any(scene.lamp_deg):
        light = moved_lamp_photo(np.asarray(light, np.float32), scene.face.landmarks, atlas, scene.lamp_deg)
    if yaw_deg:
        light = turned_photo(np.asarray(light, np.float32), scene.face.landmarks, atlas, yaw_deg)
    return taken(np.asarray(light, np.float32), capture, rng)


def picture_of(
    scene: Scene,
    capture: Capture,
    models: Models,
    settings: Settings,
    rng: np.random.Generator,
    *,
    state: State = "planted",
    distractor: str = "none",
    delta_l: float = 0.0,
) -> Picture:
    """Take the photograph, measure it, and carry the truth into the frame of the measures."""
    face, atlas = scene.face, models.face.atlas
    photo = Photo.from_srgb(photographed(scene, atlas, capture, rng), name=face.id)
    measures = measure_photo(photo, "front", settings, models)
    shape = face.pixels.shape[:2]
    back = np.linalg.inv(np.vstack([capture.placed(shape), [0, 0, 1]]))[:2]
    at = measures.face.alignment.photo_positions() @ back[:, :2].T.astype(np.float32) + back[:, 2]
    at = np.nan_to_num(at, nan=-1e4).astype(np.float32)
    lesion, density = (
        seen_at(part, face, atlas, at)
        for part in (scene.melasma.lesion.astype(np.float32), scene.melasma.density_od)
    )
    graded = frozenset(
        name
        for name, one in measures.regions.items()
        if one is not None and one.visible_fraction >= settings.quality.visible_fraction.fail
    )
    return Picture(
        person=face.id,
        tone=tone_of_pixels(face.pixels[face.labels > 0]),
        state=state,
        distractor=distractor,
        delta_l=delta_l,
        linear=measures.corrected_rgb,
        measures=measures,
        lesion=lesion > 0.5,
        density_od=density,
        graded=graded,
        scene=scene,
        scene_xy=at,
    )


def seen_at(planted: Floats, face: LabelledFace, atlas: FaceAtlas, scene_xy: Floats) -> Floats:
    """What is planted (H, W), in the frame of a face, at points of the scene in its pixels: (h, w)."""
    window = (0, 0, *face.pixels.shape[:2])
    on_scene = np.asarray(Alignment(atlas, face.landmarks).to_photo(planted, window), np.float32)
    return np.asarray(cv2.remap(on_scene, scene_xy, None, cv2.INTER_LINEAR), np.float32)


def planted_change_od(before: Picture, after: Picture, atlas: FaceAtlas) -> Floats:
    """By how much the pigment of every pixel of the first frame changed, whatever lies over it: (H, W)."""
    scene = after.scene
    return seen_at(scene.melasma.density_od, scene.face, atlas, before.scene_xy) - before.density_od


def rows_of(
    picture: Picture, estimator: str, lesion: Mask, density_od: Floats, probability: Floats | None = None
) -> Iterator[Row]:
    """An estimate beside the truth, by region of MASI that would be graded.

    Parameters
    ----------
    density_od : (H, W) float32
        0 where the estimator sees no pigment: its mean is the integrated pigment.
    """
    area = skin_area(picture.measures.face.atlas).astype(np.float64)
    for name, subunit in SUBUNIT_OF_REGION.items():
        if name not in picture.graded:
            continue
        region = picture.codes == subunit
        found, truth = lesion & region, picture.lesion & region
        weight = np.where(region, area, 0)
        unsure = None
        if probability is not None:
            unsure = float((weight * undecided(probability)).sum() / weight.sum())
        fraction, contrast, mean = _amounts(found, density_od, weight)
        true_fraction, true_contrast, true_mean = _amounts(truth, picture.density_od, weight)
        yield Row(
            estimator=estimator,
            person=picture.person,
            tone=picture.tone,
            state=picture.state,
            distractor=picture.distractor,
            delta_l=picture.delta_l,
            light_range_od=picture.light_range_od,
            face_px=picture.face_px,
            region=name,
            fraction=fraction,
            contrast_od=contrast,
            integrated_od=integrated_od(mean, unsure or 0.0),
            true_fraction=true_fraction,
            true_contrast_od=true_contrast,
            true_integrated_od=true_mean,
            region_px=int(region.sum()),
            both_px=int((found & truth).sum()),
            either_px=int(found.sum() + truth.sum()),
            undecided_fraction=unsure,
        )


CHANGE = "change, visits laid over each other"


def change_rows(before: Picture, after: Picture, atlas: FaceAtlas, settings: Settings) -> Iterator[Row]:
    """The change between two photographs laid over each other, as pigment of the one that has more of it.

    Both rows of a region are of the skin that both photographs show, in the baseline's frame, where that is
    enough to be compared: the difference of ``integrated_od`` is the change found, that of
    ``true_integrated_od`` the one planted. Nothing found beside them has a meaning.
    """
    least = settings.quality.visible_fraction.fail
    comparison = laid_over(face_in_frame(before.measures), face_in_frame(after.measures), atlas)
    if not comparison.aligned(settings.quality.registration_residual):
        return
    change = comparison.change
    there = before.density_od + planted_change_od(before, after, atlas)
    nothing, area = np.zeros_like(before.density_od), skin_area(atlas).astype(np.float64)
    first, second = (
        {
            row.region: replace(row, clear_fraction=change.clear_fraction)
            for row in rows_of(picture, CHANGE, nothing > 0, nothing)
        }
        for picture in (before, after)
    )
    for name, subunit in SUBUNIT_OF_REGION.items():
        common = (before.codes == subunit) & change.skin
        weight = np.where(common, area, 0)
        if name not in first or name not in second:
            continue
        if weight.sum() < least * area[atlas.labels == subunit].sum():
            continue
        found, *planted = (
            float((weight * one).sum() / weight.sum()) for one in (change.change_od, before.density_od, there)
        )
        yield replace(first[name], integrated_od=max(-found, 0.0), true_integrated_od=planted[0])
        yield replace(second[name], integrated_od=max(found, 0.0), true_integrated_od=planted[1])


def _amounts(lesion: Mask, density: Floats, weight: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Fraction, contrast and mean density of a region, its pixels weighted by skin."""
    contrast = float(np.median(density[lesion])) if lesion.any() else 0.0
    skin = weight.sum()
    return float(weight[lesion].sum() / skin), contrast, float((weight * density).sum() / skin)
