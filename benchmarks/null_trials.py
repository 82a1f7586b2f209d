"""How often a trial is called effective where no arm differs, and where the arms of `masi phantom` do.

    python benchmarks/null_trials.py [--trials 400] [--write]

Every trial is drawn anew as `masi phantom` draws it: patients with planted melasma, arms, visits, what
treatment leaves, three readers who err as dermatologists do. What the readers grade goes through the analyses
of `masi outcome`. No photograph is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from page import parser_of, write_results
from scipy.stats import binomtest

from masi_vision.config import Settings, load_settings
from masi_vision.face.align import skin_area
from masi_vision.face.atlas import SUBUNIT_OF_REGION
from masi_vision.face.models import ATLAS, read_atlas
from masi_vision.phantom.cohort import (
    ARMS,
    Arm,
    Reader,
    allocation,
    draw_patient,
    draw_readers,
    draw_skin,
    read,
    truth_of,
)
from masi_vision.phantom.melasma import RegionTruth
from masi_vision.scale import ABSENT, MASI_REGIONS, MasiRegion, RegionGrade, mmasi
from masi_vision.shipped import shipped_file
from masi_vision.stats.courses import Course
from masi_vision.stats.outcome import outcome
from masi_vision.stats.outcome_protocol import load_outcome_protocol

PAGE = Path(__file__).parent.parent / "docs" / "statistics.md"
SAME = tuple(Arm(arm.name, 0.25) for arm in ARMS)
PATIENTS, READERS, VISITS = 80, 3, (0, 2, 5)  # baseline, after a treatment, the end, of six
ANALYSES = ("primary", "sensitivity: MMRM", "sensitivity: baseline carried forward")
LEVEL = 0.05
SHRUNK = 4  # regions are as well known from every fourth pixel, sixteen times as fast


def drawn_trial(seed: int, arms: Sequence[Arm], settings: Settings) -> list[Course]:
    """One trial as its readers' mean sees it; a follow-up in twenty is missing."""
    rng = np.random.default_rng((20, seed))
    atlas = read_atlas(shipped_file("models", ATLAS))
    codes, area = atlas.labels[::SHRUNK, ::SHRUNK], skin_area(atlas)[::SHRUNK, ::SHRUNK]
    regions = {name: int(subunit) for name, subunit in SUBUNIT_OF_REGION.items()}
    readers, made = draw_readers(READERS, rng), []
    for number, arm in enumerate(allocation(PATIENTS, arms, rng)):
        patient = draw_patient(f"P{number:03d}", arm, draw_skin(rng), codes, regions.values(), rng)
        values = {}
        for visit in VISITS:
            truth = truth_of(patient.at(visit, VISITS[-1] + 1), codes, regions, area)
            graded = [graded_by(reader, truth, settings, rng) for reader in readers]
            if visit == 0 or rng.random() > 0.05:
                values[f"visit-{visit + 1}"] = float(np.mean(graded))
        made.append(Course(patient.name, arm.name, values))
    return made


def graded_by(
    reader: Reader, truth: dict[MasiRegion, RegionTruth], settings: Settings, rng: np.random.Generator
) -> float:
    """The mMASI that one reader comes to."""
    scale, grades = settings.scale, dict.fromkeys(MASI_REGIONS, ABSENT)
    for one in read(reader, truth, scale.area_cut_points, scale.darkness_cut_points_od, rng):
        if one.area:
            grades[one.region] = RegionGrade(one.area, one.darkness, 0)
    return mmasi(grades)


Tested = dict[str, dict[str, float]]
"""Of a trial: by analysis, p of every comparison, for all comparisons together."""


def tested(seed: int, arms: Sequence[Arm]) -> Tested:
    """What every analysis says of a trial."""
    protocol = load_outcome_protocol()
    rows = [
        row
        for row in outcome(drawn_trial(seed, arms, load_settings()), protocol)
        if row.measure == "difference"
    ]
    return {
        analysis: {row.arm: row.p_adjusted for row in rows if row.analysis == analysis}
        for analysis in ANALYSES
    }


def table(null: list[Tested], effective: list[Tested]) -> str:
    """How often each analysis calls an arm different."""
    comparisons = list(effective[0][ANALYSES[0]])
    heads = ["analysis", "no arm differs: any called effective (must: 2.5 to 7.5 %)"]
    heads += [f"arms differ: {name} found" for name in comparisons]
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    for analysis in ANALYSES:
        wrong, of = sum(min(trial[analysis].values()) < LEVEL for trial in null), len(null)
        interval = binomtest(wrong, of).proportion_ci(0.95, "wilson")
        shares = [np.mean([trial[analysis][name] < LEVEL for trial in effective]) for name in comparisons]
        said = f"{wrong / of:.1%} of {of} ({interval.low:.1%} to {interval.high:.1%})"
        lines.append(f"| {analysis} | {said} | " + " | ".join(f"{share:.0%}" for share in shares) + " |")
    effects = ", ".join(f"{arm.name} {arm.effect:.0%}" for arm in ARMS)
    words = (
        f"{PATIENTS} patients, {READERS} readers. Right: {len(effective)} trials in which so much of the "
        f"pigment goes by the end: {effects}; p for all comparisons together below {LEVEL:g}."
    )
    return "\n".join([*lines, "", words])


def main() -> None:
    parser = parser_of(__doc__, writes="the table into docs/statistics.md", faces=False)
    parser.add_argument("--trials", type=int, default=400)
    arguments = parser.parse_args()
    with ProcessPoolExecutor(2) as pool:
        null = list(pool.map(partial(tested, arms=SAME), range(arguments.trials), chunksize=5))
        rest = range(arguments.trials, arguments.trials + max(arguments.trials // 4, 1))
        effective = list(pool.map(partial(tested, arms=ARMS), rest, chunksize=5))
    results = table(null, effective)
    print(results)
    if arguments.write:
        write_results(PAGE, results)


if __name__ == "__main__":
    main()
