"""Experiments in their order, from a folder of models to another."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from masi_vision.errors import OutputError
from masi_vision.training.curves import draw_curves
from masi_vision.training.experiment import Experiment
from masi_vision.training.fit import Figures
from masi_vision.training.model_folder import Part, copy_models, replace_network
from masi_vision.training.runs import Sources, carried_out, made_ready
from masi_vision.training.site_errors import widen_to_site

MODELS, EXPERIMENT = "models", "experiment.json"


@dataclass(frozen=True)
class Named:
    """An experiment and the name of its file."""

    name: str
    experiment: Experiment


@dataclass(frozen=True)
class Listener:
    """Who hears how it goes.

    Parameters
    ----------
    begun : callable
        Called with the name of an experiment and what there is to say of its data.
    stepped : callable
        Called with the steps done and to do, and the latest figures on the validation people.
    """

    begun: Callable[[str, Sequence[str]], None] = lambda name, remarks: None
    stepped: Callable[[int, int, Figures], None] = lambda done, total, figures: None


def train_models(
    experiments: Sequence[Named], sources: Sources, run: Path, listener: Listener | None = None
) -> list[Part]:
    """Carry out experiments, each on the models that the one before left, into ``run/models``.

    After those on a site's photos the intervals are looked at again (`widen_to_site`). A stopped call goes on
    from its checkpoints when it is made again.

    Raises
    ------
    OutputError
        The folder holds runs of other experiments.
    DatasetError, SettingsError, ModelError
        See `made_ready`.
    """
    listener = listener or Listener()
    parts: list[Part] = []
    for one in experiments:
        _remember(one, run)
    for one in experiments:
        folder = run / one.name
        course = made_ready(one.experiment, sources)
        listener.begun(one.name, course.remarks)
        fitted = carried_out(one.experiment, course, folder, listener.stepped)
        draw_curves(folder)
        part = Part(one.experiment, course, fitted)
        if not parts:
            copy_models(sources.models, run / MODELS)
        replace_network(part, run / MODELS)
        parts.append(part)
        sources = replace(sources, models=run / MODELS, previous=folder)
    if sources.dataset is not None and any(part.experiment.needs == "dataset" for part in parts):
        listener.begun("intervals", (f"Intervals: {widen_to_site(run / MODELS, sources.dataset)}",))
    return parts


def _remember(one: Named, run: Path) -> None:
    """Write down what is fitted in a folder, or refuse to go on there with something else."""
    folder, values = run / one.name, one.experiment.model_dump(mode="json")
    file = folder / EXPERIMENT
    if file.exists():
        before = json.loads(file.read_text(encoding="utf-8"))
        if before != values:
            keys = sorted(key for key in {*before, *values} if before.get(key) != values.get(key))
            raise OutputError(
                f"{folder} holds a run of another experiment: {', '.join(keys)} differ. Expected the same, "
                "to go on with it, or a new folder. Name another with --run."
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
