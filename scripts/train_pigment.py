"""Train the network that draws the pigment map, on phantoms made as it goes.

python scripts/train_pigment.py fit --faces FACES --run runs/pigment --minutes 240
python scripts/train_pigment.py check --faces FACES --run runs/pigment
"""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["fit", "check"])
    parser.add_argument("--faces", type=Path, required=True, help="folder of the synthetic faces")
    parser.add_argument("--run", type=Path, required=True, help="folder of checkpoint and log")
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/cache"), help="where labels and faces are kept"
    )
    parser.add_argument("--minutes", type=float, default=240)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--reader", type=Path, help="an exported face reader whose filters to start from")
    arguments = parser.parse_args()

    from masi_vision.training import pigment

    where = arguments.faces, arguments.cache, arguments.run
    if arguments.what == "fit":
        pigment.train(*where, arguments.minutes, arguments.threads, reader=arguments.reader)
    else:
        figures = pigment.validate(*where)
        pigment.log_validation(arguments.run / "validation.jsonl", figures)
        print(figures)


if __name__ == "__main__":
    main()
