"""A trial from its photographs to its results, by the commands of docs/statistics.md, on a small study."""

import csv

import cv2
import numpy as np
import pytest

for needed in ("scipy", "matplotlib"):
    pytest.importorskip(needed, reason="needs the extra stats")

from conftest_review import PASSWORD, Person, graded  # noqa: E402
from verbs import masi, table  # noqa: E402

from masi_vision.blinding.key import opened  # noqa: E402
from masi_vision.phantom.demo import demo_folder  # noqa: E402
from masi_vision.review.accounts import add_account  # noqa: E402
from masi_vision.review.app import create_app  # noqa: E402
from masi_vision.review.database import writing  # noqa: E402
from masi_vision.review.lists import give_list  # noqa: E402
from masi_vision.review.pages import Reviewed  # noqa: E402
from masi_vision.review.protocol import load_reading_protocol  # noqa: E402
from masi_vision.review.reading import prepare  # noqa: E402
from masi_vision.shipped import shipped_file  # noqa: E402

pytestmark = pytest.mark.long

VISITS = ("visit-1", "visit-2")
PASSPHRASE = "a passphrase that nobody knows"


def demonstration(folder):
    """Six patients in the photographs of the demo, each in another light, before and after treatment."""
    rng, arms = np.random.default_rng(0), {f"P{number:02d}": "AB"[number % 2] for number in range(6)}
    for patient in arms:
        for visit in VISITS:
            picture = cv2.imread(str(demo_folder() / "demo-01" / visit / "front.jpg"))
            brighter = np.clip(picture * rng.uniform(0.85, 1.0), 0, 255).astype(np.uint8)
            (folder / patient / visit).mkdir(parents=True)
            cv2.imwrite(str(folder / patient / visit / "front.jpg"), brighter)
    return arms


def phantom(folder, faces):
    """Six patients by masi phantom, in two arms."""
    made = ["--patients", 6, "--visits", 2, "--effects", "0.1,0.7", "--seed", 3]
    ok("phantom", *made, "--faces", faces, "--out", folder)
    _, rows = table(folder.with_name("study-truth") / "truth.csv")
    return {row["patient"]: row["arm"] for row in rows}


def grades_of(unit, arm, reader):
    """What a reader gives: arm B loses two grades, arm A none; each errs by one now and then.

    By patient, visit and whether it is the repeat, not by what was read first: codes, repeats and orders of a
    coded set are others each time, and in 3 % of them six patients would not show the difference.
    """
    visit, time = unit.visit, 1 + bool(unit.repeat_of)
    rng = np.random.default_rng([ord(one) for one in f"{unit.patient}{visit}{reader}{time}"])
    area = 4 - 2 * (visit == VISITS[1] and arm == "B") + rng.integers(-1, 2)
    return graded(area=int(np.clip(area, 1, 6)), darkness=3 - int(reader == "ben"))


def ok(*arguments):
    done = masi(*arguments)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def arms(request, tmp_path):
    """A study and its arms: by masi phantom, where it and its faces are at hand."""
    try:
        faces = request.getfixturevalue("faces_folder")
        pytest.importorskip("torch")
    except pytest.skip.Exception:
        return demonstration(tmp_path / "study")
    return phantom(tmp_path / "study", faces)


