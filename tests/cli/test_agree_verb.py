"""`masi agree`, run as a statistician does."""

import csv

import pytest

pytest.importorskip("scipy", reason="needs the extra stats")

from made_trial import write_trial
from verbs import masi


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("agree")
    write_trial(folder, seed=3)
    return folder


def test_readers_and_software_are_compared(study, tmp_path):
    reads = study / "reads.csv"
    done = masi("agree", reads, "--scores", study / "truth.csv", "--out", tmp_path, "--draws", 100)
    assert done.exit_code == 0, done.output
    assert "Change is from visit visit-1 to visit visit-3" in done.output
    with (tmp_path / "agreement.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    of = {(row["topic"], row["measure"]): float(row["value"]) for row in rows if row["between"] != "software"}
    assert 0.6 < of["readers", "ICC(2,1), absolute agreement of one reader"] < 0.95
    assert of["software", "correlation r"] > 0.9
    again = masi("agree", reads, "--out", tmp_path)
    assert again.exit_code == 2
    assert "--overwrite" in again.output


def test_scores_of_other_visits_are_refused(study, tmp_path):
    (tmp_path / "scores.csv").write_text("patient,visit,mmasi\nX,visit-1,3\n")
    reads = study / "reads.csv"
    done = masi("agree", reads, "--scores", tmp_path / "scores.csv", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "Expected the same names in both tables" in done.output
    assert not (tmp_path / "out").exists()
