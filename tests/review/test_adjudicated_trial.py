"""A trial with an adjudicator, from the reading page to its endpoint, as docs/statistics.md tells it."""

from collections import Counter

import cv2
import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra stats")

from conftest_review import PASSWORD, Person, graded
from verbs import masi, table

from masi_vision.blinding.key import opened
from masi_vision.review.accounts import add_account
from masi_vision.review.app import create_app
from masi_vision.review.database import writing
from masi_vision.review.lists import give_list
from masi_vision.review.pages import Reviewed
from masi_vision.review.protocol import load_reading_protocol
from masi_vision.review.reading import prepare
from masi_vision.shipped import shipped_file

PASSPHRASE = "a passphrase that nobody knows"
PATIENTS, VISITS = [f"P{number}" for number in range(8)], ("visit-1", "visit-2")
DIFFER = [(patient, "visit-2") for patient in PATIENTS[:3]]


def ok(*arguments):
    done = masi(*arguments)
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def shipped_with(name, file, old, new):
    text = shipped_file("configs", name).read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), encoding="utf-8")
    return file


def area_of(unit, reader):
    """What a reader gives; ben sees two grades more in the units of `DIFFER`, and in every hidden repeat."""
    number = PATIENTS.index(unit.patient)
    area = 2 + number % 3 - (unit.visit == "visit-2") * (number % 2)
    return area + 2 * (reader == "ben" and _differ(unit))


def _differ(unit):
    return bool(unit.repeat_of) or (unit.patient, unit.visit) in DIFFER


def read_by_all(app, units):
    """Readers finish; the adjudicator grades P0, cannot grade P1, leaves P2, and repeats of first visits."""
    for name in ("anna", "ben"):
        reader = Person(app, name)
        while (code := reader.next_code) is not None:
            assert reader.lock(code, graded(area=area_of(units[code], name), darkness=2)).status_code == 200
    adam = Person(app, "adam")
    cannot = {"grades": {}, "ungradable": "out of focus"}
    for code, unit in units.items():
        leaves = unit.visit == "visit-1" if unit.repeat_of else unit.patient == "P2"
        if _differ(unit) and not leaves:
            reading = cannot if unit.patient == "P1" else graded(area=6 - bool(unit.repeat_of), darkness=2)
            assert adam.lock(code, reading).status_code == 200


@pytest.mark.long
def test_what_the_adjudicator_locked_is_the_endpoint_and_what_awaits_him_is_missing(
    tmp_path, engine, monkeypatch
):
    monkeypatch.setattr("masi_vision.blinding.check._UNLIKELY", 0)  # else chance has a set refused, rarely
    picture = np.random.default_rng(0).integers(30, 230, (80, 72, 3))
    for number, place in enumerate((patient, visit) for patient in PATIENTS for visit in VISITS):
        folder = (tmp_path / "study").joinpath(*place)
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "front.jpg"), (picture - number).astype(np.uint8))
    arms = "".join(f"{patient},{'AB'[number % 2]}\n" for number, patient in enumerate(PATIENTS))
    (tmp_path / "arms.csv").write_text(f"patient,arm\n{arms}")
    (tmp_path / "phrase").write_text(PASSPHRASE + "\n")
    coded, key, phrase = tmp_path / "set", tmp_path / "trial.key", ["--passphrase-file", tmp_path / "phrase"]
    readers = ["--reader", "anna", "--reader", "ben", "--repeats", 1]
    ok("blind", tmp_path / "study", "--out", coded, "--key", key, *readers, *phrase)
    units = {unit.code: unit for unit in opened(key, PASSPHRASE).units}
    assert Counter(bool(unit.repeat_of) for unit in units.values()) == {False: 16, True: 8}

    at_once = ("days_between_parts: 14", "days_between_parts: 0")
    asked = ["--protocol", shipped_with("protocol.yaml", tmp_path / "protocol.yaml", *at_once)]
    protocol = load_reading_protocol(asked[1])
    with writing(engine) as session:
        prepare(session, coded, protocol)
        add_account(session, "adam", "adjudicator", PASSWORD)
        for name in ("anna", "ben"):
            add_account(session, name, "reader", PASSWORD, list_name=name)
            give_list(session, name, coded, protocol)
    read_by_all(create_app(Reviewed(engine, coded, protocol, {})), units)
    database = ["--db", tmp_path / "reads.db", *asked]
    ok("review", "close", *database, "--incomplete", "adam is ill")
    ok("review", "export", *database, "--out", tmp_path / "exported")
    lock = ["--reason", "database lock", "--before-lock", "one unit will not be adjudicated"]
    told = [*lock, "--allocation", tmp_path / "arms.csv", *phrase, "--out", tmp_path / "opened"]
    ok("unblind", tmp_path / "exported", "--key", key, *told)

    primary = shipped_with("outcome.yaml", tmp_path / "a.yaml", "primary: visit-6", "primary: visit-2")
    replaces = tmp_path / "b.yaml"
    replaces.write_text(primary.read_text().replace("adjudicated: ignored ", "adjudicated: replaces"))
    reads, values = tmp_path / "opened" / "reads.csv", {}
    for file in (primary, replaces):
        said = ok("outcome", reads, "--protocol", file, "--out", tmp_path / file.stem)
        rows = table(tmp_path / file.stem / "patients.csv")[1]
        values[file] = {row["patient"]: (row["baseline"], row["primary"]) for row in rows}
    assert "by adam; missing for the want of them: 1 (not adjudicated), 1 (the adjudicator could" in said
    assert "and were not graded there: 1 of A. The protocol" in said
    assert {of: values[primary][of][1] for of in ("P0", "P1", "P2")} == {"P0": "6", "P1": "6", "P2": "10"}
    means = {name: baseline for name, (baseline, _) in values[primary].items()}
    settled = {"P0": (means["P0"], "12"), "P1": (means["P1"], ""), "P2": (means["P2"], "")}
    assert values[replaces] == values[primary] | settled
