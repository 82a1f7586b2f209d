"""The card of the shipped face models: what they are made of, and from what they were learned."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from masi_vision.face.models import ATLAS, FINDER, FORMAT, READER
from masi_vision.model_files import CARD, read_json
from masi_vision.training.cache import prepare
from masi_vision.training.model_folder import Part, copy_models, sha256_of
from masi_vision.version import __version__
from masi_vision.written import json_text, write_file

_FILES = (ATLAS, FINDER, READER)


def with_new_atlas(models: Path, faces: Path, cache: Path, out: Path) -> None:
    """A folder of models whose aligned frame is drawn from the training faces."""
    atlas = prepare(faces, cache).atlas
    copy_models(models, out)
    np.savez_compressed(
        out / ATLAS,
        nodes=atlas.nodes,
        triangles=atlas.triangles,
        labels=atlas.labels,
        landmark_mean=atlas.landmark_mean,
        version=np.array(atlas.version),
    )
    card = read_json(out / CARD)
    card["sha256"][ATLAS] = sha256_of(out / ATLAS)
    write_file(out / CARD, json_text(card))


def ship(parts: list[Part], faces: Path, cache: Path, models: Path, out: Path) -> None:
    """Copy the face models that were fitted on the synthetic faces, with the card of the shipped ones.

    Parameters
    ----------
    parts : list of Part
        Finder and reader.
    models : Path
        The folder that their training wrote.
    """
    data = prepare(faces, cache)
    made = read_json(models / CARD)["networks"]
    out.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copyfile(models / name, out / name)
    card = {
        "format": FORMAT,
        "masi_vision": __version__,
        "atlas": data.atlas.version,
        "licence": "Apache-2.0",
        "trained_on": "synthetic faces of SFHQ and SFHQ-T2I (David Beniaguev, MIT)",
        "test_ids": [face.id for face in data.faces if data.split[face.id] == "test"],
        "samples_drawn": {part.experiment.network: part.fitted.samples for part in parts},
        "largest_difference_to_pytorch": {
            name: apart
            for one in made.values()
            for name, apart in one["largest_difference_to_pytorch"].items()
        },
        "versions": {
            "torch": torch.__version__,
            "segmentation-models-pytorch": version("segmentation-models-pytorch"),
        },
        "sha256": {name: sha256_of(out / name) for name in _FILES},
    }
    write_file(out / CARD, json_text(card))
