"""From fitted networks to a folder of models that scores: networks, checkpoints and cards with hashes."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from math import isnan
from pathlib import Path
from typing import Any

import torch

from masi_vision.config import load_settings
from masi_vision.errors import OutputError
from masi_vision.model_files import CARD, read_json
from masi_vision.training.designs import FILES
from masi_vision.training.experiment import Experiment
from masi_vision.training.fit import Fitted, write_tensors
from masi_vision.training.onnx_export import export_finder, export_pigment, export_reader
from masi_vision.training.runs import Prepared
from masi_vision.version import __version__
from masi_vision.visit.models import LEARNED_PHOTOS, PIGMENT_CARD, UNFINISHED, photos_learned
from masi_vision.written import json_text, write_file

_PARITY = "largest_difference_to_pytorch"
_CARD_OF = {"finder": CARD, "reader": CARD, "pigment": PIGMENT_CARD}
# What a card says of a network that is replaced, and is no longer true.
_OUTDATED = (
    "chosen_on",
    _PARITY,
    "evaluation",
    "faces_found_where_there_are_none",
    "labels",
    "phantoms_drawn",
    "photos",
    "recipe",
    "samples_drawn",
    "test_ids",
    "validation",
)


@dataclass(frozen=True)
class Part:
    """A network that was fitted, and how."""

    experiment: Experiment
    prepared: Prepared
    fitted: Fitted


def copy_models(source: Path, out: Path) -> None:
    """Copy a folder of models, to replace networks in it.

    Raises
    ------
    OutputError
        Something else lies there.
    """
    refuse_other_files(out)
    out.mkdir(parents=True, exist_ok=True)
    for name in (CARD, PIGMENT_CARD):
        card = read_json(source / name)
        for file in card["sha256"]:
            shutil.copyfile(source / file, out / file)
        shutil.copyfile(source / name, out / name)
    for what in FILES.values():
        checkpoint = source / f"{what}.safetensors"
        if checkpoint.exists():
            shutil.copyfile(checkpoint, out / checkpoint.name)


def mark_unfinished(models: Path) -> None:
    """Say in a card that the call which makes the models has not come to its end."""
    _rewrite(read_json(models / PIGMENT_CARD) | {UNFINISHED: True}, models / PIGMENT_CARD)


def is_unfinished(models: Path) -> bool:
    """Whether their card says that the call which made them did not come to its end."""
    file = models / PIGMENT_CARD
    return file.is_file() and UNFINISHED in read_json(file)


def mark_finished(models: Path) -> None:
    """No longer say so."""
    card = read_json(models / PIGMENT_CARD)
    card.pop(UNFINISHED, None)
    _rewrite(card, models / PIGMENT_CARD)


def _rewrite(card: dict[str, Any], file: Path) -> None:
    """A card, and its page only where there is one: that of a network that was not touched is not ours."""
    if file.with_suffix(".md").exists():
        write_card(card, file)
    else:
        write_file(file, json_text(card))


def refuse_other_files(out: Path) -> None:
    """Refuse a folder that holds anything but models, which would be replaced.

    Raises
    ------
    OutputError
    """
    if out.exists() and not (out / CARD).exists() and any(out.iterdir()):
        raise OutputError(f"{out} holds other files. Expected a new folder, or models. Name another.")


def replace_network(part: Part, out: Path) -> dict[str, float]:
    """Put a fitted network into a folder of models, with its checkpoint, and write down how it was made.

    Returns
    -------
    dict
        How far the exported network lies from the trained one, on validation photos.

    Raises
    ------
    ModelError
        They differ.
    """
    what = part.experiment.network
    file = out / f"{FILES[what]}.onnx"
    network, compared = part.fitted.network, part.prepared.compared
    if what == "finder":
        apart = export_finder(network, compared, file)
    elif what == "reader":
        apart = export_reader(network, compared, file)
    else:
        cut = load_settings().pigment.lesion_probability
        apart = export_pigment(network, compared, file, lesion_probability=cut)
    checkpoint = file.with_suffix(".safetensors")
    write_tensors(checkpoint, dict(network.state_dict()), {})
    _write_card(part, apart, out, (file, checkpoint))
    return apart


def _write_card(part: Part, apart: dict[str, float], out: Path, files: tuple[Path, Path]) -> None:
    card_file = out / _CARD_OF[part.experiment.network]
    card = read_json(card_file)
    before = {name: card["sha256"].get(name, "") for name in (files[0].name,)}
    for key in _OUTDATED:
        card.pop(key, None)
    networks = card.get("networks", {})
    facts = dict(part.prepared.facts)
    # Whatever the network started from: one name too many costs a test patient, one too few a false figure.
    if marks := photos_learned(out) | set(facts.pop(LEARNED_PHOTOS, ())):
        card[LEARNED_PHOTOS] = sorted(marks)
    networks[part.experiment.network] = {
        **facts,
        "experiment": part.experiment.model_dump(mode="json"),
        "started_from_sha256": before if part.experiment.model.start == "models" else {},
        "steps": part.fitted.steps,
        "samples_drawn": part.fitted.samples,
        "kept_step": part.fitted.best_step,
        "minutes": round(part.fitted.minutes, 1),
        "validation": rounded(part.fitted.figures),
        "validation_at_start": rounded(part.fitted.figures_at_start),
        _PARITY: apart,
        "checkpoint_sha256": sha256_of(files[1]),
    }
    card |= {
        "masi_vision": __version__,
        "trained_on": facts["trained_on"],
        "licence": "as the owner of the photographs decides",
        "networks": networks,
        "versions": {
            "masi_vision": __version__,
            "torch": torch.__version__,
            "segmentation-models-pytorch": version("segmentation-models-pytorch"),
        },
    }
    card["sha256"] = {**card["sha256"], files[0].name: sha256_of(files[0])}
    write_card(card, card_file)


def write_card(card: dict[str, Any], file: Path) -> None:
    """Write a card for programs, and the same for people beside it."""
    write_file(file, json_text(card))
    file.with_suffix(".md").write_text(page_of(card, file.stem), encoding="utf-8")


def page_of(card: dict[str, Any], name: str) -> str:
    """The card for people."""
    hashes = "\n".join(f"| `{file}` | `{digest}` |" for file, digest in card["sha256"].items())
    parts = "\n".join(_section(what, one) for what, one in card.get("networks", {}).items())
    errors = card.get("errors_from", "")
    unfinished = "The call did not finish: make it again.\n\n" if card.get(UNFINISHED) else ""
    return (
        f"# {name.capitalize()} models\n\nWritten by `masi train`, masi_vision {card['masi_vision']}.\n\n"
        f"{unfinished}| file | SHA-256 |\n| --- | --- |\n{hashes}\n\n{parts}"
        + (f"\n## Intervals\n{errors}\n" if errors else "")
        + "\n## Limits\nThe figures above are of the validation people, on whom the network was chosen. What "
        "it is worth on others: `masi evaluate DATASET`, on the split test. It is no medical device: look "
        "at the pictures.\n"
    )


def _section(what: str, one: dict[str, Any]) -> str:
    lines = [
        f"## {what}",
        f"- **Learned from**: {one['trained_on']}.",
        *(f"- **{key.replace('_', ' ').capitalize()}**: {one[key]}" for key in _TOLD if key in one),
        f"- **Samples**: {one['samples_drawn']:,} in {one['steps']:,} steps, {one['minutes']} minutes; "
        f"kept step {one['kept_step']:,}.",
        f"- **On the validation people**: {_figures(one['validation'])}.",
        f"- **The network that it began with**: {_figures(one.get('validation_at_start', {}))}.",
        f"- **ONNX Runtime and PyTorch differ by at most**: {_figures(one[_PARITY])}.",
        "",
        "```json",
        json.dumps(one["experiment"], indent=1),
        "```",
        "",
    ]
    return "\n".join(lines)


_TOLD = ("patients", "photos", "photos_used", "dataset_sha256", "started_from_sha256")


def _figures(values: dict[str, float]) -> str:
    return (
        ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in values.items())
        or "not looked at"
    )


def rounded(values: dict[str, float]) -> dict[str, float]:
    """Figures for a card; what has no number is left out, as JSON knows none for it."""
    return {name: round(value, 5) for name, value in values.items() if not isnan(value)}


def sha256_of(file: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
