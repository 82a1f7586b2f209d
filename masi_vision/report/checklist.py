"""What reports of trials with software must tell, as far as the software can answer."""

from __future__ import annotations

from collections import Counter

from masi_vision.model_files import SHIPPED
from masi_vision.reads_table import is_locked, is_of_reading_page, ways_made
from masi_vision.report.study import StudyReport

Item = tuple[str, str, str]
"""Of a checklist: number, what it asks, answer."""
NOT_KNOWN = "Not known here; it is for the trial's own documents to say."
_THE_REST = f"The rest: {NOT_KNOWN.lower()}"
_MADE_FOR = (
    "Made for outcome assessors in clinical studies, whom it supports and does not replace; it is not a "
    f"medical device (README.md of masi_vision). {_THE_REST}"
)
_CONDITION = "It scores melasma on photographs of the face."
_ELIGIBLE = (
    "Photographs that pass the checks of quality (docs/quality.md of masi_vision; limits in the settings "
    f"below). Participants: {NOT_KNOWN.lower()}"
)
_NEEDS = "What it needs: README.md of masi_vision; no network once it is installed."
_HANDLED = "Checks overridden by a person: see 5 (iii)."
_OUTPUT = (
    "Grades of area and darkness for four regions, mMASI with a 90 % interval; a reason where it has none."
)
_HOW_WELL = "How well they do: models/ and benchmarks/README.md of masi_vision."
_SHIPPED = {
    "learned": f"Networks, trained on synthetic faces with planted pigment. {_HOW_WELL}",
    "classical": "Networks that were trained on synthetic faces find face and regions; pigment is found by "
    f"rules, which are not trained. {_HOW_WELL}",
}
"""Of the shipped models, by the map that was measured: what they were trained on."""
_OTHER_MODELS = "The cards of these models say what they were trained on and how well they do."
_OF_THE_SYSTEM = ("version changed", "models changed", "settings changed")
"""How masi batch begins the reasons, of those that history.csv has, by which the system became another."""


def checklists(report: StudyReport) -> list[tuple[str, list[Item]]]:
    """All items on AI of CONSORT-AI and DECIDE-AI, each with what is known of it, or that it is not.

    References
    ----------
    Liu et al., Nature Medicine 26 (2020) 1364-1374. Vasey et al., Nature Medicine 28 (2022) 924-933.
    """
    return [("CONSORT-AI", _consort_ai(report)), ("DECIDE-AI", _decide_ai(report))]


def _consort_ai(report: StudyReport) -> list[Item]:
    return [
        ("1a,b (i)", "Title or abstract: that it is AI, of which type", _type_of_model(report)),
        ("1a,b (ii)", "Title or abstract: intended use in the trial", NOT_KNOWN),
        ("2a (i)", "Intended use in the clinical pathway: purpose, users", _MADE_FOR),
        ("4a (i)", "Which participants were eligible", NOT_KNOWN),
        ("4a (ii)", "Which input data were eligible", _ELIGIBLE),
        ("4b", "How it was integrated into the trial, what that needs", f"{_NEEDS} {_THE_REST}"),
        ("5 (i)", "Which version of the algorithm", _version(report)),
        ("5 (ii)", "How input was acquired and selected", f"{_input_said(report)} {_THE_REST}"),
        ("5 (iii)", "How poor or missing input was assessed and handled", _poor_input(report)),
        ("5 (iv)", "Who handled the input, with which expertise", f"{_HANDLED} {_THE_REST}"),
        ("5 (v)", "What the output is", _OUTPUT),
        ("5 (vi)", "How the output contributed to decisions", _software_shown(report)),
        ("19", "Errors of performance: what was analysed, how they were found", _errors(report)),
        ("25", "How algorithm and code can be had", _availability(report)),
    ]


