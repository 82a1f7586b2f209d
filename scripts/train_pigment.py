"""Train the network that draws the pigment map, on phantoms made as it goes.

python scripts/train_pigment.py fit --faces FACES --run runs/coarse --minutes 40 --shrink 2
python scripts/train_pigment.py fit --faces FACES --run runs/pigment --minutes 12 --start runs/coarse
python scripts/train_pigment.py check --faces FACES --run runs/pigment
python scripts/train_pigment.py export --faces FACES --run runs/pigment --out models
"""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["fit", "check", "export"])
    parser.add_argument("--faces", type=Path, required=True, help="folder of the synthetic faces")
    parser.add_argument("--run", type=Path, required=True, help="folder of checkpoint and log")
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/cache"), help="where labels and faces are kept"
    )
    parser.add_argument("--minutes", type=float, default=240)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shrink", type=int, default=1, help="2: at half the size, four times as fast")
    parser.add_argument("--out", type=Path, default=Path("models"), help="folder of the shipped models")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--darker", type=float, default=1, help="factor on the planted dL*")
    parser.add_argument("--start", type=Path, help="an earlier run whose weights to start from")
    arguments = parser.parse_args()

    from masi_vision.training import pigment, pigment_export

    where = arguments.faces, arguments.cache, arguments.run
    if arguments.what == "fit":
        pigment.train(
            *where,
            arguments.minutes,
            arguments.threads,
            shrink=arguments.shrink,
            darker=arguments.darker,
            rate=arguments.rate,
            start=arguments.start,
        )
    elif arguments.what == "export":
        print(pigment_export.export(*where, arguments.out))
    else:
        figures = pigment.validate(*where, shrink=arguments.shrink)
        pigment.log_validation(arguments.run / "validation.jsonl", figures)
        print(figures)


if __name__ == "__main__":
    main()
