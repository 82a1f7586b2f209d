"""Fits a network: a plain loop with a cosine schedule, averaged weights, checkpoints and resume.

Step by step the same whatever stops it in between: a sample is made of its number (`Samples`), the rate and
what a network itself draws (dropout) of the step, and a checkpoint holds everything else. Several processes,
started by torchrun, share every batch.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from masi_vision.errors import ModelError, OutputError
from masi_vision.training.data import Samples
from masi_vision.training.experiment import Experiment, ScheduleSettings
from masi_vision.written import write_file

Batch = dict[str, Tensor]
Facts = dict[str, Tensor]
"""The parts of a loss, left on the device: to look at each at every step would keep it waiting."""
Loss = Callable[[nn.Module, Batch], tuple[Tensor, Facts]]
Figures = dict[str, float]

CHECKPOINT, BEST, LOG = "checkpoint.safetensors", "best.safetensors", "log.jsonl"
SCORE = "score"
"""Of the figures on the validation people: the higher, the better the network."""
_LOG_EVERY, _SAVE_EVERY_S = 50, 120
_LONGEST_WAIT = timedelta(hours=2)
_WORST_RATE, _LARGEST_GRADIENT = 0.01, 5.0


class Judge(Protocol):
    """Looks at a network on the validation people."""

    def figures(self, network: nn.Module) -> Figures:
        """Figures, `SCORE` among them."""

    def pictures(self, network: nn.Module) -> np.ndarray:
        """What it draws on a few of them beside the truth, (H, W, 3) sRGB uint8."""


@dataclass
class Reached:
    """How far a run has come; what a checkpoint remembers beside the weights."""

    step: int = 0
    spent_s: float = 0.0
    waited_s: float = 0.0
    best: float = -np.inf
    best_step: int = 0
    looks_since: int = 0


@dataclass(frozen=True)
class Fitted:
    """What a run came to: the averaged weights of the best look, or of the end where nobody looked.

    Parameters
    ----------
    best_step : int
        0 where no look was better than the one at the start: the network is the one that was begun with.
    figures, figures_at_start : dict
        On the validation people, of the network and of the one that was begun with.
    is_cut_short : bool
        Whether patience ended it before its last step.
    """

    network: nn.Module
    steps: int
    samples: int
    best_step: int
    minutes: float
    figures: Figures = field(default_factory=dict)
    figures_at_start: Figures = field(default_factory=dict)
    is_cut_short: bool = False


Tell = Callable[[int, int, Figures], None]
"""Called with the steps done and to do, and the latest figures."""


def rate_at(schedule: ScheduleSettings, progress: float) -> float:
    """Learning rate at a share of the run in [0, 1]."""
    if progress < schedule.warm_up:
        return schedule.peak_rate * (progress / schedule.warm_up + _WORST_RATE)
    return schedule.peak_rate * (_WORST_RATE + (1 - _WORST_RATE) * (1 + float(np.cos(np.pi * progress))) / 2)


def fit(
    network: nn.Module,
    samples: Samples,
    loss_of: Loss,
    experiment: Experiment,
    run: Path,
    *,
    judge: Judge | None = None,
    tell: Tell = lambda done, total, figures: None,
) -> Fitted:
    """Fit a network as an experiment says, going on from the checkpoint in ``run`` if there is one.

    Raises
    ------
    ModelError
        The checkpoint is of another network.
    """
    with Processes() as processes:
        return _Run(network, samples, loss_of, experiment, run, judge, tell, processes).to_the_end()


class _Run:
    """One run: what changes from step to step."""

    def __init__(
        self,
        network: nn.Module,
        samples: Samples,
        loss_of: Loss,
        experiment: Experiment,
        run: Path,
        judge: Judge | None,
        tell: Tell,
        processes: Processes,
    ) -> None:
        torch.set_num_threads(experiment.threads)
        self.samples, self.loss_of, self.experiment = samples, loss_of, experiment
        self.folder, self.judge, self.tell = run, judge, tell
        self.rank, self.world = rank, world = processes.rank, processes.world
        self.schedule = experiment.schedule
        self.total = self.schedule.steps(samples.photos)
        self.device = _device(rank)
        run.mkdir(parents=True, exist_ok=True)
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.average = torch.optim.swa_utils.AveragedModel(
            self.network, multi_avg_fn=_running_mean(self.schedule.average_steps), use_buffers=True
        )
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), self.schedule.peak_rate, weight_decay=self.schedule.weight_decay
        )
        kept = self.schedule.kept_of_start
        self.start = copy.deepcopy(self.network).eval() if kept else None
        self.progress = _resume(run / CHECKPOINT, self.network, self.average, self.optimizer)
        if rank == 0:
            _forget_after(run / LOG, self.progress.step if (run / CHECKPOINT).exists() else -1)
        self.shared: nn.Module = self.network
        if world > 1:
            self.shared = DistributedDataParallel(self.network)
        self.half = _computes_half(experiment, self.device)
        self.figures: Figures = {}
        self.board = _board(run) if rank == 0 else None

    def to_the_end(self) -> Fitted:
        """Every step that is left."""
        at, last = self.progress, time.monotonic()
        saved, since = last, list[Facts]()
        if at.step == 0:
            self._look()
        batches, is_whole = self._batches(), True
        self.network.train()
        if self.schedule.frozen_statistics:
            for layer in self.network.modules():
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    layer.eval()
        try:
            while at.step < self.total and not self._is_patience_out():
                is_whole = False  # between a step and the look after it there is nothing to go on from
                since.append(self._step(batches))
                at.step += 1
                looked = self._is_time_to_look()
                if looked or at.step % _LOG_EVERY == 0:
                    self._refuse_came_apart()
                now = time.monotonic()
                at.spent_s, last = at.spent_s + now - last, now
                if at.step % _LOG_EVERY == 0 or at.step == self.total:
                    self._note("train", {name: float(one) for name, one in _mean(since).items()})
                    since.clear()
                if looked:
                    self._look()
                is_whole = True
                if looked or now - saved > _SAVE_EVERY_S:
                    self._save()
                    saved = time.monotonic()
                self.tell(at.step, self.total, self.figures)
            if since:
                self._note("train", {name: float(one) for name, one in _mean(since).items()})
        finally:
            if at.step and is_whole and self._is_finite():
                self._save()
        return self._fitted()

    def _is_finite(self) -> bool:
        return all(bool(torch.isfinite(one).all()) for one in self.network.parameters())

    def _refuse_came_apart(self) -> None:
        """Weights that are no numbers stay none, whatever follows."""
        if not self._is_finite():
            raise ModelError(
                f"The training came apart: at step {self.progress.step} the weights are no numbers. Expected "
                f"numbers. Lower peak_rate (it is {self.schedule.peak_rate:g}), and begin in a new folder."
            )

    def _step(self, batches: Iterator[Batch]) -> Facts:
        """One step of the optimizer, of as many batches as are gathered for it."""
        of_step = np.random.default_rng((self.experiment.seed, self.progress.step, self.rank))
        torch.manual_seed(int(of_step.integers(2**63)))  # of all devices
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(self.schedule, self.progress.step / self.total)
        self.optimizer.zero_grad(set_to_none=True)
        gathered: list[Facts] = []
        for _ in range(self.schedule.accumulate):
            before = time.monotonic()
            batch = self.samples.ready(_to_device(next(batches), self.device))
            batch["image"] = batch["image"].contiguous(memory_format=torch.channels_last)
            self.progress.waited_s += time.monotonic() - before
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.half):
                loss, facts = self.loss_of(self.shared, batch)
            (loss / self.schedule.accumulate).backward()
            gathered.append(facts)
        nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        return _mean(gathered)

    def _batches(self) -> Iterator[Batch]:
        """Batches of this process, from the step on that comes next."""
        schedule = self.schedule
        of_step = schedule.batch * schedule.accumulate
        numbers = range(self.progress.step * of_step + self.rank, self.total * of_step, self.world)
        workers = self.experiment.workers
        loader = DataLoader(
            self.samples,
            max(1, schedule.batch // self.world),
            sampler=numbers,
            num_workers=workers,
            prefetch_factor=6 if workers else None,
            worker_init_fn=_one_thread,
            pin_memory=self.device.type == "cuda",
            persistent_workers=bool(workers),
        )
        return iter(loader)

    def _is_time_to_look(self) -> bool:
        """Whether this step completes another `validate_every` samples, or is the last."""
        of_step = self.schedule.batch * self.schedule.accumulate
        seen, every = self.progress.step * of_step, self.schedule.validate_every
        return self.progress.step == self.total or seen // every > (seen - of_step) // every

    def _look(self) -> None:
        """Judge the averaged weights; keep them if they are the best so far."""
        if self.judge is None:
            return
        at, network = self.progress, self._delivered()
        if self.rank == 0:
            self.figures = self.judge.figures(network)
            self._note("validation", self.figures)
        score = _from_first(self.figures.get(SCORE, np.nan), self.device, self.world)
        if score > at.best:
            if self.rank == 0:
                write_tensors(self.folder / BEST, dict(network.state_dict()), {"step": str(at.step)})
            at.best, at.best_step, at.looks_since = score, at.step, 0
        elif at.step:  # the start is what the looks are held against, and none of them
            at.looks_since += 1
        if self.board is not None:
            shown = self.judge.pictures(network)
            self.board.add_image("validation", shown, at.step, dataformats="HWC")

    def _delivered(self) -> nn.Module:
        """The averaged weights, drawn back towards the start as far as the schedule says."""
        average: nn.Module = self.average.module.eval()
        if self.start is None:
            return average
        network = copy.deepcopy(average)
        mixed = network.state_dict()
        for name, of_start in self.start.state_dict().items():
            if of_start.is_floating_point():
                mixed[name].lerp_(of_start, self.schedule.kept_of_start)
        return network

    def _is_patience_out(self) -> bool:
        patience = self.schedule.patience
        return patience is not None and self.progress.looks_since >= patience

    def _note(self, what: str, figures: Figures) -> None:
        """Append a line to the log, and the same to the board."""
        if self.rank:
            return
        at = self.progress
        seen = at.step * self.schedule.batch * self.schedule.accumulate
        waited = at.waited_s / at.spent_s if at.spent_s else 0.0
        line: dict[str, Any] = {"step": at.step, "samples": seen, "minutes": round(at.spent_s / 60, 2)}
        line |= {"waited_for_data": round(waited, 3), "part": what}
        line |= {name: round(value, 5) for name, value in figures.items()}
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self.board is not None:
            for name, value in figures.items():
                self.board.add_scalar(f"{what}/{name}", value, at.step)

    def _save(self) -> None:
        if self.rank:
            return
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
        write_tensors(self.folder / CHECKPOINT, tensors, {"progress": json.dumps(vars(self.progress))})

    def _fitted(self) -> Fitted:
        at, network = self.progress, self._delivered()
        if self.judge is not None and (self.folder / BEST).exists():
            network.load_state_dict(weights_of(self.folder / BEST))
        of_step = self.schedule.batch * self.schedule.accumulate
        best = at.best_step if at.best > -np.inf else at.step  # where no look had a number, the end
        is_cut_short = at.step < self.total
        figures, at_start = (_figures_at(self.folder / LOG, step) for step in (best, 0))
        network = network.to("cpu", memory_format=torch.contiguous_format)
        return Fitted(
            network, at.step, at.step * of_step, best, at.spent_s / 60, figures, at_start, is_cut_short
        )


class Processes:
    """Those that torchrun started, or this one alone; opened within one another they are opened once.

    Attributes
    ----------
    rank, world : int
        Place of this one, and how many there are.
    """

    def __init__(self) -> None:
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0")) if self.world > 1 else 0

    def __enter__(self) -> Processes:
        self.opened = self.world > 1 and not dist.is_initialized()
        if self.opened:
            kind = "nccl" if torch.cuda.is_available() else "gloo"
            dist.init_process_group(kind, timeout=_LONGEST_WAIT)  # while the first decodes the photographs
        return self

    def __exit__(self, *_: object) -> None:
        if self.opened:
            dist.destroy_process_group()

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.world > 1:
            dist.barrier()


def _from_first(value: float, device: torch.device, world: int) -> float:
    """A number that the first process knows, in all of them."""
    if world == 1:
        return value
    told = torch.tensor([value], dtype=torch.float64, device=device)
    dist.broadcast(told, 0)
    return float(told)


def _device(rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.cuda.set_device(rank)
    torch.backends.cudnn.benchmark = True
    return torch.device("cuda", rank)


def _computes_half(experiment: Experiment, device: torch.device) -> bool:
    """Whether to compute in bfloat16: a processor that only emulates it is ten times slower."""
    if experiment.precision != "auto":
        return experiment.precision == "bfloat16"
    can = torch.cpu.get_capabilities()
    return device.type != "cpu" or bool(can.get("avx512_bf16") or can.get("amx_bf16"))


def _running_mean(steps: int) -> Callable[[list[Tensor], list[Tensor], Tensor | int], None]:
    """Exponential mean over so many steps; over fewer at first, so that the start is soon forgotten."""

    def mean(average: list[Tensor], current: list[Tensor], done: Tensor | int) -> None:
        if average[0].is_floating_point():
            torch._foreach_lerp_(average, current, max(1 / steps, 9 / (10 + float(done))))
        else:
            torch._foreach_copy_(average, current)

    return mean


def _mean(several: list[Facts]) -> Facts:
    return {name: torch.stack([one[name] for one in several]).mean() for name in several[0]}


def _one_thread(_worker: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _to_device(batch: Batch, device: torch.device) -> Batch:
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def _board(run: Path) -> Any:
    """A TensorBoard log, where tensorboard is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run / "tensorboard"))


