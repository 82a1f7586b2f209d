"""`masi train` as a person follows it."""

import pytest

pytest.importorskip("torch", reason="needs the extra train")

from masi_vision.cli.train import listening
from masi_vision.errors import OutputError
from masi_vision.training.train import _alone_in


def test_a_log_file_shows_each_look_and_each_tenth_of_a_training(capsys):
    """Off a terminal no bar is drawn: an hour went by without a line."""
    start, better = {"score": 1.0, "mean_iou": 0.5}, {"score": 2.0, "mean_iou": 0.625}
    with listening() as listener:
        listener.begun("mine", ("One photo was left out.",))
        for step in range(1, 101):
            listener.stepped(step, 100, start if step < 15 else better)
        listener.begun("other", ())
        listener.stepped(1, 2, {})
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == [
        "One photo was left out.",
        "mine: step 1 of 100 (1%); last look at the validation people: mean_iou 0.500",
        "mine: step 10 of 100 (10%); last look at the validation people: mean_iou 0.500",
    ]
    assert lines[3] == "mine: step 15 of 100 (15%); last look at the validation people: mean_iou 0.625"
    assert len(lines) == 1 + 2 + 1 + 9 + 1
    assert lines[-1] == "other: step 1 of 2 (50%)"


def test_a_second_call_in_a_run_is_refused_while_the_first_works(tmp_path):
    """Both would make the models in one folder, and the one that ends first would take it away."""
    with (
        _alone_in(tmp_path / "run"),
        pytest.raises(OutputError, match="Another call of masi train works in"),
        _alone_in(tmp_path / "run"),
    ):
        pass
    with _alone_in(tmp_path / "run"):
        pass
