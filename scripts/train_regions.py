"""Train the shipped face models again, from nothing: the atlas, the face finder and the face reader.

python scripts/train_regions.py --faces FACES --run runs/regions --out models

Stopped, it goes on where it was when it is called again. `scripts/evaluate.py regions --write-card` measures.
On a site's own photographs: masi train finetune_regions --dataset DATASET --run RUN
"""

from __future__ import annotations

import argparse
from pathlib import Path

EXPERIMENTS = ("face_finder", "face_reader")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=Path, required=True, help="folder of the synthetic faces")
    parser.add_argument("--run", type=Path, required=True, help="folder of checkpoints, logs and models")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="where labels are kept")
    parser.add_argument("--out", type=Path, default=Path("models"), help="where the shipped models lie")
    parser.add_argument("--config", nargs="+", default=list(EXPERIMENTS), help="other experiments")
    arguments = parser.parse_args()

    from masi_vision.cli.train import listening
    from masi_vision.model_files import shipped_folder
    from masi_vision.training import regions
    from masi_vision.training.experiment import load_experiment
    from masi_vision.training.runs import Sources
    from masi_vision.training.train import MODELS, Named, train_models

    base = arguments.run / "atlas"
    regions.with_new_atlas(shipped_folder(), arguments.faces, arguments.cache, base)
    sources = Sources(base, None, arguments.faces, arguments.cache)
    experiments = [Named(Path(one).stem, load_experiment(one)) for one in arguments.config]
    with listening() as listener:
        parts = train_models(experiments, sources, arguments.run, listener)
    regions.ship(parts, arguments.faces, arguments.cache, arguments.run / MODELS, arguments.out)


if __name__ == "__main__":
    main()
