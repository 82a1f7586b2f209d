"""Record what the phantoms of `masi selftest` measure with the shipped models, for it to compare with.

python scripts/record_selftest.py
"""

from __future__ import annotations

import json

from masi_vision.cli.selftest import RECORD, measured_phantoms
from masi_vision.phantom.demo import demo_folder


def main() -> None:
    expected = dict(measured_phantoms())
    if refused := [name for name, numbers in expected.items() if not numbers]:
        raise SystemExit(f"{refused[0]} was not scored; expected every phantom of the demo to be")
    (demo_folder() / RECORD).write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(expected, indent=1))


if __name__ == "__main__":
    main()
