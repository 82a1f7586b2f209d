"""What reports of trials with software must tell, as far as the software can answer."""

from __future__ import annotations

from collections import Counter

from masi_vision.reads_table import is_locked, ways_made
from masi_vision.report.study import StudyReport

Item = tuple[str, str, str]
"""Of a checklist: number, what it asks, answer."""
NO_STANDARD = "The software does not know it; the trial's own documents say it."
_OUTPUT = (
    "Grades of area and darkness for four regions, mMASI with a 90 % interval; a reason where it has none."
)
_SHIPPED = (
    "Trained on synthetic faces with planted pigment; the model cards and benchmarks/README.md of "
    "masi_vision say how well it does."
)
_OTHER_MODELS = "The cards of these models say what they were trained on and how well they do."
_OPEN = "Open source, Apache-2.0, code and models."
_OF_THE_SYSTEM = ("version changed", "models changed", "settings changed")
"""How masi batch begins the reasons, of those that history.csv has, by which the system became another."""


def checklists(report: StudyReport) -> list[tuple[str, list[Item]]]:
    """Items of CONSORT-AI and of DECIDE-AI that the software can answer, or say that it cannot.

    References
    ----------
    Liu et al., Nature Medicine 26 (2020) 1364-1374. Vasey et al., Nature Medicine 28 (2022) 924-933.
    """
    return [("CONSORT-AI", _consort_ai(report)), ("DECIDE-AI", _decide_ai(report))]


def _consort_ai(report: StudyReport) -> list[Item]:
    return [
        ("5 (i)", "Which version of the algorithm", _version(report)),
        ("5 (ii)", "How input was acquired and selected", NO_STANDARD),
        ("5 (iii)", "How poor or missing input was assessed and handled", _poor_input(report)),
        ("5 (iv)", "Who handled the input, with which expertise", NO_STANDARD),
        ("5 (v)", "What the output is", _OUTPUT),
        ("5 (vi)", "How the output contributed to decisions", _software_shown(report)),
        ("19", "Results of an analysis of errors", _agreement_said(report)),
        ("25 (i)", "How the algorithm can be had", _OPEN),
    ]


def _decide_ai(report: StudyReport) -> list[Item]:
    return [
        (
            "4a",
            "The AI system, its version, what it was trained on, how well it does",
            f"{_version(report)} {_SHIPPED if report.run.get('models') == 'shipped' else _OTHER_MODELS}",
        ),
        (
            "4b",
            "Its input, and how low quality was handled",
            f"Photographs of faces: {_views_said(report)}. {_poor_input(report)}",
        ),
        ("4c", "Its output, and how it was shown", f"{_OUTPUT} {_software_shown(report)}"),
        (
            "6a",
            "How significant errors were found",
            "A photo that fails a check is not used, a region that fails one not graded. "
            f"{report.flags_said} Which regions: regions.csv.",
        ),
        ("9a", "Patients, and what input was missing", _missing_input(report)),
        ("10a", "How often users used the system", _software_shown(report)),
        ("11", "Whether the system was changed during the study", _modifications(report)),
        ("12", "Agreement of users and system", _agreement_said(report)),
        ("13a", "Errors and malfunctions", f"{_poor_input(report)} Others: {NO_STANDARD.lower()}"),
        ("17", "Whether data and code can be had", f"{_OPEN} Of the data: {NO_STANDARD.lower()}"),
    ]


def _version(report: StudyReport) -> str:
    run = report.run
    return (
        f"masi_vision {run.get('version', 'unknown')}, models {run.get('models', 'unknown')}, pigment by "
        f"{run.get('pigment_method', 'unknown')}; hashes at the end of this page."
    )


def _views_said(report: StudyReport) -> str:
    """How many photos show which view."""
    views = Counter(str(one.get("view", "unknown")) for one in report.run.get("inputs", ()))
    return ", ".join(f"{count} {view}" for view, count in sorted(views.items())) or "none"


def _poor_input(report: StudyReport) -> str:
    counts = report.run.get("counts", {})
    accepted_checks = report.run["settings"].get("quality", {}).get("accepted", ())
    named = Counter(one.partition("@")[0] for one in accepted_checks)
    overridden = ", ".join(f"{check} ({count})" for check, count in sorted(named.items()))
    accepted = f" Checks overridden by name: {overridden}." if named else ""
    return (
        f"Checks of quality, limits in the settings below. {counts.get('visits_found', 0)} visits"
        f"{report.repeats_said}; {counts.get('not_scored', 0)} were not scored, each with its reason."
        f"{accepted}"
    )


def _missing_input(report: StudyReport) -> str:
    once = report.rows_once
    patients = {row["patient"] for row in once} - {""}
    known = f"{len(patients)} patients, " if patients else ""
    lost = sum(row["status"] != "scored" for row in once)
    return (
        f"{known}{len(once)} visits, {lost} of them without a score; who they are: the trial's own documents."
    )


def _software_shown(report: StudyReport) -> str:
    """How many readers' units were graded again with the software's score in sight."""
    if not report.reads or "stage" not in report.reads[0]:
        return NO_STANDARD
    second = {
        (row["patient"], row["visit"], row["reader"])
        for row in report.reads
        if row.get("stage") == "with_software" and is_locked(row)
    }
    return (
        f"{len(second)} second values were given after the blind read was locked, with the "
        "software's score in sight; blind reads saw none."
    )


def _modifications(report: StudyReport) -> str:
    """How many programs, settings and models made the scores, and those whose place they took."""
    whys = [why for row in report.history for why in row["why"].split("; ")]
    changes = Counter(why for why in whys if why.startswith(_OF_THE_SYSTEM))
    again = [f"{count} for {why}" for why, count in changes.items()]
    replaced = f"visits were scored again (history.csv): {'; '.join(again)}" if again else ""
    ways = ways_made(report.scores)
    made = f"scores were made in {len(ways)} ways: {'; '.join(ways)}" if len(ways) > 1 else ""
    if found := ". ".join(filter(None, (replaced, made))):
        return f"Yes: {found}."
    return (
        "Not as far as is known: one program, one set of models and one set of settings made these scores, "
        "and no history.csv beside them tells of others. Of runs into other folders nothing is known."
    )


def _agreement_said(report: StudyReport) -> str:
    return "Agreement with the readers, above." if report.agreement else "None was made."
