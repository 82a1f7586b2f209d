"""What a person sees of a run over a study: the plan, one bar, the summary."""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from masi_vision.batch.address import files_below, is_remote, local_path, shown
from masi_vision.batch.cluster import ClusterWorkers
from masi_vision.batch.history import HISTORY
from masi_vision.batch.job import Setup
from masi_vision.batch.ledger import LEDGER, Ledger, Place
from masi_vision.batch.plan import Plan
from masi_vision.batch.pool import LocalWorkers, cores
from masi_vision.batch.results import ResultsFolder
from masi_vision.batch.run import BatchRun, Progress, Summary, Workers
from masi_vision.batch.shard import Shard
from masi_vision.batch.storage import mirrored
from masi_vision.cli import screen
from masi_vision.cli.door import DONE, SOME_NOT_SCORED, STOPPED, leave
from masi_vision.cli.options import refuse_coded_set, refuse_photos
from masi_vision.config import Settings
from masi_vision.errors import OutputError, StudyError
from masi_vision.names import place_of
from masi_vision.report.pictures import Pictures
from masi_vision.report.versions import library_versions
from masi_vision.visit.folder import SHARDS, files_in

_SHOWN = 10
"""Visits named on the screen; the tables have all."""
_TOLD_EVERY_S = 60.0
_LEFT = "Not in the study any more (what was found there stays in the ledger, not in the tables):"


@dataclass(frozen=True)
class StudyOrder:
    """What a person asked for; see the options of `masi batch`."""

    study: str
    out: str
    settings: Settings
    pictures: tuple[Pictures, ...]
    workers: int | None
    time_limit_s: float
    shard: Shard | None = None
    cluster: str | None = None
    models: Path | None = None


def run_study(order: StudyOrder, *, dry_run: bool = False, watch_every_s: float | None = None) -> int:
    """Score a study, show what it came to, and give the exit code."""
    if order.shard is not None and is_remote(order.out):
        raise OutputError(
            f"--shard writes its part beside the others, which {shown(order.out)} cannot hold. Expected "
            "a folder that all machines share, or --cluster instead of --shard."
        )
    if order.cluster is not None and order.pictures and is_remote(order.out):
        raise OutputError(
            f"--cluster with pictures writes them from every machine, which {shown(order.out)} cannot hold. "
            "Expected a folder that all machines share, or no pictures."
        )
    study, results = f"{order.study.rstrip('/')}/", f"{order.out.rstrip('/')}/"
    if is_remote(order.out) and study.startswith(results):
        raise OutputError(
            f"{shown(order.out)} is the study, or holds it. Expected an address of its own for the results. "
            "Name another with --out."
        )
    if is_remote(order.out):
        refuse_photos(shown(order.out), files_below(order.out))
    else:
        refuse_coded_set(local_path(order.out))
    with _stoppable(), mirrored(order.out, write=not dry_run) as out:
        setup = Setup(
            order.settings,
            order.pictures,
            str(out.absolute()),
            "" if order.models is None else str(order.models.resolve()),
        )
        results_in = ResultsFolder(out, order.shard, local_path(order.study))
        run = BatchRun(order.study, results_in, setup)
        run.refuse_out_among_photos()
        if not is_remote(order.out) and not any((out / mark).exists() for mark in (LEDGER, SHARDS)):
            refuse_photos(order.out, list(files_in(out)))
        if dry_run:
            with run.results.looked_at() as ledger:
                show_plan(run.plan(ledger))
            return DONE
        with run.results.held(order.pictures) as ledger:
            if watch_every_s is None:
                return _exit_code(_pass(order, run, run.plan(ledger), ledger), order)
            return _watch(order, run, ledger, watch_every_s)


def _pass(
    order: StudyOrder, run: BatchRun, plan: Plan, ledger: Ledger, before: Summary | None = None
) -> Summary:
    with _bar(plan) as tell:
        summary = run.perform(plan, ledger, _workers(order, run), tell)
    show_summary(summary, order, before)
    return summary


def _watch(order: StudyOrder, run: BatchRun, ledger: Ledger, every_s: float) -> int:
    """Look for visits again and again; a study that goes away is told, and may come back."""
    summary = _pass(order, run, run.plan(ledger), ledger)
    _say(screen.console(), f"Watching {shown(order.study)} every {every_s:g} s. Stop with Ctrl-C.")
    told = ""
    while summary.state == "finished":
        time.sleep(every_s)
        try:
            plan = run.plan(ledger)
            if not run.stands(plan):
                summary = _pass(order, run, plan, ledger, summary)
            told = ""
        except StudyError as error:
            if str(error) != told:
                told = str(error)
                _say(screen.console(stderr=True), f"masi: {told}")
    return _exit_code(summary, order)


