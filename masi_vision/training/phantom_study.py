"""Writes a study that never was: photographs of patients by visits, truth apart, reads by made readers."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import cv2
import numpy as np

from masi_vision.config import Settings
from masi_vision.csv_table import csv_text
from masi_vision.errors import OutputError, SettingsError, reason_of
from masi_vision.face.align import Alignment, skin_area
from masi_vision.face.atlas import SUBUNIT_OF_REGION, FaceAtlas
from masi_vision.face.models import ATLAS, read_atlas
from masi_vision.names import View
from masi_vision.phantom.capture import draw_capture
from masi_vision.phantom.cohort import (
    VISITS,
    Arm,
    Codes,
    Patient,
    Reader,
    allocation,
    draw_patient,
    draw_readers,
    draw_skin,
    read,
    truth_of,
)
from masi_vision.phantom.melasma import RegionTruth
from masi_vision.photo import srgb_to_linear
from masi_vision.scale import ABSENT, MASI_REGIONS, MasiRegion, RegionGrade, area_grade, darkness_grade, mmasi
from masi_vision.shipped import shipped_file
from masi_vision.training.faces import load_faces, load_polygons, split_by_person
from masi_vision.training.labels import label_face
from masi_vision.written import write_file, writing

if TYPE_CHECKING:
    from masi_vision.training.data import LabelledFace

# What photographs need, PyTorch among it, is imported where they are made: tables alone do without.
TRUTH, READS, STUDY = "truth.csv", "reads.csv", "phantom.json"
_READERS = 3
_TURN_DEG: dict[View, float] = {"front": 0.0, "right": 40.0, "left": -40.0}
_REGIONS: dict[MasiRegion, int] = {name: int(subunit) for name, subunit in SUBUNIT_OF_REGION.items()}


@dataclass(frozen=True)
class StudyPlan:
    """What to make: how many patients, in which arms, from which seed; how often photographed, from where."""

    patients: int
    seed: int
    arms: tuple[Arm, ...]
    visits: int = VISITS
    views: tuple[View, ...] = ("front",)

    def __post_init__(self) -> None:
        """Refuse a study without patients, or without an outcome."""
        if self.patients < 1:
            raise ValueError(f"patients must be at least 1, got {self.patients}")
        if self.visits < 2:
            raise ValueError(f"visits must be at least 2, got {self.visits}")


def write_study(plan: StudyPlan, faces: Path | None, out: Path, settings: Settings) -> dict[str, int]:
    """Write ``out`` (photographs), ``out-truth`` (arms, truth, reads) and say how many of each.

    Parameters
    ----------
    faces : Path or None
        Folder of face photographs with landmarks; None makes truth and reads without photographs.

    Raises
    ------
    OutputError
        A folder is there already.
    SettingsError
        There are too few usable faces.
    """
    out = out.resolve()  # . has no name
    apart = out.with_name(f"{out.name}-truth")
    for folder in (out, apart):
        if folder.exists():
            raise OutputError(f"{folder} is there already. Expected a new folder. Name another with --out.")
    of_trial, of_faces, *of_patients = np.random.SeedSequence(plan.seed).spawn(2 + plan.patients)
    rng = np.random.default_rng(of_trial)
    atlas = read_atlas(shipped_file("models", ATLAS))
    arms, readers = allocation(plan.patients, plan.arms, rng), draw_readers(_READERS, rng)
    drawn = np.random.default_rng(of_faces)
    people = _photographed(faces, atlas, plan, drawn) if faces else _imagined(atlas, plan, drawn)
    with writing(apart):
        apart.mkdir(parents=True)
    rows: list[dict[str, object]] = []
    reads: list[dict[str, object]] = []
    photos = 0
    for number, (arm, (face, codes, skin)) in enumerate(zip(arms, people, strict=True)):
        own = np.random.default_rng(of_patients[number])
        (of_lamps,) = own.spawn(1)
        patient = draw_patient(f"P{number + 1:03d}", arm, skin, atlas.labels, _REGIONS.values(), own)
        for place in range(plan.visits):
            visit, melasma = f"visit-{place + 1}", patient.at(place, plan.visits)
            truth = truth_of(melasma, codes, _REGIONS, skin_area(atlas))
            rows += _truth_rows(patient, visit, truth, settings)
            reads += _read_rows(patient, visit, truth, readers, settings, own)
            if face is not None:
                from masi_vision.training.moved_lamp import draw_lamp
                from masi_vision.training.phantom_photos import Scene, photographed

                lamp_deg = draw_lamp(of_lamps)
                for view in plan.views:
                    scene, turn = Scene(face, melasma, lamp_deg=lamp_deg), _TURN_DEG[view]
                    pixels = photographed(scene, atlas, draw_capture(own), own, yaw_deg=turn)
                    _write_photo(out / patient.name / visit / f"{view}.jpg", pixels)
                    photos += 1
    truth_text = csv_text([*rows[0]], rows)
    write_file(apart / TRUTH, truth_text)
    write_file(apart / READS, csv_text([*reads[0]], reads))
    salt = secrets.token_hex(16)
    write_file(apart / STUDY, json.dumps(asdict(plan) | {"salt": salt}, indent=1) + "\n")
    if photos:
        facts = {  # without the seed, which tells the arms; and no hash by which a guess of it is confirmed
            "phantom": "synthetic faces with planted pigment; no patient",
            "patients": plan.patients,
            "salted_truth_sha256": hashlib.sha256((salt + truth_text).encode()).hexdigest(),
        }
        write_file(out / STUDY, json.dumps(facts, indent=1) + "\n")
    return {"patients": plan.patients, "photos": photos, "reads": len(reads) // len(MASI_REGIONS)}


Person = tuple["LabelledFace | None", Codes, np.ndarray]
"""Face, visible subunits in the aligned frame, skin colour."""


def _photographed(folder: Path, atlas: FaceAtlas, plan: StudyPlan, rng: np.random.Generator) -> list[Person]:
    """Frontal faces in colour, each one patient; of the test part, to which no model was fitted.

    Those with an even look come first: the others are taken where there are not enough of them.
    """
    from masi_vision.training.data import LabelledFace
    from masi_vision.training.phantom_photos import can_be_planted

    if not (folder / "index.csv").is_file():
        raise SettingsError(
            f"{folder} holds no index.csv. Expected a folder of face photographs with landmarks, as "
            "docs/phantom.md says; without --faces there are truth and reads alone."
        )
    try:
        faces, polygons = load_faces(folder), load_polygons(folder)
        split = split_by_person(faces)
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise SettingsError(
            f"{folder} cannot be read ({reason_of(error)}). Expected index.csv, landmarks.npz, atlas.json "
            "and photos/ as docs/phantom.md describes them. Correct the folder."
        ) from error
    frontal = [face for face in faces if face.view == "frontal" and split[face.id] == "test"]
    even, other = ([face for face in frontal if face.even_frontal == wanted] for wanted in (True, False))
    chosen = [some[place] for some in (even, other) for place in rng.permutation(len(some))]
    people: list[Person] = []
    for face in chosen:
        if len(people) == plan.patients:
            break
        pixels = face.read()
        labels = label_face(face, pixels, atlas, polygons)
        labelled = LabelledFace(face.id, pixels, labels, face.landmarks, face.yaw_deg)
        codes = np.asarray(Alignment(atlas, face.landmarks).to_frame(labels, nearest=True), np.uint8)
        if can_be_planted(labelled) and all((codes == code).sum() > 500 for code in _REGIONS.values()):
            skin = np.median(srgb_to_linear(pixels[labels > 0][None]), axis=(0, 1))
            people.append((labelled, codes, skin.astype(np.float32)))
    if len(people) < plan.patients:
        raise SettingsError(
            f"{folder} holds {len(people)} usable faces. Expected {plan.patients}, one for each patient. "
            "Ask for fewer with --patients."
        )
    return people


def _imagined(atlas: FaceAtlas, plan: StudyPlan, rng: np.random.Generator) -> list[Person]:
    """Skin of every tone, no photographs."""
    return [(None, atlas.labels, draw_skin(rng)) for _ in range(plan.patients)]


def _grades(truth: dict[MasiRegion, RegionTruth], settings: Settings) -> dict[MasiRegion, RegionGrade]:
    scale, grades = settings.scale, {}
    for name in MASI_REGIONS:
        true = truth.get(name)
        area = _area(true, settings) if true else 0
        dark = darkness_grade(true.contrast_od, scale.darkness_cut_points_od) if true and area else 0
        grades[name] = RegionGrade(area, dark, 0) if area else ABSENT
    return grades


def _area(true: RegionTruth, settings: Settings) -> int:
    scale = settings.scale
    return area_grade(true.pigmented_fraction, noise_floor=scale.noise_floor, edges=scale.area_cut_points)


def _truth_rows(
    patient: Patient, visit: str, truth: dict[MasiRegion, RegionTruth], settings: Settings
) -> Iterator[dict[str, object]]:
    grades = _grades(truth, settings)
    total = mmasi(grades)
    for name, true in truth.items():
        yield {
            "patient": patient.name,
            "arm": patient.arm.name,
            "visit": visit,
            "region": name,
            "pigmented_fraction": round(true.pigmented_fraction, 5),
            "contrast_od": round(true.contrast_od, 5),
            "amount_od": round(true.amount_od, 6),
            "area": grades[name].area,
            "darkness": grades[name].darkness,
            "mmasi": total,
        }


def _read_rows(
    patient: Patient,
    visit: str,
    truth: dict[MasiRegion, RegionTruth],
    readers: Sequence[Reader],
    settings: Settings,
    rng: np.random.Generator,
) -> Iterator[dict[str, object]]:
    for reader in readers:
        scale = settings.scale
        given = list(read(reader, truth, scale.area_cut_points, scale.darkness_cut_points_od, rng))
        grades = dict.fromkeys(MASI_REGIONS, ABSENT) | {
            one.region: RegionGrade(one.area, one.darkness, 0) for one in given if one.area
        }
        total = mmasi(grades)
        for one in given:
            yield {
                "reader": reader.name,
                "patient": patient.name,
                "visit": visit,
                "region": one.region,
                "area": one.area,
                "darkness": one.darkness,
                "mmasi": total,
            }


def _write_photo(file: Path, pixels: np.ndarray) -> None:
    """As a JPEG of high quality: the camera's own compression is in the pixels already."""
    with writing(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(file), pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 97]):
        raise OutputError(f"{file} cannot be written. Expected free space and the permission to write.")
