"""docs/python.md: its snippets run as they stand, one after another, and mean what the page says."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_every_snippet_of_the_page_runs(demo_visits, tmp_path, monkeypatch):
    pytest.importorskip("scipy", reason="the page shows the statistics too: extra stats")
    for name, visit in zip(("before", "after"), demo_visits, strict=False):
        (tmp_path / name).mkdir()
        shutil.copy(visit / "front.jpg", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for snippet in SNIPPETS:
        exec(compile(snippet, str(PAGE), "exec"), names)
    result, visit, same, change = (names[one] for one in ("result", "visit", "same", "change"))
    assert result.status == visit.status == same.status == "scored"
    assert same.scores.mmasi == pytest.approx(visit.scores.mmasi, abs=0.3)  # another decoder's pixels
    assert change.status == "compared"
    assert names["forehead"].shape == result.measures.photo.full_size
    assert 0.02 < np.median(names["pigmented"]) < 0.5
    truth, planted = names["truth"], names["score_photo"](names["planted"])
    before, after = (one.regions["right_malar"].measure.pigmented_fraction for one in (result, planted))
    assert truth.pigmented_fraction > 0.2
    assert after > before + truth.pigmented_fraction / 4
