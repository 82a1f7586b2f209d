"""A small trial that never was, as tables: reads by three readers, and the truth with its arms."""

import csv

import numpy as np

REGIONS = {"forehead": 0.3, "right_malar": 0.3, "left_malar": 0.3, "chin": 0.1}


def write_trial(folder, patients=16, visits=3, seed=0):
    """Write reads.csv, truth.csv and arms.csv: arm D loses most of its pigment, arm A next to none."""
    rng = np.random.default_rng(seed)
    reads = [["reader", "patient", "visit", "region", "area", "darkness"]]
    truth, arms = [["patient", "arm", "visit", "status", "reason", "mmasi", "quality"]], [["patient", "arm"]]
    for number in range(patients):
        patient, arm = f"P{number:03d}", "ABCD"[number % 4]
        arms.append([patient, arm])
        darkness = {region: int(rng.integers(2, 5)) for region in REGIONS}
        first = {region: rng.uniform(3, 6) for region in REGIONS}
        for visit in range(1, visits + 1):
            left = 1 - (0.05, 0.15, 0.35, 0.7)["ABCD".index(arm)] * (visit - 1) / (visits - 1)
            areas = {region: max(first[region] * left + rng.normal(0, 0.4), 0) for region in REGIONS}
            mmasi = sum(weight * areas[region] * darkness[region] for region, weight in REGIONS.items())
            truth.append([patient, arm, f"visit-{visit}", "scored", "", f"{mmasi:.2f}", "pass"])
            for reader in ("R1", "R2", "R3"):
                for region in REGIONS:
                    area = int(np.clip(round(areas[region] + rng.normal(0, 0.5)), 0, 6))
                    grades = [area, darkness[region] if area else ""]
                    reads.append([reader, patient, f"visit-{visit}", region, *grades])
    for name, rows in (("reads.csv", reads), ("truth.csv", truth), ("arms.csv", arms)):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)


def regions_of(scores):
    """Rows of regions.csv of a run that graded none of these visits' regions."""
    names = (*REGIONS, "nose", "upper_lip")
    of_visits = [{"patient": row["patient"], "visit": row["visit"]} for row in scores]
    return [one | {"region": n, "flag": "", "area": "", "darkness": ""} for one in of_visits for n in names]


def signed_reads(readers=("anna", "ben"), patients=12):
    """Rows of reads.csv as the reading page exports them when it is closed, after `masi unblind`."""
    rng, rows = np.random.default_rng(1), []
    for number in range(patients):
        first = int(rng.integers(3, 6))
        for visit, area in (("visit-1", first), ("visit-6", first - 2 * (number % 2))):
            for reader in readers:
                given = min(max(area + int(rng.integers(-1, 2)), 1), 6)
                grades = {
                    f"{r}_{item}": str(grade)
                    for r in REGIONS
                    for item, grade in (("area", given), ("darkness", 2))
                }
                row = {"patient": f"P{number:03d}", "visit": visit, "repeat_of": "", "reader": reader}
                row |= {"stage": "blind", "version": "1", "latest": "1"} | grades
                when = "2026-05-01T10:00:00.000+00:00"
                rows.append(row | {"mmasi": f"{2 * given}.0", "locked_utc": when, "closed_utc": when})
    return rows


def write_rows(file, rows):
    """A table of these rows."""
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return file