def write_tensors(file: Path, tensors: dict[str, Tensor], facts: dict[str, str]) -> None:
    """Write tensors whole or not at all: a kill while writing leaves the file that was there.

    Raises
    ------
    OutputError
        There is no room.
    """
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    partial = file.with_suffix(".partial")
    try:
        save_file(plain, partial, facts)
        partial.replace(file)
    except Exception as error:  # a full disk too is an error of safetensors' own
        raise OutputError(
            f"{file} cannot be written ({error}). Expected free space and the permission to write. The run "
            "goes on from its last checkpoint when it is called again."
        ) from error
    finally:
        partial.unlink(missing_ok=True)  # on a full disk half a file would take the room of the next try


def _resume(file: Path, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> Reached:
    if not file.exists():
        return Reached()
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimizer": {}}
    try:
        with safe_open(file, "pt") as stored:
            for name in stored.keys():  # noqa: SIM118 (no mapping)
                part, _, rest = name.partition(".")
                if part in parts:  # older ones hold a state of random numbers too
                    parts[part][rest] = stored.get_tensor(name)
            progress = Reached(**json.loads(stored.metadata()["progress"]))
    except Exception as error:  # safetensors raises errors of its own and of the system
        raise ModelError(
            f"{file} is damaged ({error}). Expected the run's checkpoint. Remove it: the run begins again."
        ) from error
    try:
        network.load_state_dict(parts["network"])
        average.load_state_dict(parts["average"])
    except RuntimeError as error:
        raise ModelError(
            f"{file} is the checkpoint of another network. Expected the one of this experiment. Name another "
            "folder for the run, or remove the checkpoint."
        ) from error
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in parts["optimizer"].items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress


def _forget_after(log: Path, step: int) -> None:
    """Take lines out of the log that a killed run wrote after its last checkpoint: they will come again."""
    if not log.exists():
        return
    kept = [line for line in _lines(log) if line["step"] <= step]
    write_file(log, "".join(f"{json.dumps(line)}\n" for line in kept))


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    """What a log says; a line that a crash cut off is passed over."""
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):
            yield json.loads(line)


