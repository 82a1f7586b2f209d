"""A study split without a scheduler, and gathered again."""

import os
import stat
from pathlib import Path

import pytest
from faults import TABLES, contents, done_in, make_study
from verbs import masi

from masi_vision.batch.ledger import LEDGER
from masi_vision.batch.results import ResultsFolder
from masi_vision.batch.shard import Shard
from masi_vision.batch.study import visits_of
from masi_vision.errors import OutputError, StatsError, StudyError
from masi_vision.report.tables import refuse_stopped


def test_each_visit_belongs_to_one_shard(four_visits, settings):
    visits = visits_of(str(four_visits), settings.views)
    for of in (1, 2, 5):
        parts = [[one.place for one in visits if Shard(n, of).holds(one)] for n in range(1, of + 1)]
        assert sorted(place for part in parts for place in part) == [one.place for one in visits]


def test_shards_gathered_are_the_study_and_nothing_is_scored_twice(four_visits, perform, finished, tmp_path):
    out, drawn = tmp_path / "out", ("overlays",)
    done = {}
    for number in (1, 2, 3):
        perform(four_visits, out, shard=Shard(number, 3), pictures=drawn)
        done |= done_in(ResultsFolder(out, Shard(number, 3)).folder)
    assert len(done) == 4
    assert os.name != "posix" or stat.S_IMODE(out.stat().st_mode) == 0o700
    _, reasons = perform(four_visits, out, pictures=drawn)
    assert reasons == {}
    assert done_in(out) == done
    for name in TABLES:
        assert (out / name).read_bytes() == (finished / name).read_bytes(), name
    assert len(contents(out)) == len(TABLES) + 4


def test_parts_are_found_where_a_lock_takes_its_file_away(four_visits, perform, tmp_path, monkeypatch):
    """As on Windows: what says that a part was at work may be gone."""
    from filelock import UnixFileLock

    let_go = UnixFileLock._release

    def let_go_as_windows(lock):
        let_go(lock)
        Path(lock.lock_file).unlink(missing_ok=True)

    monkeypatch.setattr(UnixFileLock, "_release", let_go_as_windows)
    out = tmp_path / "out"
    for number in (1, 2):
        perform(four_visits, out, shard=Shard(number, 2))
    assert not list(out.rglob(".run.lock"))
    _, reasons = perform(four_visits, out)
    assert reasons == {}


def test_what_no_shard_has_done_is_scored_when_gathered(four_visits, perform, tmp_path, settings):
    out = tmp_path / "out"
    perform(four_visits, out, shard=Shard(1, 2))
    held = {one.place for one in visits_of(str(four_visits), settings.views) if Shard(1, 2).holds(one)}
    _, reasons = perform(four_visits, out)
    assert set(reasons) == {"P01/visit-1", "P01/visit-2", "P01/visit-3", "P02/visit-1"} - held


def test_a_shard_at_work_is_not_gathered(four_visits, perform, tmp_path):
    from filelock import FileLock

    out = tmp_path / "out"
    perform(four_visits, out, shard=Shard(1, 2))
    with FileLock(ResultsFolder(out, Shard(1, 2)).folder / ".run.lock"):
        done = masi("batch", four_visits, "--out", out)
    assert done.exit_code == 2
    assert "Another run works in" in done.stderr


def test_a_part_is_no_study(four_visits, perform, tmp_path):
    """Its tables lack visits, and would tell of a trial of half its patients."""
    out = tmp_path / "out"
    perform(four_visits, out, shard=Shard(1, 2))
    part = ResultsFolder(out, Shard(1, 2)).folder
    with pytest.raises(StatsError, match=r"holds part 1/2 of a study alone\. .*without --shard"):
        refuse_stopped(part)
    perform(four_visits, out)
    refuse_stopped(out)


def test_a_part_that_is_damaged_is_deleted_and_the_rest_stays(four_visits, perform, finished, tmp_path):
    out = tmp_path / "out"
    for number in (1, 2):
        perform(four_visits, out, shard=Shard(number, 2))
    spoilt = ResultsFolder(out, Shard(2, 2)).folder / LEDGER
    spoilt.write_bytes(b"no ledger")
    with pytest.raises(OutputError, match=r"or delete it: .* the other parts stay"):
        perform(four_visits, out)
    spoilt.unlink()
    _, reasons = perform(four_visits, out)
    assert 0 < len(reasons) < 4
    assert (out / "scores.csv").read_bytes() == (finished / "scores.csv").read_bytes()


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0"])
def test_a_shard_that_is_none_is_refused(text, four_visits, tmp_path):
    with pytest.raises(ValueError, match="a shard must be"):
        Shard.parse(text)
    done = masi("batch", four_visits, "--out", tmp_path / "out", "--shard", text)
    assert done.exit_code == 2
    assert "a shard must be" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_parts_of_later_are_taken_with_their_pictures_and_those_of_before_are_drawn_again(
    four_visits, perform, settings, tmp_path
):
    out, drawn = tmp_path / "out", ("overlays",)
    scale = settings.scale.model_copy(update={"noise_floor": 0.02})
    other = settings.model_copy(update={"scale": scale})
    for chosen in (settings, other):
        for number in (1, 2):
            perform(four_visits, out, shard=Shard(number, 2), pictures=drawn, settings=chosen)
        assert perform(four_visits, out, pictures=drawn, settings=chosen)[1] == {}
    perform(four_visits, out, pictures=drawn)  # draws over what the parts drew
    _, reasons = perform(four_visits, out, pictures=drawn, settings=other)
    assert set(reasons.values()) == {"its pictures may be of another run"}


@pytest.mark.long
def test_a_part_of_another_study_draws_over_nothing(perform, tmp_path):
    """The whole was scored; the part's own ledger is new, so only the whole's can tell."""
    out, drawn = tmp_path / "out", ("overlays",)
    first, other = (make_study(tmp_path / name, 12) for name in ("one", "other"))
    for photo in other.rglob("front.jpg"):
        photo.write_bytes(photo.read_bytes() + b"another")
    perform(first, out, pictures=drawn)
    before = contents(out)
    with pytest.raises(StudyError, match="has another photo at each of the"):
        perform(other, out, shard=Shard(1, 2), pictures=drawn)
    assert {name: contents(out)[name] for name in before} == before
    split = tmp_path / "split"
    for number in (1, 2):
        perform(first, split, shard=Shard(number, 2))
    for shard in (Shard(1, 4), None):  # nor over what only parts have done
        with pytest.raises(StudyError, match="has another photo at each of the 12 visits"):
            perform(other, split, shard=shard)
