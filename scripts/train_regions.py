"""Train the two face networks and ship them: the command that made models/face_*.onnx.

python scripts/train_regions.py finder --faces FACES --run runs/finder --minutes 15
python scripts/train_regions.py reader --faces FACES --run runs/reader --minutes 70
python scripts/train_regions.py export --faces FACES --run runs --out models
"""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["labels", "finder", "reader", "export"])
    parser.add_argument("--faces", type=Path, required=True, help="folder of the synthetic faces")
    parser.add_argument("--run", type=Path, required=True, help="folder of checkpoints and log")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where labels are kept")
    parser.add_argument("--minutes", type=float, default=75)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shipped", type=Path, help="let the reader start from this exported one")
    parser.add_argument("--out", type=Path, default=Path("models"))
    arguments = parser.parse_args()

    from masi_vision.training import regions

    if arguments.what == "labels":
        regions.prepare(arguments.faces, arguments.cache)
    elif arguments.what == "export":
        regions.export(arguments.faces, arguments.cache, arguments.run, arguments.out)
    else:
        regions.train(
            arguments.what,
            arguments.faces,
            arguments.cache,
            arguments.run,
            arguments.minutes,
            arguments.threads,
            shipped=arguments.shipped,
        )


if __name__ == "__main__":
    main()
