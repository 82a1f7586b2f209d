"""Train the shipped network of the pigment map again, on phantoms.

python scripts/train_pigment.py --faces FACES --run runs/pigment --out models

Without --run nothing is trained: the errors of the network in --out, and its intervals, are measured anew.
Stopped, it goes on where it was when it is called again. Then `benchmarks/pigment.py --write` measures it.
On a site's own photographs: masi train finetune_regions finetune_pigment --dataset DATASET --run RUN
"""

from __future__ import annotations

import argparse
from pathlib import Path

EXPERIMENTS = ("pigment", "pigment_visits", "pigment_large")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=Path, required=True, help="folder of the synthetic faces")
    parser.add_argument("--run", type=Path, help="folder of checkpoints, logs and models")
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/cache"), help="where labels and faces are kept"
    )
    parser.add_argument("--out", type=Path, default=Path("models"), help="where the shipped models lie")
    parser.add_argument("--config", nargs="+", default=list(EXPERIMENTS), help="other experiments")
    parser.add_argument("--people", type=int, default=90, help="validation people for cut and intervals")
    arguments = parser.parse_args()

    from masi_vision.cli.train import listening
    from masi_vision.model_files import shipped_folder
    from masi_vision.training import pigment_export
    from masi_vision.training.experiment import load_experiment
    from masi_vision.training.runs import Sources
    from masi_vision.training.train import MODELS, Named, train_models

    where = arguments.faces, arguments.cache
    if arguments.run is None:
        print(pigment_export.measure_errors(*where, arguments.out, people=arguments.people))
        return
    sources = Sources(shipped_folder(), None, *where)
    experiments = [Named(Path(one).stem, load_experiment(one)) for one in arguments.config]
    with listening() as listener:
        parts = train_models(experiments, sources, arguments.run, listener)
    models = arguments.run / MODELS
    print(pigment_export.ship(parts, *where, models, arguments.out, people=arguments.people))


if __name__ == "__main__":
    main()