def _workers(order: StudyOrder, run: BatchRun) -> Workers:
    if order.cluster is not None:
        return ClusterWorkers(run.setup, run.models, order.cluster, order.time_limit_s)
    return LocalWorkers(run.setup, run.models, order.workers or cores(), order.time_limit_s)


def _exit_code(summary: Summary, order: StudyOrder) -> int:
    if summary.state == "interrupted":
        return STOPPED
    scored = all(one.status == "scored" for one in summary.told)
    any_there = summary.told or order.shard is not None  # a part of a small study may be empty
    return DONE if scored and any_there else SOME_NOT_SCORED


@contextmanager
def _stoppable() -> Iterator[None]:
    """A cluster's SIGTERM stops the run as Ctrl-C does, and so does a terminal that goes (SIGHUP).

    Where SIGHUP is ignored, as under nohup, the run goes on.
    """
    terminals = [stream for stream in (sys.stdout, sys.stderr) if stream.isatty()]
    numbers = [signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)

    def stop(number: int, _: object) -> None:
        if number != signal.SIGTERM:  # the terminal takes nothing any more
            signal.signal(number, signal.SIG_IGN)  # shell and system send one each
            for terminal in terminals:
                leave(terminal)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _bar(plan: Plan) -> Iterator[Callable[[Progress], None]]:
    """One bar on stderr with photos per second and time left; a line a minute where it is no terminal."""
    console = screen.console(stderr=True)
    columns = (
        TextColumn("Scoring"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    start = told_last = time.monotonic()
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("visits", total=len(plan.jobs), rate="")

        def tell(progress: Progress) -> None:
            nonlocal told_last
            now = time.monotonic()
            rate = f"{progress.photos / max(now - start, 1e-3):.1f} photos/s"
            bar.update(task, completed=progress.done, rate=rate)
            if not console.is_terminal and progress.done and now - told_last > _TOLD_EVERY_S:
                left_min = (now - start) / progress.done * (progress.jobs - progress.done) / 60
                done = f"{progress.done} of {progress.jobs} visits, {rate}"
                _say(console, f"{done}, about {left_min:.0f} min left")
                told_last = now

        yield tell


def show_plan(plan: Plan) -> None:
    """Say what a run would do."""
    console = screen.console()
    photos = sum(len(job.photos) for job, _ in plan.jobs.values())
    finished = len(plan.visits) - len(plan.jobs) - len(plan.problems)
    _say(
        console,
        f"{len(plan.visits)} visits: {finished} finished, {len(plan.jobs)} to score ({photos} photos).",
    )
    lacking = [  # an address is not asked: of a long manifest that takes hours
        f"{place_of(*place, view)}: {shown(address)}"
        for place, (job, _) in plan.jobs.items()
        for view, address in job.photos.items()
        if not (is_remote(address) or local_path(address).is_file())
    ]
    _list(console, f"Of these photos {len(lacking)} are not there, or are no files:", lacking, all_in="")
    _show_reasons(console, plan)
    _list(console, _LEFT, [place_of(*place) for place in plan.vanished], all_in="")
    problems = [f"{one.place}: {one.problem}" for one in plan.problems]
    _list(console, f"{len(problems)} cannot be scored:", problems, all_in="")


def _show_reasons(console: Console, plan: Plan) -> None:
    """Why visits that were scored before are scored again."""
    again = [(place, why.words) for place, (_, why) in plan.jobs.items() if why.kind != "new"]
    reasons = Counter(why for _, why in again).most_common()
    for why, count in reasons[:_SHOWN]:
        places = [place_of(*place) for place, reason in again if reason == why]
        named = ", ".join(places[:3]) + (", ..." if count > 3 else "")
        _say(console, f"  {count} again, {why}: {named}")
    if len(reasons) > _SHOWN:
        _say(console, f"  and {sum(count for _, count in reasons[_SHOWN:])} more again: see run.json.")


def show_summary(summary: Summary, order: StudyOrder, before: Summary | None = None) -> None:
    """Say what a run came to; of a later pass of a watch, what the pass before has not told already."""
    console = screen.console()
    _show_reasons(console, summary.plan)
    if summary.plan.lost or any(why.kind == "changed" for _, why in summary.plan.jobs.values()):
        _say(console, f"What stood there before is kept in {HISTORY}.")
    not_scored = _news(_not_scored, summary, before)
    _list(console, "Not scored:", not_scored, all_in="scores.csv")
    if not_scored:
        _say(console, "Why each of them, and what to do: run.json of the results, under refused.")
    _list(console, "Remarks:", _news(_remarks, summary, before), all_in="run.json")
    _list(console, _LEFT, [place_of(*place) for place in summary.left], all_in="masi batch --dry-run")
    if before is None:
        views = [place_of(one.patient, one.visit, view) for one in summary.plan.visits for view in one.photos]
        for line in screen.idle_overrides(order.settings, views):
            _say(console, line)
    if summary.photos_read:
        rate = summary.photos_read / max(summary.seconds, 1e-3)
        _say(console, f"{summary.photos_read} photos in {summary.seconds:.0f} s, {rate:.1f} a second.")
        jobs = [one for one in summary.told if (one.patient, one.visit) in summary.plan.jobs]
        slowest = sorted(jobs, key=lambda one: -one.seconds)[:3]
        _say(
            console,
            "Slowest: "
            + ", ".join(f"{place_of(one.patient, one.visit)} {one.seconds:.1f} s" for one in slowest),
        )
    words = "Scored without a photo that could not be read; the next run tries again:"
    _list(console, words, _news(_lacking, summary, before), all_in="run.json")
    failing = _news(_failing, summary, before)
    _list(
        console,
        "Scored, with a photo that fails (masi qc tells which, and why):",
        failing,
        all_in="scores.csv",
    )
    reasons = Counter(one.reason for one in summary.told if one.status != "scored")
    scored = [one for one in summary.told if one.status == "scored"]
    warned, failed = (sum(one.quality == worst for one in scored) for worst in ("warn", "fail"))
    by_reason = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    _say(
        console,
        f"{len(scored)} of {len(summary.plan.visits)} visits scored"
        + (f"; not scored: {by_reason}" if by_reason else "")
        + (f"; {failed} with a photo that fails" if failed else "")
        + (f"; {warned} with a warning of quality" if warned else "")
        + (" (masi qc tells which)" if failed or warned else "")
        + (". Nothing was new or changed." if summary.plan.visits and _is_as_before(summary) else "."),
    )
    if summary.state == "interrupted":
        _say(console, "Stopped before the end: what was done is kept, and the next run goes on from here.")
    if before is not None:
        return
    if other := _of_other_libraries(summary):
        _say(console, other)
    if order.shard is not None:
        _say(console, f"This is part {order.shard}: the same command without --shard gathers all parts.")
    _say(console, f"Results: {shown(order.out)}")


def _of_other_libraries(summary: Summary) -> str:
    """Say that results stand which other libraries made, before or on a cluster: none is scored again."""
    now = library_versions()
    others = [(made, count) for made, count in summary.libraries if made != now]
    if not others:
        return ""
    names = {name for made, _ in others for name, _ in made.items() ^ now.items()}
    visits = sum(count for _, count in others)
    return (
        f"{visits} of the visits were scored with another {', '.join(sorted(names))} than this machine has "
        "now, and stand: run.json tells with which (libraries). To score all with the same, name a new "
        "folder with --out; of a cluster, give its workers the same first."
    )


def _news(
    lines: Callable[[Summary], list[tuple[Place, str]]], summary: Summary, before: Summary | None
) -> list[str]:
    """Lines of visits that this pass did, and those that the pass before did not have."""
    known = set() if before is None else set(lines(before))
    done = summary.plan.jobs
    return [line for place, line in lines(summary) if place in done or (place, line) not in known]


def _not_scored(summary: Summary) -> list[tuple[Place, str]]:
    return [
        ((one.patient, one.visit), f"{place_of(one.patient, one.visit)}: {one.reason}")
        for one in summary.told
        if one.status != "scored"
    ]


def _failing(summary: Summary) -> list[tuple[Place, str]]:
    return [
        ((one.patient, one.visit), place_of(one.patient, one.visit))
        for one in summary.told
        if one.status == "scored" and one.quality == "fail"
    ]


def _remarks(summary: Summary) -> list[tuple[Place, str]]:
    return [(place, ": ".join(filter(None, (place_of(*place), one)))) for place, one in summary.remarks]


def _lacking(summary: Summary) -> list[tuple[Place, str]]:
    """Visits that were scored without one of their photos."""
    return [
        ((one.patient, one.visit), place_of(one.patient, one.visit))
        for one in summary.told
        if one.status == "scored" and one.again
    ]


def _is_as_before(summary: Summary) -> bool:
    """Whether all was as the run before left it, and could be looked at."""
    plan = summary.plan
    return (
        plan.stood
        and not summary.left
        and not any(one.problem and one.problem.reason == "unreadable" for one in plan.problems)
    )


def _list(console: Console, heading: str, lines: Sequence[str], *, all_in: str) -> None:
    """The first lines, and the file that has them all; all of them where none has."""
    if lines:
        _say(console, heading)
        first = lines[:_SHOWN] if all_in else lines
        for line in first:
            _say(console, f"  {line}")
        if len(lines) > len(first):
            _say(console, f"  and {len(lines) - len(first)} more, see {all_in}.")


def _say(console: Console, line: str) -> None:
    console.print(line, soft_wrap=True)