def _decide_ai(report: StudyReport) -> list[Item]:
    return [
        ("1", "Title: that it is an early evaluation of AI, for which problem", NOT_KNOWN),
        ("2a", "Condition and patients it is meant for, current practice", f"{_CONDITION} {_THE_REST}"),
        ("2b", "Users it is meant for, its place in care, expected effect", _MADE_FOR),
        ("3a", "How patients were recruited, which patients and data were eligible", _ELIGIBLE),
        ("3b, 3c", "How users were recruited and made familiar with the system", NOT_KNOWN),
        (
            "4a",
            "The AI system, its version and type, what it was trained on, how well it does",
            f"{_version(report)} {_trained(report)}",
        ),
        (
            "4b",
            "Its input, and how low quality was handled",
            f"{_input_said(report)} {_poor_input(report)}",
        ),
        ("4c", "Its output, and how it was shown", f"{_OUTPUT} How it was shown: {_software_shown(report)}"),
        ("5a, 5b", "Settings; workflow, when the system was used, who decided", NOT_KNOWN),
        (
            "6a",
            "How significant errors were found",
            "A photo that fails a check is not used, a region that fails one not graded. "
            f"{report.flags_said} Which regions: regions.csv.",
        ),
        ("6b", "How risks and harm to patients were found and made small", NOT_KNOWN),
        ("7", "How human factors were studied", NOT_KNOWN),
        ("8", "What was done for ethical aims, such as fairness", _fairness(report)),
        ("9a", "Patients, and what input was missing", _missing_input(report)),
        ("9b", "Who the users were", NOT_KNOWN),
        ("10a", "How often users used the system, and whether as intended", _software_shown(report)),
        ("10b", "How it changed workflow or care", NOT_KNOWN),
        ("11", "Whether the system was changed during the study", _modifications(report)),
        ("12", "Agreement of users with the system", _agreement_said(report)),
        ("13a", "Errors and malfunctions", f"{_poor_input(report)} {_THE_REST}"),
        ("13b", "Risks and harm to patients that were seen", NOT_KNOWN),
        ("14a, 14b", "Usability; how users learned", NOT_KNOWN),
        ("15, 16", "Whether results support the intended use; what they say of safety", NOT_KNOWN),
        ("17", "Whether data and code can be had", f"{_availability(report)} The data: {NOT_KNOWN.lower()}"),
    ]


def _version(report: StudyReport) -> str:
    run = report.run
    return (
        f"masi_vision {run.get('version', 'unknown')}, models {run.get('models', 'unknown')}, pigment by "
        f"{run.get('pigment_method', 'unknown')}; hashes at the end of this page."
    )


def _trained(report: StudyReport) -> str:
    """What was trained on what, as far as the models are the shipped ones and the map is known."""
    return _SHIPPED.get(_method(report), _OTHER_MODELS) if _is_shipped(report) else _OTHER_MODELS


def _type_of_model(report: StudyReport) -> str:
    if not _is_shipped(report):
        return f"Type: the cards of these models say it. {_THE_REST}"
    found = "face and pigment" if _method(report) == "learned" else "the face"
    return f"Type: convolutional neural networks (U-Nets), which find {found}. {_THE_REST}"


def _fairness(report: StudyReport) -> str:
    """The figures by skin tone are of the shipped networks alone."""
    if not _is_shipped(report):
        return f"{_OTHER_MODELS} {_THE_REST}"
    known = "How well it does by skin tone as photographed: benchmarks/README.md of masi_vision. "
    return f"{known}{_THE_REST}" if _method(report) == "learned" else NOT_KNOWN


def _method(report: StudyReport) -> str:
    """Which map of the pigment was measured, without its version."""
    return str(report.run.get("pigment_method")).partition("-")[0]


def _is_shipped(report: StudyReport) -> bool:
    return bool(report.run.get("models") == SHIPPED)


def _availability(report: StudyReport) -> str:
    models = "the models alike" if _is_shipped(report) else "of these models whoever made them says it"
    return f"The code is open source, Apache-2.0; {models}."


def _input_said(report: StudyReport) -> str:
    """How many photos show which view, and how they should be taken."""
    views = Counter(str(one.get("view", "unknown")) for one in report.run.get("inputs", ()))
    told = ", ".join(f"{count} {view}" for view, count in sorted(views.items())) or "none"
    return f"Photographs of faces: {told}; how to take them: docs/photographs.md of masi_vision."


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
    """How many units were graded again with the software's score in sight; only the reading page knows it."""
    locked = [row for row in report.reads if is_locked(row)]
    if not locked or not all(map(is_of_reading_page, locked)):
        return NOT_KNOWN
    unit = ("patient", "visit", "code", "repeat_of", "reader")
    second = {tuple(row.get(name, "") for name in unit) for row in locked if row["stage"] == "with_software"}
    return (
        f"{len(second)} second values were locked on the reading page with the software's score in sight; "
        f"before the blind read is locked it shows none. Other uses: {NOT_KNOWN.lower()}"
    )


def _errors(report: StudyReport) -> str:
    """What the tables tell of failures; whether they were analysed is for the trial to say."""
    lost = ", ".join(f"{reason} ({count})" for reason, count in report.not_scored)
    return (
        f"Visits not scored: {lost or 'none'}. {report.flags_said} "
        f"{_HOW_WELL if _is_shipped(report) else _OTHER_MODELS} "
        f"The scores of this trial that are wrong, and how they were found: {NOT_KNOWN.lower()}"
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
    """Of readers beside the software; of second reads, which know its score, no figure is made."""
    made = any(row["topic"] == "software" for row in report.agreement)
    told = "above, under Agreement." if made else "no figure was made."
    return f"Blind reads beside the software: {told} Users who knew its score: {NOT_KNOWN.lower()}"
