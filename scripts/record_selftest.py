"""Record what the demo's first visit measures with the shipped models, for `masi doctor` to compare with.

python scripts/record_selftest.py
"""

from __future__ import annotations

import json

from masi_vision import score_visit
from masi_vision.phantom.demo import demo_folder


def main() -> None:
    visit = "demo-01/visit-1"
    result = score_visit(demo_folder() / visit)
    if result.scores is None:
        raise SystemExit(f"the demo visit was not scored: {result.message}")
    fractions = {
        name: round(region.measure.pigmented_fraction, 5)
        for name, region in result.regions.items()
        if region.measure
    }
    expected = {"visit": visit, "mmasi": result.scores.mmasi, "pigmented_fraction": fractions}
    (demo_folder() / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(expected, indent=1))


if __name__ == "__main__":
    main()