def log_of(run: Path, part: str) -> list[dict[str, Any]]:
    """Lines of a run's log: ``train`` or ``validation``."""
    return [line for line in _lines(run / LOG) if line["part"] == part]


_NOT_FIGURES = ("step", "samples", "minutes", "waited_for_data", "part")


def _figures_at(log: Path, step: int) -> Figures:
    looks = [line for line in log_of(log.parent, "validation") if line["step"] == step]
    found = {name: value for name, value in looks[-1].items() if name not in _NOT_FIGURES} if looks else {}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def weights_of(file: Path) -> dict[str, Tensor]:
    """Averaged weights that a run wrote: of its best look, or of its last checkpoint.

    Raises
    ------
    ModelError
        There is no such file, or it is none of ours.
    """
    try:
        with safe_open(file, "pt") as stored:
            names = list(stored.keys())
            prefix = "average.module." if any(name.startswith("average.module.") for name in names) else ""
            return {
                name.removeprefix(prefix): stored.get_tensor(name)
                for name in names
                if name.startswith(prefix)
            }
    except Exception as error:  # safetensors raises errors of its own and of the system
        raise ModelError(
            f"{file} cannot be read ({error}). Expected weights that a run of masi train wrote."
        ) from error


_Network = TypeVar("_Network", bound=nn.Module)


def with_weights(network: _Network, file: Path) -> _Network:
    """A network with the weights of a run.

    Raises
    ------
    ModelError
        They are of another design.
    """
    try:
        network.load_state_dict(weights_of(file))
    except RuntimeError as error:
        raise ModelError(
            f"{file} holds weights of another design. Expected those of the same architecture and encoder."
        ) from error
    return network.eval()
