"""How far the score moves when nothing changes but the photograph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from masi_vision.config import Settings
from masi_vision.phantom.capture import Capture
from masi_vision.phantom.distractor import Distractor, distraction
from masi_vision.photo import Photo
from masi_vision.training.cache import prepare
from masi_vision.training.phantom_photos import Scene, drawn_melasma, people_to_plant, photographed
from masi_vision.training.pigment_export import Sittings
from masi_vision.visit.models import Models
from masi_vision.visit.score import Scores, score_photo

PEOPLE = 20
CAPTURES: dict[str, Capture] = {
    "exposure x 0.7": Capture(exposure=0.7),
    "exposure x 1.3": Capture(exposure=1.3),
    "white balance, red +15 %": Capture(balance=(1.15, 1.0, 1.0)),
    "white balance, red -15 %": Capture(balance=(0.85, 1.0, 1.0)),
    "white balance, blue +15 %": Capture(balance=(1.0, 1.0, 1.15)),
    "white balance, blue -15 %": Capture(balance=(1.0, 1.0, 0.85)),
    "JPEG 70": Capture(jpeg_quality=70),
    "JPEG 95": Capture(jpeg_quality=95),
    "half resolution": Capture(scale=0.5),
    "rotation 5 degrees": Capture(turn_deg=5.0),
    "rotation -5 degrees": Capture(turn_deg=-5.0),
}
MIRRORED = "mirrored, which swaps the sides"
LAID_ON: dict[str, Distractor] = {"planted redness": "redness", "light from one side": "turned_light"}


def invariance_table(sittings: Sittings, models: Models, settings: Settings) -> str:
    """Mean and largest change of mMASI against the plain photograph of the same phantom."""
    faces = people_to_plant(prepare(sittings.faces, sittings.cache), sittings.split)
    changes: dict[str, list[tuple[float, float]]] = {name: [] for name in (*CAPTURES, MIRRORED, *LAID_ON)}
    done = 0
    for face in faces:
        if done == PEOPLE:
            break
        rng = np.random.default_rng((sittings.seed, 77, int(face.id)))
        melasma, _ = drawn_melasma(face, models.face.atlas, sittings.families, rng)
        scene = Scene(face, melasma)
        plain = scored(scene, Capture(), models, settings)
        if plain is None:
            continue
        done += 1
        shape = (melasma.lesion.shape[0], melasma.lesion.shape[1])
        others = {what: (scene, capture) for what, capture in {**CAPTURES, MIRRORED: Capture()}.items()} | {
            what: (replace(scene, extra=distraction(kind, shape, rng)), Capture())
            for what, kind in LAID_ON.items()
        }
        for what, (seen, capture) in others.items():
            found = scored(seen, capture, models, settings, mirrored=what == MIRRORED)
            if found is not None:
                pair = (
                    abs(found.mmasi - plain.mmasi),
                    abs(found.mmasi_continuous - plain.mmasi_continuous),
                )
                changes[what].append(pair)
    lines = [
        f"| what changes ({done} planted people) | mMASI, mean change | largest | continuous, mean change "
        "| not scored |",
        "| --- | --- | --- | --- | --- |",
    ]
    for what, pairs in changes.items():
        graded, continuous = np.array(pairs).reshape(-1, 2).T
        shown = f"{graded.mean():.2f} | {graded.max():.1f} | {continuous.mean():.2f}" if pairs else " | | "
        lines.append(f"| {what} | {shown} | {done - len(pairs)} |")
    return "\n".join(lines)


def scored(
    scene: Scene, capture: Capture, models: Models, settings: Settings, *, mirrored: bool = False
) -> Scores | None:
    """Scores of one photograph of a scene; None if it is not scored."""
    pixels = photographed(scene, models.face.atlas, capture, np.random.default_rng(5))
    if mirrored:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    return score_photo(Photo.from_srgb(pixels, name=scene.face.id), settings, models=models).scores
