"""Who is measured, and what is left out on the way to each figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import get_args

import numpy as np

from masi_vision.config import ScaleSettings
from masi_vision.labels.dataset import Split
from masi_vision.scale import MASI_REGIONS
from masi_vision.training.cache import TrainingSet
from masi_vision.training.phantom_photos import Row, State, people_to_plant
from masi_vision.training.pigment_figures import all_graded, by_shot, pairs_of, score_of


def people_of(rows: Sequence[Row]) -> str:
    """How many."""
    number = len({row.person for row in rows})
    return f"{number} people" if number > 1 else "1 person"


def faces_left(data: TrainingSet, split: Split) -> tuple[int, int, int, int]:
    """All faces, those of the split, of these from the front, and of these that can be planted."""
    there = [face for face in data.faces if data.split[face.id] == split]
    front = [face for face in there if face.view == "frontal"]
    return len(data.faces), len(there), len(front), len(people_to_plant(data, split))


def sample_text(faces: tuple[int, int, int, int], ours: Sequence[Row], scale: ScaleSettings) -> str:
    """From the faces to the photographs that have a score, as a list."""
    everybody, there, front, planted = faces
    people = len({row.person for row in ours})
    photographs = people * len(get_args(State))
    graded = Counter(row.region for row in ours)
    lost = ", ".join(f"{one.replace('_', ' ')} {photographs - graded[one]}" for one in MASI_REGIONS)
    whole = Counter(part[0].state for part in filter(all_graded, by_shot(ours).values()))
    states = ", ".join(f"{whole[state]} {state}" for state in get_args(State))
    twice = pairs_of(ours, "clear", "again", whole=True)
    at_0 = [max(score_of(part, scale) for part in pair) == 0 for pair in twice]
    return "\n".join(
        [
            f"{people_of(ours)}, four photographs each.",
            "",
            f"- Of {everybody} faces {there} are of the test part, {front} of these from the front; "
            f"{planted} can be planted, {people} were measured.",
            f"- Not graded on their {photographs} photographs: {lost}. All four regions are graded on "
            f"{whole.total()} ({states}).",
            f"- mMASI change, nothing changed: of {len(twice)} people; {np.mean(at_0):.0%} score 0 on both.",
        ]
    )
