"""Experiments in their order, from a folder of models to another."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from masi_vision.errors import OutputError, SettingsError
from masi_vision.labels.dataset import refuse_shared_photos
from masi_vision.model_files import CARD
from masi_vision.settings_file import differing
from masi_vision.training.curves import draw_curves
from masi_vision.training.experiment import Experiment
from masi_vision.training.fit import BEST, CHECKPOINT, Figures, Processes
from masi_vision.training.model_folder import (
    Part,
    copy_models,
    is_unfinished,
    mark_finished,
    mark_unfinished,
    refuse_other_files,
    replace_network,
)
from masi_vision.training.runs import Sources, carried_out, made_ready, refuse_without_outlines
from masi_vision.training.site_errors import widen_to_site
from masi_vision.visit.models import PIGMENT_CARD
from masi_vision.written import PART, write_file

MODELS, EXPERIMENT, ORIGIN = "models", "experiment.json", "origin.json"
MAKING = f"{MODELS}{PART}"
"""Where the models lie until the call is done: `MODELS` are finished ones, of this call or of one before."""
BEFORE, CACHE = f"{MODELS}.before", "cache"
_TAKEN = (MODELS, MAKING, BEFORE, CACHE)


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

    After those on a site's photos the intervals are looked at again (`widen_to_site`). Only then are there
    models, or others than before. A stopped call goes on from its checkpoints when it is made again. Of
    several processes the first one writes.

    Raises
    ------
    OutputError
        The folder holds runs of other experiments, or of other data or models, or another call works in it.
    DatasetError, SettingsError, ModelError
        See `made_ready`.
    """
    _refuse_names(one.name for one in experiments)
    with Processes() as processes, ExitStack() as held:
        listener = listener if listener and processes.is_first else Listener()
        if processes.is_first:
            _refuse_other_networks(experiments, sources, run)
            for one in experiments:
                refuse_without_outlines(one.experiment, sources)
            if sources.dataset is not None:
                refuse_shared_photos(sources.dataset)
            begun = _origin(sources)
            held.enter_context(_alone_in(run))
            for one in experiments:
                _remember(one, run, begun)
            refuse_other_files(run / MODELS)
            (run / MAKING).mkdir(exist_ok=True)  # says from now on that the call has not come to its end
        parts: list[Part] = []
        inherits = is_unfinished(sources.models)
        for one in experiments:
            parts.append(_part(one, sources, run, listener, processes))
            sources = replace(sources, models=run / MAKING, previous=run / one.name)
        widens = any(one.experiment.needs == "dataset" for one in parts)
        if processes.is_first and sources.dataset and widens:
            listener.begun("intervals", (f"Intervals: {widen_to_site(run / MAKING, sources.dataset)}",))
        if processes.is_first:
            if widens or not inherits:  # else it is still true of what was trained on
                mark_finished(run / MAKING)
            _put_in_place(run)
    return parts


@contextmanager
def _alone_in(run: Path) -> Iterator[None]:
    """Hold the run against another call, which would write the same models; a call that dies lets go."""
    run.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise OutputError(
            f"Another call of masi train works in {run}. Expected none. Wait until it is done, or name "
            "another folder with --run."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _put_in_place(run: Path) -> None:
    """Those of before are moved away whole: a removal may be stopped or refused half way."""
    shutil.rmtree(run / BEFORE, ignore_errors=True)
    if (run / MODELS).exists():
        (run / MODELS).replace(run / BEFORE)
    (run / MAKING).replace(run / MODELS)
    shutil.rmtree(run / BEFORE, ignore_errors=True)


def _refuse_names(names: Iterable[str]) -> None:
    """Every experiment has a folder of its own in the run."""
    for name, count in Counter(names).items():
        if count > 1:
            raise SettingsError(
                f"{count} experiments are called {name}. Expected a name for each. Rename one."
            )
        if name in _TAKEN:
            raise SettingsError(
                f"An experiment is called {name}, as a folder of the run is. Expected another name. Rename "
                "its file."
            )


def _part(one: Named, sources: Sources, run: Path, listener: Listener, processes: Processes) -> Part:
    """Carry out one experiment and put its network in its place among the models."""
    if not processes.is_first:
        processes.wait()  # until the first one has filled the cache of photographs
    prepared = made_ready(one.experiment, sources)
    if processes.is_first:
        processes.wait()
    listener.begun(one.name, prepared.remarks)
    part = Part(
        one.experiment, prepared, carried_out(one.experiment, prepared, run / one.name, listener.stepped)
    )
    if processes.is_first:
        draw_curves(run / one.name)
        if sources.models != run / MAKING:
            shutil.rmtree(run / MAKING, ignore_errors=True)  # of a call that was stopped
            copy_models(sources.models, run / MAKING)
            mark_unfinished(run / MAKING)
        replace_network(part, run / MAKING)
    processes.wait()
    return part


def _refuse_other_networks(experiments: Sequence[Named], sources: Sources, run: Path) -> None:
    """Refuse to replace networks that another call has left in the folder, or those that are trained on."""
    models, names = run / MODELS, {one.name for one in experiments}
    if sources.models.resolve() in (models.resolve(), (run / MAKING).resolve()):
        raise OutputError(
            f"{sources.models} is both trained on and written. Expected a new folder for the run. Name "
            "another with --run."
        )
    others = sorted(
        file.parent.name
        for file in run.glob(f"*/{EXPERIMENT}")
        if any((file.parent / made).exists() for made in (CHECKPOINT, BEST))
    )
    others = [name for name in others if name not in names]
    there = next((one for one in (models, run / MAKING) if one.exists()), None)
    if others and there:
        on = f" that goes on from there: --run NEW --models {models}" if models.exists() else ": --run NEW"
        raise OutputError(
            f"{there} holds what {', '.join(others)} made, and this would replace it. Expected all "
            f"experiments in one call, or a new folder{on}."
        )


def _origin(sources: Sources) -> dict[str, str]:
    """What a call begins with: hashes of the data set, its files and split, and of the models."""
    models = hashlib.sha256()
    for card in (CARD, PIGMENT_CARD):
        models.update((sources.models / card).read_bytes() if (sources.models / card).is_file() else b"")
    return {"data": sources.dataset.sha256 if sources.dataset else "", "models": models.hexdigest()}


def _remember(one: Named, run: Path, begun: dict[str, str]) -> None:
    """Write down what is fitted in a folder and from what, or refuse to go on there with something else."""
    folder, values = run / one.name, one.experiment.model_dump(mode="json")
    file, origin = folder / EXPERIMENT, folder / ORIGIN
    has_begun = (folder / CHECKPOINT).exists()
    if has_begun and origin.exists():
        before = json.loads(origin.read_text(encoding="utf-8"))
        if other := sorted(name for name in begun if before.get(name) != begun[name]):
            raise OutputError(
                f"{folder} was begun with other {' and '.join(other)}. Expected the same, to go on with it, "
                "or a new folder. Name another with --run."
            )
    if has_begun and file.exists():
        before = json.loads(file.read_text(encoding="utf-8"))
        if before != values:
            told = (
                f"{key}: {json.dumps(then)} before, {json.dumps(here)} now"
                for key, then, here in differing(before, values)
            )
            raise OutputError(
                f"{folder} holds a run of another experiment: {'; '.join(told)}. "
                "Expected the same, to go on with it, or a new folder. Name another with --run."
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_file(origin, json.dumps(begun, indent=1) + "\n")
    write_file(file, json.dumps(values, indent=1) + "\n")
