"""How much of what another site's photographs cost is regained by fine-tuning on 200 of them.

    python benchmarks/finetuning.py --faces FACES [--write]

The site is made (`AWAY` in `benchmarks/made_site.py`): a sensor whose channels leak into each
other, warm light, hard contrast, oblique views only, three times the flush. Nobody on its photographs was
known to the shipped models. The same people are photographed at an ordinary site, at one with the other
camera alone, and at one with the other position alone, so that it is seen what the loss is made of.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from made_site import AWAY, HOME, Domain, people_unseen, write_phantom_dataset
from page import parser_of, write_results

from masi_vision.config import load_settings
from masi_vision.evaluation.comparison import compared
from masi_vision.evaluation.measures import MEASURES
from masi_vision.evaluation.photo_figures import PhotoFigures, evaluate_dataset
from masi_vision.evaluation.summary import Figure, summary
from masi_vision.labels.dataset import Split
from masi_vision.training.cache import TrainingSet, prepare
from masi_vision.training.fit import LOG

PAGE = Path(__file__).parent.parent / "docs" / "training.md"
COUNTS: dict[Split, int] = {"train": 100, "validation": 12, "test": 60}
DOMAINS: dict[str, Domain] = {
    "ordinary": HOME,
    "another camera": replace(AWAY, name="camera", yaw_deg=(0, 0), redness=1.0),
    "another position": replace(HOME, name="position", yaw_deg=AWAY.yaw_deg),
    "another site": AWAY,
}
FIGURES = (
    *("mean_iou", "boundary_error_percent"),
    *("fraction_error", "interval_held", "false_fraction", "lesion_dice"),
)
REGAINED = ("mean_iou", "fraction_error")


@dataclass(frozen=True)
class Column:
    """Models on a site's test photographs."""

    title: str
    figures: list[PhotoFigures]


def make_sets(data: TrainingSet, folder: Path) -> None:
    """Write every data set that is not there yet: 200 outlined photos to train, the rest with densities."""
    people = people_unseen(data, COUNTS)
    parts: dict[str, tuple[Split, ...]] = {"test": ("test",), "site": ("train", "validation")}
    for title, domain in DOMAINS.items():
        for part, splits in parts.items():
            out = folder / f"{domain.name}_{part}"
            if out.exists() or (part == "site" and title != "another site"):
                continue
            chosen = [one for one in people if one[1] in splits]
            write_phantom_dataset(chosen, domain, data.atlas, out, densities=part == "test")


def train(configs: Sequence[str], site: Path, run: Path) -> float:
    """Minutes of fitting, those before a stop included: ``masi train`` goes on where it was stopped."""
    command = [
        sys.executable,
        "-m",
        "masi_vision",
        "train",
        *configs,
        "--dataset",
        str(site),
        "--run",
        str(run),
    ]
    subprocess.run(command, check=True)
    logs = [(run / Path(config).stem / LOG).read_text(encoding="utf-8") for config in configs]
    return sum(float(json.loads(log.splitlines()[-1])["minutes"]) for log in logs)


def tested(folder: Path, title: str, models: Path | None) -> Column:
    """Figures of the test people at a site."""
    from masi_vision.labels.dataset import read_dataset

    data = read_dataset(folder / f"{DOMAINS[title].name}_test")
    whose = "shipped" if models is None else "fine-tuned"
    return Column(f"{whose}, {title}", evaluate_dataset(data, models, load_settings(), workers=2))


def regained(name: str, home: float, before: float, after: float) -> str:
    """Share of what was lost."""
    return f"{(after - before) / (home - before):.0%} of the lost {MEASURES[name].title.lower()}"


def table(columns: Sequence[Column], minutes: float) -> str:
    """Every figure of every column, the difference, and what is regained."""
    summaries = [summary(column.figures) for column in columns]

    def cell(figure: Figure, name: str) -> str:
        measure = MEASURES[name]
        return "" if figure.value is None else measure.text(figure.value)

    lines = [
        f"| on {len({one.patient for one in columns[0].figures})} test people | "
        + " | ".join(column.title for column in columns)
        + " |",
        "| --- |" + " --- |" * len(columns),
        *(
            f"| {MEASURES[name].title} | " + " | ".join(cell(one[name], name) for one in summaries) + " |"
            for name in FIGURES
        ),
        "",
    ]
    by_name = {one.name: one for one in compared(columns[-1].figures, columns[-2].figures)}
    apart = "On the photographs and regions that both measure, so the figures differ from those of the table:"
    lines += [apart, ""]
    lines += [f"- {by_name[name].sentence}" for name in FIGURES if name in by_name]
    values = {name: [one[name].value or np.nan for one in summaries] for name in REGAINED}
    shares = [regained(name, v[0], v[-2], v[-1]) for name, v in values.items()]
    return "\n".join([*lines, "", f"Regained in {minutes:.0f} minutes: {' and '.join(shares)} (must: 80 %)."])


def main() -> None:
    parser = parser_of(__doc__, writes="the table into docs/training.md", cache=True)
    parser.add_argument("--out", type=Path, default=Path("runs/finetuning"), help="sets, run and models")
    parser.add_argument("--configs", nargs="+", default=["finetune_regions", "finetune_pigment"])
    arguments = parser.parse_args()
    out: Path = arguments.out
    make_sets(prepare(arguments.faces, arguments.cache), out)
    minutes = train(arguments.configs, out / f"{AWAY.name}_site", out / "run")
    columns = [tested(out, title, None) for title in DOMAINS]
    columns.append(tested(out, "another site", out / "run" / "models"))
    results = table(columns, minutes)
    print(results)
    if arguments.write:
        write_results(PAGE, results)


if __name__ == "__main__":
    main()