def test_from_photographs_to_results(arms, tmp_path, engine, monkeypatch):
    # Of 800 sets of so few units chance orders one by patient or visit, and masi blind asks for another.
    monkeypatch.setattr("masi_vision.blinding.check._UNLIKELY", 0)
    (tmp_path / "arms.csv").write_text("patient,arm\n" + "".join(f"{p},{a}\n" for p, a in arms.items()))
    (tmp_path / "phrase").write_text(PASSPHRASE + "\n")
    phrase = ["--passphrase-file", tmp_path / "phrase"]
    coded, key = tmp_path / "set", tmp_path / "trial.key"
    readers = ["--reader", "anna", "--reader", "ben"]
    ok("blind", tmp_path / "study", "--out", coded, "--key", key, *readers, *phrase)

    done = masi("batch", coded, "--out", tmp_path / "results", "--workers", 1)
    assert done.exit_code in (0, 1), done.output  # 1: some faces of the phantoms are refused

    shipped = shipped_file("configs", "protocol.yaml").read_text()
    at_once = shipped.replace("days_between_parts: 14", "days_between_parts: 0")
    (tmp_path / "protocol.yaml").write_text(at_once)
    protocol = load_reading_protocol(tmp_path / "protocol.yaml")
    units = {unit.code: unit for unit in opened(key, PASSPHRASE).units}
    with writing(engine) as session:
        prepare(session, coded, protocol)
        for name in ("anna", "ben"):
            add_account(session, name, "reader", PASSWORD, list_name=name)
            give_list(session, name, coded, protocol)
    app = create_app(Reviewed(engine, coded, protocol, {}))
    for name in ("anna", "ben"):
        reader = Person(app, name)
        while (code := reader.next_code) is not None:
            unit = units[code]
            assert reader.lock(code, grades_of(unit, arms[unit.patient], name)).status_code == 200
    exported = tmp_path / "exported"
    asked = ["--protocol", tmp_path / "protocol.yaml"]
    ok("review", "close", "--db", tmp_path / "reads.db", *asked)
    ok("review", "export", "--db", tmp_path / "reads.db", *asked, "--out", exported)
    for name in ("scores.csv", "regions.csv", "run.json"):
        (exported / name).write_bytes((tmp_path / "results" / name).read_bytes())

    lock = ["--reason", "database lock", "--allocation", tmp_path / "arms.csv"]
    ok("unblind", exported, "--key", key, *lock, *phrase, "--out", tmp_path / "opened")
    reads, scores = (tmp_path / "opened" / name for name in ("reads.csv", "scores.csv"))
    with reads.open() as stream:
        assert {row["patient"] for row in csv.DictReader(stream)} == set(arms)

    agree = ok("agree", reads, "--scores", scores, "--out", tmp_path / "agreement", "--draws", 100)
    assert "anna less ben: bias, mMASI" in agree
    assert "no run.json lies beside" not in agree
    rules = (
        shipped_file("configs", "outcome.yaml").read_text().replace("primary: visit-6", "primary: visit-2")
    )
    (tmp_path / "outcome.yaml").write_text(rules)
    said = ok("outcome", reads, "--protocol", tmp_path / "outcome.yaml", "--out", tmp_path / "outcome")
    assert "primary: B less A -" in said
    parts = ["--agreement", tmp_path / "agreement", "--outcome", tmp_path / "outcome"]
    ok(
        "report",
        tmp_path / "results",
        "--reads",
        reads,
        "--scores",
        scores,
        *parts,
        "--out",
        tmp_path / "report",
    )
    ok(
        "export",
        "--reads",
        reads,
        "--results",
        tmp_path / "opened",
        "--study",
        "S",
        "--out",
        tmp_path / "data",
    )

    _, figures = table(tmp_path / "agreement" / "agreement.csv")
    topics = {row["topic"] for row in figures}
    assert topics == {"readers", "grades", "repeats", "software", "leave one out", "change"}
    _, found = table(tmp_path / "outcome" / "outcome.csv")
    (primary,) = [r for r in found if (r["analysis"], r["measure"]) == ("primary", "difference")]
    assert float(primary["value"]) < -1.5
    _, values = table(tmp_path / "data" / "long.csv")
    assert {row["evaluator"] for row in values} == {"anna", "ben", "ALGORITHM"}
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Blind reads with grades" in page
    assert "0 second values were locked on the reading page" in page
    assert f"Of {4 * len(VISITS) * len(arms)} regions of MASI" in page  # by the codes, without repeats
