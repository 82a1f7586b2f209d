"""A study by models of a folder: every worker opens the same, and a ledger knows them by their hash."""

import json
import shutil

import pytest
from faults import TABLES
from model_folders import copied, rehash, retrained
from scored_here import Here
from verbs import table

from masi_vision.batch.cluster import score_there
from masi_vision.batch.job import Job, Setup
from masi_vision.batch.pool import LocalWorkers
from masi_vision.batch.results import ResultsFolder
from masi_vision.batch.run import BatchRun
from masi_vision.batch.worker import Worker
from masi_vision.errors import ModelError, StudyError
from masi_vision.report.tables import models_hash
from masi_vision.source_code import version_and_code
from masi_vision.visit.models import open_models


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return retrained(tmp_path_factory.mktemp("trained") / "site-a")


@pytest.fixture(scope="module")
def perform_with(settings):
    """Run over a study with the models of a folder; the reasons of what was scored."""

    def run(study, out, models="", workers=Here):
        batch = BatchRun(str(study), ResultsFolder(out, None), Setup(settings, (), str(out), str(models)))
        with batch.results.held(()) as ledger:
            plan = batch.plan(ledger)
            by = workers(batch.setup, batch.models, 2, 60.0)
            batch.perform(plan, ledger, by, lambda progress: None)
        return {"/".join(place): why.words for place, (_, why) in plan.jobs.items()}

    return run


@pytest.fixture(scope="module")
def finished_with(four_visits, perform_with, trained, tmp_path_factory):
    """Results of the four visits by the site's models, of real workers; not to be changed."""
    out = tmp_path_factory.mktemp("finished") / "out"
    perform_with(four_visits, out, trained, LocalWorkers)
    return out


def models_in(out):
    """Name and hash of the models by which each visit was scored."""
    return {(row["models"], row["models_sha256"]) for row in table(out / "scores.csv")[1]}


def test_workers_score_with_the_models_of_the_folder(finished_with, finished, trained):
    assert models_in(finished_with) == {("site-a", models_hash(open_models(trained).sha256))}
    ((_, shipped),) = models_in(finished)
    assert models_in(finished) == {("shipped", models_hash(open_models().sha256))}
    text = (finished_with / "scores.csv").read_text()
    ((_, own),) = models_in(finished_with)
    # The network measures as the shipped one does: nothing but the names of the models differs.
    assert text.replace(f",site-a,{own},", f",shipped,{shipped},") == (finished / "scores.csv").read_text()
    assert (finished_with / "regions.csv").read_bytes() == (finished / "regions.csv").read_bytes()


def test_other_models_score_all_again_and_the_same_ones_nothing(
    finished_with, four_visits, perform_with, trained, tmp_path
):
    out = shutil.copytree(finished_with, tmp_path / "out")
    assert perform_with(four_visits, out, trained) == {}
    why = "models changed: site-a, now shipped (pigment_reader.onnx)"
    assert set(perform_with(four_visits, out).values()) == {why}
    assert {name for name, _ in models_in(out)} == {"shipped"}


def test_the_same_models_under_another_name_score_nothing_again_but_have_their_name(
    finished_with, four_visits, perform_with, trained, tmp_path
):
    renamed = shutil.copytree(trained, tmp_path / "clinic_7.b")
    out, fresh = shutil.copytree(finished_with, tmp_path / "out"), tmp_path / "fresh"
    assert perform_with(four_visits, out, renamed) == {}
    perform_with(four_visits, fresh, renamed)
    for name in TABLES:
        assert (out / name).read_bytes() == (fresh / name).read_bytes(), name
    assert {name for name, _ in models_in(out)} == {"clinic_7.b"}
    assert json.loads((out / "run.json").read_text())["models"] == "clinic_7.b"
    assert b"site-a" not in b"".join((out / name).read_bytes() for name in TABLES)


def test_a_worker_refuses_models_that_changed_since_the_run_began(settings, tmp_path, four_visits):
    folder = copied(tmp_path / "site-b")
    began = models_hash(open_models(folder).sha256)
    with (folder / "pigment_reader.onnx").open("ab") as file:
        file.write(b"\x72\x00")  # an empty entry of metadata
    rehash(folder)
    job = Job("P01", "visit-1", "x", {"front": str(four_visits / "P01" / "visit-1" / "front.jpg")})
    setup = Setup(settings, models=str(folder), models_sha256=began)
    said = rf"The models site-b have hash .* Expected {began[:8]}, with which the run began\. Leave models as"
    with Worker(setup) as worker, pytest.raises(ModelError, match=said):
        worker.score(job, 60.0)


def test_what_a_worker_is_told_of_models_arrives(settings):
    setup = Setup(settings, ("overlays",), "out", "models", "ab")
    assert Setup.from_json(setup.to_json()) == setup


def test_a_machine_of_a_cluster_scores_with_the_models_of_the_folder(settings, trained, four_visits):
    job = Job("P01", "visit-1", "x", {"front": str(four_visits / "P01" / "visit-1" / "front.jpg")})
    made = (version_and_code(), models_hash(open_models(trained).sha256))
    setup = Setup(settings, models=str(trained), models_sha256=made[1])
    outcome = json.loads(score_there(job.to_json(), setup.to_json(), 60.0, made))
    assert f",site-a,{made[1]}," in outcome["scores"]


def test_a_machine_of_a_cluster_without_the_models_says_what_is_needed(settings, tmp_path):
    job, setup = Job("P1", "v1", "x", {}), Setup(settings, models=str(tmp_path / "site-a"))
    said = r"On a machine of the cluster: site-a/face.json cannot be read .* Every machine needs"
    with pytest.raises(StudyError, match=said):
        score_there(job.to_json(), setup.to_json(), 10.0, (version_and_code(), "0" * 64))


def test_a_machine_of_a_cluster_with_other_models_is_refused(settings, trained):
    job, setup = Job("P1", "v1", "x", {}), Setup(settings, models=str(trained))
    with pytest.raises(
        StudyError, match=r"A machine of the cluster has masi_vision .* Expected .* with 0000"
    ):
        score_there(job.to_json(), setup.to_json(), 10.0, (version_and_code(), "0" * 64))
