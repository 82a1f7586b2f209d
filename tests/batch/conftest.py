"""A small study, near the size of a demo, and a run over it in this process."""

import shutil

import pytest
from faults import make_study
from remembered import once_a_photo
from scored_here import Here

from masi_vision.batch.job import Setup, score_photo
from masi_vision.batch.pool import LocalWorkers
from masi_vision.batch.results import ResultsFolder
from masi_vision.batch.run import BatchRun


@pytest.fixture(scope="module", autouse=True)
def photos_that_are_scored_once():
    """What is tested is which photos are scored, and what becomes of it: not, each time, how."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("masi_vision.batch.job.score_photo", once_a_photo(score_photo))
        yield


@pytest.fixture(scope="session")
def four_visits(tmp_path_factory):
    """P01/visit-1, -2, -3 and P02/visit-1, a front photo each; not to be changed."""
    return make_study(tmp_path_factory.mktemp("study") / "study", 4)


@pytest.fixture
def study(four_visits, tmp_path):
    """The same, to be changed."""
    return shutil.copytree(four_visits, tmp_path / "study")


@pytest.fixture(scope="session")
def perform(settings):
    """Run over a study as `masi batch` does; the summary, and the reasons of what was scored.

    In this process, unless a visit has a limit of time.
    """

    def run(study, out, *, shard=None, pictures=(), settings=settings, time_limit_s=None, workers=None):
        setup = Setup(settings, pictures, str(out))
        batch = BatchRun(str(study), ResultsFolder(out, shard), setup)
        with batch.results.held(pictures) as ledger:
            plan = batch.plan(ledger)
            here = Here(setup, batch.models)
            by = workers or (LocalWorkers(setup, batch.models, 2, time_limit_s) if time_limit_s else here)
            summary = batch.perform(plan, ledger, by, lambda progress: None)
        return summary, {"/".join(place): why.words for place, (_, why) in plan.jobs.items()}

    return run


@pytest.fixture(scope="session")
def finished(four_visits, perform, tmp_path_factory):
    """Results of the four visits; not to be changed."""
    out = tmp_path_factory.mktemp("finished") / "out"
    perform(four_visits, out, time_limit_s=60.0)
    return out
