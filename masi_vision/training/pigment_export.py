"""From a fitted network to a shipped one: exported, its cut chosen, its errors measured, its card written.

All of it on validation people, on whom nothing was fitted, with the families of training: the test people
and the held-out families are kept for the benchmark.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import torch

from masi_vision.config import Settings, load_settings
from masi_vision.errors import NotScorable
from masi_vision.face.models import face_models
from masi_vision.labels.dataset import Split
from masi_vision.model_files import read_json, shipped_folder
from masi_vision.pigment import learned, rules
from masi_vision.pigment.interval import Band, ChangeError, Distances, MeasureError
from masi_vision.pigment.learned import DENSITY_UNIT_OD, INPUT_CHANNELS, NETWORK_SHAPE, read_both_ways
from masi_vision.pigment.map import surer
from masi_vision.source_code import code_sha256
from masi_vision.training.cache import (
    TrainingSet,
    doubtful_labels,
    faces_sha256,
    label_corrections,
    prepare,
)
from masi_vision.training.experiment import OURS, PigmentExperiment
from masi_vision.training.model_folder import Part, rounded, sha256_of
from masi_vision.training.phantom_batch import TWINS
from masi_vision.training.phantom_photos import (
    Families,
    Picture,
    Row,
    change_rows,
    four_pictures,
    people_to_plant,
    rows_of,
)
from masi_vision.training.pigment_figures import change_error, coverage, figures, measured_error
from masi_vision.version import __version__
from masi_vision.visit.measure import classical_map
from masi_vision.visit.models import (
    PIGMENT_CARD,
    PIGMENT_FORMAT,
    PIGMENT_READER,
    Models,
    PigmentModel,
    open_pigment_reader,
)
from masi_vision.written import json_text, write_file

CUTS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8)
PLOT = "pigment_threshold.png"
_FLAGGED = 0.05
_NOT_KNOWN = Band((0.0,), (1.0,), (1.0,))

Judged = TypeVar("Judged")
Judge = Callable[[list[Picture], Models, Settings], Iterator[Judged]]
"""What is to be known of the pictures of one person; mostly estimates beside the truth, as `Row`."""


@dataclass(frozen=True)
class Sittings:
    """Whom to photograph, with what planted, how often."""

    faces: Path
    cache: Path
    split: Split
    families: Families
    people: int
    rounds: int = 1
    seed: int = 1


def judged(
    sittings: Sittings, models_of: Callable[[], Models], judge: Judge[Judged], *, workers: int = 2
) -> list[Judged]:
    """Photograph and judge everybody, in as many processes; people who cannot be measured are passed over.

    Parameters
    ----------
    models_of : callable
        Opens the models in each process.
    """
    people = people_to_plant(prepare(sittings.faces, sittings.cache), sittings.split)
    names = [face.id for face in people][: sittings.people]
    parts = [names[first::workers] for first in range(workers)]
    # Started afresh, not forked: OpenCV's thread pool, in use by now, does not survive a fork.
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        jobs = [pool.submit(_judged_part, sittings, part, models_of, judge) for part in parts]
        return [row for job in jobs for row in job.result()]


def _judged_part(
    sittings: Sittings, names: list[str], models_of: Callable[[], Models], judge: Judge[Judged]
) -> list[Judged]:
    cv2.setNumThreads(1)
    data, models, settings = prepare(sittings.faces, sittings.cache), models_of(), load_settings()
    rows: list[Judged] = []
    for name in names:
        for number in range(sittings.rounds):
            rng = np.random.default_rng((sittings.seed, number, int(name)))
            try:
                pictures = four_pictures(data.labelled[name], models, settings, sittings.families, rng)
            except NotScorable:
                continue
            patient = f"{name}-{number}"  # the same face with another melasma is another patient
            rows += judge([replace(one, person=patient) for one in pictures], models, settings)
    return rows


def judge_cuts(pictures: list[Picture], models: Models, settings: Settings) -> Iterator[Row]:
    """The learned map at every cut, the rules, and what changed from visit to visit."""
    for picture in pictures:
        yield from _cuts(picture, models, settings)
    by_state = {picture.state: picture for picture in pictures}
    yield from change_rows(by_state["clear"], by_state["again"], models.face.atlas, settings)
    yield from change_rows(by_state["planted"], by_state["treated"], models.face.atlas, settings)


def _cuts(picture: Picture, models: Models, settings: Settings) -> Iterator[Row]:
    probability, density = read_both_ways(picture.linear, picture.codes, models.pigment.read)
    for cut in CUTS:
        least = surer(cut, settings.pigment.raised_by_doubt, probability, picture.codes > 0)
        yield from rows_of(picture, f"{cut:g}", probability >= least, density, probability)
    second = classical_map(picture.linear, picture.codes, settings.pigment, models)
    yield from rows_of(picture, rules.METHOD, second.lesion, second.density_od)


def untried_models(file: Path) -> Models:
    """The shipped face models with an exported network whose errors are not known yet."""
    nothing = MeasureError(_NOT_KNOWN, _NOT_KNOWN, 1.0)
    errors = {learned.METHOD: nothing, rules.METHOD: nothing}
    return Models(
        face_models(),
        PigmentModel(open_pigment_reader(file), errors, ChangeError(((1.0, Distances((0.0,), (1.0,))),)), {}),
    )


def ship(
    parts: list[Part],
    faces: Path,
    cache: Path,
    models: Path,
    out: Path,
    *,
    people: int = 90,
    rounds: int = 2,
) -> str:
    """Copy the network that was fitted on phantoms, with the card of the shipped one; returns its page.

    Parameters
    ----------
    parts : list of Part
        The experiments that led to it, in their order; from the shipped network on where the first one
        starts from it.
    models : Path
        The folder that their training wrote.
    """
    data = prepare(faces, cache)
    made = read_json(models / PIGMENT_CARD)["networks"]["pigment"]
    out.mkdir(parents=True, exist_ok=True)
    file = out / PIGMENT_READER
    shutil.copyfile(models / PIGMENT_READER, file)
    goes_on = parts[0].experiment.model.start == "models"
    recipe = read_json(shipped_folder() / PIGMENT_CARD)["recipe"] if goes_on else []
    recipe += [
        {
            "minutes": round(part.fitted.minutes, 1),
            "phantoms": _phantoms(part),
            "experiment": part.experiment.model_dump(mode="json"),
        }
        for part in parts
    ]
    card = _card(data, recipe, made["largest_difference_to_pytorch"], file)
    return _with_errors(card, faces, cache, out, people, rounds)


def measure_errors(faces: Path, cache: Path, out: Path, *, people: int = 90, rounds: int = 2) -> str:
    """Measure the errors of the network in a folder of models anew, on the same people as `ship`."""
    card = read_json(out / PIGMENT_CARD)
    return _with_errors(card, faces, cache, out, people, rounds)


def _with_errors(card: dict[str, Any], faces: Path, cache: Path, out: Path, people: int, rounds: int) -> str:
    """Write the card with what is measured on the validation people, and its page; returns the page."""
    sittings = Sittings(faces, cache, "validation", "training", people, rounds)
    rows, settings = _validation_rows(sittings, out / PIGMENT_READER, cache), load_settings()
    chosen = f"{settings.pigment.lesion_probability:g}"
    cuts = [f"{cut:g}" for cut in CUTS]
    by = {name: [row for row in rows if row.estimator == name] for name in (*cuts, rules.METHOD)}
    if chosen not in by:
        raise ValueError(f"lesion_probability {chosen} was not tried. Expected one of {CUTS}.")
    errors = {
        learned.METHOD: measured_error(by[chosen], settings.scale),
        rules.METHOD: measured_error(by[rules.METHOD], settings.scale),
    }
    apart = [abs(a.fraction - b.fraction) for a, b in zip(by[chosen], by[rules.METHOD], strict=True)]
    table = {name: figures(part, settings.scale) for name, part in by.items()}
    card = card | {
        "chosen_on": f"{sittings.split} people, {sittings.families} families, {sittings.rounds} each",
        "validation": {
            "chosen_cut": chosen,
            "phantoms": len({row.person for row in by[chosen]}),
            "by_cut": {name: rounded(part) for name, part in table.items()},
            "coverage": {
                name: rounded(coverage(by[key], errors[name], settings.scale))
                for name, key in ((learned.METHOD, chosen), (rules.METHOD, rules.METHOD))
            },
            "apart_95": round(float(np.quantile(apart, 1 - _FLAGGED)), 3),
        },
        "errors": {name: asdict(error) for name, error in errors.items()},
        "change_error": asdict(change_error(rows)),
    }
    write_file(out / PIGMENT_CARD, json_text(card))
    _draw_cuts({float(cut): table[cut] for cut in cuts}, chosen, out / PLOT)
    page = _page(card, markdown(table, "probability"), chosen)
    (out / PIGMENT_CARD).with_suffix(".md").write_text(page, encoding="utf-8")
    return page


def _phantoms(part: Part) -> int:
    """How many phantoms a part of the training saw."""
    assert isinstance(part.experiment, PigmentExperiment)
    return TWINS * part.experiment.augmentation.recombined * part.fitted.samples


def _validation_rows(sittings: Sittings, file: Path, cache: Path) -> list[Row]:
    """Judge the validation people, or read what the same code judged of them before: it takes minutes."""
    # What is chosen by these rows.
    chosen = {"pigment": {"lesion_probability", "undecided_fraction", "disagreement_fraction"}}
    settings = load_settings().model_dump(mode="json", exclude=chosen)
    by = [sha256_of(file), face_models().sha256, settings, code_sha256()]
    people = [asdict(sittings), faces_sha256(sittings.faces), label_corrections(), sorted(doubtful_labels())]
    key = json.dumps([by, people], default=str)
    kept = cache / f"validation-{hashlib.sha256(key.encode()).hexdigest()[:12]}.json"
    if kept.exists():
        return [Row(**values) for values in json.loads(kept.read_text(encoding="utf-8"))]
    rows = judged(sittings, partial(untried_models, file), judge_cuts)
    kept.write_text(json.dumps([asdict(row) for row in rows]), encoding="utf-8")
    return rows


def _card(
    data: TrainingSet, recipe: list[dict[str, Any]], parity: dict[str, float], file: Path
) -> dict[str, Any]:
    return {
        "format": PIGMENT_FORMAT,
        "masi_vision": __version__,
        "atlas": data.atlas.version,
        "licence": "Apache-2.0",
        "trained_on": "melasma planted on synthetic faces of SFHQ and SFHQ-T2I (David Beniaguev, MIT)",
        "recipe": recipe,
        "phantoms_drawn": sum(part["phantoms"] for part in recipe),
        "largest_difference_to_pytorch": parity,
        "versions": {
            "torch": torch.__version__,
            "segmentation-models-pytorch": version("segmentation-models-pytorch"),
        },
        "sha256": {file.name: sha256_of(file)},
    }


def _draw_cuts(table: dict[float, dict[str, float]], chosen: str, file: Path) -> None:
    """False fraction, error of the fraction and Dice over the probability that counts as lesion."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panel = plt.subplots(figsize=(6, 3.6))
    shown = {
        "error of the fraction": ("error of the fraction, planted", "#0072B2", "o"),
        "false fraction on clear photos": ("fraction found on clear skin", "#E69F00", "s"),
        "Dice at dL* 6 and more": ("1 - Dice at dL* 6 and more", "#009E73", "^"),
    }
    for name, (label, colour, shape) in shown.items():
        values = [
            100 * (1 - part[name] if name.startswith("Dice") else part[name]) for part in table.values()
        ]
        panel.plot(list(table), values, color=colour, marker=shape, markersize=4, label=label)
    panel.axvline(float(chosen), color="0.6", linewidth=1, linestyle="--")
    panel.set(xlabel="probability that counts as lesion", ylabel="%", ylim=(0, None))
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _page(card: dict[str, Any], table: str, chosen: str) -> str:
    """The card for people, written from the card for programs."""
    held = card["validation"]["coverage"][learned.METHOD]
    model = card["recipe"][-1]["experiment"]["model"]
    made_of = (
        f"segmentation-models-pytorch encoder `{model['encoder']}`, depth 4, U-Net blocks up to half the size, and\n"
        "  three small convolutions at full size that draw the borders."
        if model["architecture"] == OURS
        else f"`{model['architecture']}` of segmentation-models-pytorch, encoder `{model['encoder']}`."
    )
    recipe = "\n".join(_told(place, part) for place, part in enumerate(card["recipe"], 1))
    return f"""# Pigment model

Written by `scripts/train_pigment.py` from the training run and the validation people.

| file | SHA-256 |
| --- | --- |
| `{PIGMENT_READER}` | `{card["sha256"][PIGMENT_READER]}` |

- **In**: a face in the aligned frame `{card["atlas"]}`, as `masi_vision.pigment.learned.network_input` makes it, {INPUT_CHANNELS} x {NETWORK_SHAPE[0]} x {NETWORK_SHAPE[1]}.
- **Out**: per pixel, the logit of lesion and the density of pigment in units of {DENSITY_UNIT_OD} optical density.
- **Made of**: {made_of}
- **Learned from**: {card["trained_on"]}. {card["phantoms_drawn"]:,} phantoms were made, in parts of which each starts where the one before ended:

{recipe}

  Loss: cross-entropy and Dice of the lesion, Huber of the density, absolute error of every region's fraction, Huber of its
  mean density (`masi_vision/training/losses.py`).
- **Licence**: {card["licence"]}. Exported with torch {card["versions"]["torch"]}, segmentation-models-pytorch {card["versions"]["segmentation-models-pytorch"]}; ONNX Runtime
  and PyTorch differ by at most {max(card["largest_difference_to_pytorch"].values()):.0e}.

## On {card["validation"]["phantoms"]} phantoms of the validation people
Families of training, whole photographs, regions as found. The settings take probability {chosen}, and of a face of which
much is undecided more, as in every row (`pigment.raised_by_doubt`); `classical-1` is the second opinion.

{table}

![The same as a plot]({PLOT})

The 90 % intervals were made on these and hold here, by construction, {held["fraction"]:.0%} of the fractions, {held["contrast"]:.0%} of
the contrasts and {held["mMASI"]:.0%} of the mMASI. A difference of {card["validation"]["apart_95"]} between the fractions of the two maps flags
one region in twenty.

Photographs to train and to choose are those of `face.md`. Figures on people, patterns and colours that neither training nor these
choices saw: `benchmarks/README.md`; of the shipped map, large patches of 30 of them were seen beside the last choice (`docs/pigment.md`).

## Limits
Synthetic faces and planted pigment: no photograph of a patient, none of real melasma. What no phantom has is unknown to
it: tattoos, vitiligo, scars, freckles by the hundred under melasma, cross-polarised light. Beards and glasses reach it where
the face models call them skin. Small or faint lesions are the first to be missed (the ROC in the benchmark).
"""


def _told(place: int, part: dict[str, Any]) -> str:
    """A part of the training, in a line."""
    experiment = part["experiment"]
    how, schedule = experiment["augmentation"], experiment["schedule"]
    return (
        f"  {place}. {part['phantoms']:,} phantoms in {part['minutes']:g} minutes, dL* x {how['darker']:g}, "
        f"rate {schedule['peak_rate']:g}, density squared up to {experiment['loss']['huber_od']:g} OD, {how['blended']:.0%} of the faces blended, weight decay "
        f"{schedule['weight_decay']:g}"
    )


def markdown(table: dict[str, dict[str, float]], first: str = "estimator") -> str:
    """Estimators by figures, as a Markdown table."""
    heads = list(next(iter(table.values())))
    lines = [f"| {first} | " + " | ".join(heads) + " |", "| --- |" + " --- |" * len(heads)]
    for name, found in table.items():
        cells = [_cell(head, value) for head, value in found.items()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(head: str, value: float) -> str:
    if np.isnan(value):
        return ""
    if head.startswith("error"):
        return f"{100 * value:.1f} points"
    return f"{value:.1%}" if "fraction" in head or "grade" in head else f"{value:.2f}"
