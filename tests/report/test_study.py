"""The page of a study: what came in and what did not, and figures that are what was measured."""

import re
import warnings
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the extra stats")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from masi_vision.config import load_settings
from masi_vision.report.checklist import NOT_KNOWN, checklists
from masi_vision.report.figures import (
    bland_altman_figure,
    distribution_figure,
    forest_figure,
    p_text,
    trajectories_figure,
)
from masi_vision.report.study import Drawing, Strip, StudyReport
from masi_vision.report.study_page import study_page
from masi_vision.stats.outcome_protocol import load_outcome_protocol

RUN = {
    "version": "9.9.9",
    "models": "shipped",
    "models_sha256": {"a.onnx": "0a1b2c"},
    "settings": {"scale": {}},
    "settings_sha256": "ff00",
    "atlas": "atlas-1",
    "pigment_method": "learned-1",
    "inputs": [{}] * 7,
    "counts": {"visits_found": 3, "scored": 2, "not_scored": 1},
}


def score(patient, visit, mmasi="3.0", reason="", quality="pass"):
    status = "not_scored" if reason else "scored"
    row = {"patient": patient, "visit": visit, "status": status, "reason": reason}
    return row | {"mmasi": mmasi, "quality": quality}


SCORES = [score("P1", "v1"), score("P1", "v2", quality="warn"), score("P2", "v1", "", "clipped", "fail")]

AGREED = {"topic": "readers", "between": "A, B", "measure": "ICC(2,1)", "units": "9"}
AGREED |= {"value": "0.8371", "low": "0.7", "high": "0.9"}


def read(patient, locked="2026", **more):
    row = {"patient": patient, "visit": "v1", "reader": "A", "stage": "blind", "latest": "1"}
    return row | {"locked_utc": locked, "ungradable": "", "repeat_of": ""} | more


def test_the_flow_counts_what_was_lost_at_each_step_and_why():
    reads = [
        read("P1"),
        read("P1", latest="0"),
        read("P1", stage="with_software"),
        read("P2", ungradable="out of focus"),
        read("P3", locked=""),
    ]
    flow = {name: (count, lost) for name, count, lost in StudyReport("T", RUN, SCORES, reads).flow}
    assert flow["Photographs"] == (7, [])
    assert flow["Visits scored by the software"] == (2, [("a region burnt out", 1)])
    (said,) = [name for name in flow if name.startswith("Blind reads with grades, of 3 visits")]
    assert flow[said] == (1, [("out of focus", 1), ("read yet", 1)])


def test_hidden_repeats_are_said_to_be_no_visits_of_their_own():
    again = SCORES[0] | {"repeat_of": "AA"}
    report = StudyReport("T", RUN, [*SCORES, again])
    assert [name for name, _, _ in report.flow][1] == "Visits, 1 hidden repeats among them"
    (said,) = [answer for item, _, answer in checklists(report)[1][1] if item == "9a"]
    assert said.startswith("2 patients, 3 visits")


def modifications(**more):
    _, decide = (items for _, items in checklists(StudyReport("T", RUN, SCORES, **more)))
    return {item: answer for item, _, answer in decide}["11"]


def test_a_system_that_was_changed_between_two_runs_is_not_said_to_be_unchanged():
    settings = "settings changed: scale.noise_floor"
    whys = [settings, f"{settings}; photo changed: P1.jpg", "models changed: a.onnx; by a part", "view added"]
    assert modifications(history=[{"why": why} for why in whys]) == (
        "Yes: visits were scored again (history.csv): 2 for settings changed: scale.noise_floor; "
        "1 for models changed: a.onnx."
    )


def test_a_system_whose_earlier_runs_nobody_knows_is_not_said_to_be_unchanged():
    for history in ([], [{"why": "photo changed: P1.jpg"}]):
        said = modifications(history=history)
        assert said.startswith("Not as far as is known: one program")
        assert said.endswith("Of runs into other folders nothing is known.")


def test_a_read_with_a_row_for_each_region_is_one_read():
    rows = [
        {"patient": "P1", "visit": "v1", "reader": "A", "region": region, "area": "1", "darkness": "1"}
        for region in ("forehead", "chin")
    ]
    assert StudyReport("T", RUN, SCORES, rows).flow[-1][1] == 1


def test_what_the_tables_do_not_tell_is_not_said():
    views = RUN | {"inputs": [{"view": "front"}, {"view": "front"}, {"view": "left"}]}
    reads = [{name: value for name, value in read("P1").items() if name != "stage"}]
    consort, decide = (items for _, items in checklists(StudyReport("T", views, SCORES, reads)))
    answers = {item: answer for item, _, answer in decide}
    assert answers["4b"].startswith("Photographs of faces: 2 front, 1 left;")
    assert answers["10a"] == {item: answer for item, _, answer in consort}["5 (vi)"] == NOT_KNOWN


def answers(**more):
    """Number of an item to its answer, of both lists."""
    given = {"title": "T", "run": RUN, "scores": SCORES} | more
    return [{item: answer for item, _, answer in items} for _, items in checklists(StudyReport(**given))]


def of_the_page(patient, **more):
    return read(patient, signed_by="A", protocol_sha256="ab", **more)


def test_only_reads_of_the_reading_page_tell_what_their_readers_had_seen():
    seen = "second values were locked on the reading page with the software's score in sight; before"
    second = {"stage": "with_software"}
    page = [of_the_page("P1"), of_the_page("P1", **second), of_the_page("P1", repeat_of="AA", **second)]
    for reads, count in ((page, 2), (page[:1], 0), ([*page, read("P2", locked="")], 2)):
        consort, decide = answers(reads=reads)
        for said in (consort["5 (vi)"], decide["4c"], decide["10a"]):
            assert f"{count} {seen}" in said
    for reads in ([], [read("P1")], [read("P1"), read("P1", **second)], [*page, read("P2")]):
        consort, decide = answers(reads=reads)
        assert consort["5 (vi)"] == decide["10a"] == NOT_KNOWN


def test_rules_are_not_said_to_be_trained_nor_models_of_a_site_to_be_ours():
    planted, rules, cards = "planted pigment", "rules, which are not trained", "The cards of these models"
    for models, method, said in (
        ("shipped", "learned-1", planted),
        ("shipped", "classical-1", rules),
        ("shipped", "other-1", cards),
        ("ours", "learned-1", cards),
    ):
        consort, decide = answers(run=RUN | {"models": models, "pigment_method": method})
        assert [one in decide["4a"] for one in (planted, rules, cards)] == [
            one is said for one in (planted, rules, cards)
        ]
        assert ("models alike" in consort["25"]) is ("models alike" in decide["17"]) is (models == "shipped")


def test_errors_of_the_software_are_answered_by_what_failed_and_not_by_readers_who_agree():
    for agreement in ([], [AGREED]):
        consort, _ = answers(agreement=agreement, regions=[region("undecided")])
        assert "Visits not scored: a region burnt out (1)." in consort["19"]
        assert "flagged of these: undecided 1" in consort["19"]
        assert "benchmarks/README.md" in consort["19"]
        assert "gree" not in consort["19"]
    assert "benchmarks" not in answers(run=RUN | {"models": "ours"})[0]["19"]


def test_readers_who_agree_with_each_other_are_not_said_to_agree_with_the_software():
    for topic, said in (("readers", "no figure was made"), ("software", "above, under Agreement")):
        (_, decide) = answers(agreement=[AGREED | {"topic": topic}])
        assert f"Blind reads beside the software: {said}" in decide["12"]


def test_the_checklists_have_every_item_on_ai_and_no_blank_answer():
    consort, decide = answers()
    assert [*consort] == [
        *("1a,b (i)", "1a,b (ii)", "2a (i)", "4a (i)", "4a (ii)", "4b"),
        *("5 (i)", "5 (ii)", "5 (iii)", "5 (iv)", "5 (v)", "5 (vi)", "19", "25"),
    ]
    numbers = [number for item in decide for number in item.split(", ")]
    assert list(dict.fromkeys(int(number.rstrip("abc")) for number in numbers)) == [*range(1, 18)]
    assert len(numbers) == 28
    assert all(answer.endswith(".") for answer in (*consort.values(), *decide.values()))


def test_pages_that_the_checklists_name_are_there():
    root = Path(__file__).parents[2]
    said = " ".join(text for items in answers() for text in items.values())
    named = set(re.findall(r"\b(?:docs/|benchmarks/)?\w+\.md\b", said))
    assert named == {"README.md", "benchmarks/README.md", "docs/quality.md", "docs/photographs.md"}
    assert all((root / name).is_file() for name in named)


def test_the_type_of_model_is_told_of_the_models_that_measured():
    for models, method, said in (
        ("shipped", "learned-1", "which find face and pigment."),
        ("shipped", "classical-1", "which find the face."),
        ("ours", "learned-1", "Type: the cards of these models say it."),
    ):
        consort, decide = answers(run=RUN | {"models": models, "pigment_method": method})
        assert said in consort["1a,b (i)"]
        assert ("by skin tone" in decide["8"]) is (method == "learned-1" and models == "shipped")


def test_the_page_holds_everything_it_shows_and_no_patient():
    drawing = Drawing("distribution", "A title", "Words", "<svg>P1</svg>")
    outcome = [
        {"analysis": "primary", "arm": "B less A", "visit": "v2", "measure": "difference", "patients": "40"}
        | {"value": "-2.157", "low": "-2.9", "high": "-1.4", "p": "1e-7", "p_adjusted": "0.0123"}
    ]
    page = study_page(StudyReport("<b>T</b>", RUN, SCORES, [read("P1")], [AGREED], outcome, [drawing]))
    assert "0.84" in page
    assert "-2.16" in page
    assert "&lt; 0.001" in page
    assert "0.012" in page
    assert "0a1b2c" in page
    assert "<b>T</b>" not in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "P1" not in page.replace(drawing.address, "")


def region(flag="", area="1"):
    return {"patient": "P1", "visit": "v1", "region": "chin", "flag": flag, "area": area}


def test_regions_are_counted_by_flag_and_undecided_is_told_even_where_none_is():
    flags = ("undecided;disagreement", "disagreement", "views_differ", "")
    rows = [*map(region, flags), region("region_hidden", "")]
    report = StudyReport("T", RUN, SCORES, drawings=[Drawing("distribution", "T", "W", "")], regions=rows)
    counted = (
        "Of 5 regions of MASI 4 were graded; flagged of these: undecided 1, second opinion differs 2, "
        "views differ 1."
    )
    (asked,) = [answer for item, _, answer in checklists(report)[1][1] if item == "6a"]
    assert counted in asked
    assert study_page(report).count(counted) == 3
    assert "undecided 0." in StudyReport("T", RUN, SCORES, regions=[region()]).flags_said


def test_grades_by_shipped_cut_points_are_said_to_be_no_dermatologist_s_and_fitted_ones_are_not():
    shipped = load_settings().model_dump(mode="json")["scale"]
    fitted = {
        "darkness_cut_points_od": [0.03, 0.05, 0.09, 0.2],
        "area_cut_points": [0.05, 0.2, 0.4, 0.6, 0.8],
    }
    figure = [Drawing("distribution", "T", "W", "")]
    for own, darkness, area in (
        ({}, True, True),
        (dict([*fitted.items()][:1]), False, True),
        (dict([*fitted.items()][1:]), True, False),
        (fitted, False, False),
    ):
        run = RUN | {"settings": {"scale": shipped | own}}
        page = study_page(StudyReport("T", run, SCORES, drawings=figure))
        assert ("is not the grade that a dermatologist would give" in page) is darkness
        assert ("by the published bands, fitted to no panel" in page) is area


def test_the_page_says_that_a_change_below_0_is_less_melasma():
    said = "Change is final less baseline: below 0 is less melasma."
    assert said in study_page(StudyReport("T", RUN, SCORES, agreement=[AGREED | {"topic": "change"}]))
    assert said not in study_page(StudyReport("T", RUN, SCORES, agreement=[AGREED]))


@pytest.mark.parametrize(
    ("p", "said"),
    [
        ("0.4175", "0.418"),
        (0.4175, "0.418"),
        ("0.000999", "< 0.001"),
        ("0.001", "0.001"),
        (1.0, "1.000"),
        ("", ""),
    ],
)
def test_a_p_is_rounded_as_its_digits_stand_in_the_table(p, said):
    assert p_text(p) == said


def test_a_coded_set_has_no_row_for_every_code():
    many = [score("", f"CODE{n:03d}") for n in range(60)]
    page = study_page(StudyReport("T", RUN, many))
    assert "CODE" not in page
    assert ">60<" in page


def test_figures_say_what_was_measured_and_are_the_same_again():
    values = np.array([1.0, 2.0, np.nan, 4.0])
    limits = [(-2.0, -2.5, -1.5), (0.25, 0.0, 0.5), (2.5, 2.0, 3.0)]
    made = {
        "bland_altman": lambda: bland_altman_figure(values, values[::-1], ("software", "panel"), limits),
        "trajectories": lambda: trajectories_figure(
            {"A": {"v1": (3.0, 2.0, 4.0), "v2": (2.0, np.nan, np.nan)}}, "m", ["v1", "v2"]
        ),
        "forest": lambda: forest_figure([("B less A", (-1.23, -2.0, -0.5))], "difference", "mmasi"),
        "distribution": lambda: distribution_figure({"v1": values, "v2": np.array([])}, "mMASI"),
    }
    texts = {name: draw() for name, draw in made.items()}
    assert "bias 0.25" in texts["bland_altman"]
    assert "-1.23 (-2.00 to -0.50)" in texts["forest"].replace("−", "-")
    assert "arm A" in texts["trajectories"]
    for name, draw in made.items():
        assert texts[name].lstrip().startswith("<?xml")
        assert draw() == texts[name]


def test_the_checklists_answer_from_the_run_and_say_what_only_the_trial_knows():
    accepted = {
        "quality": {"accepted": ["gloss_fraction", "jpeg_quality@P1/v1/front", "jpeg_quality@P2/v1/front"]}
    }
    report = StudyReport("T", RUN | {"settings": accepted}, SCORES, agreement=[AGREED])
    lists = {name: {item: answer for item, _, answer in items} for name, items in checklists(report)}
    poor = lists["CONSORT-AI"]["5 (iii)"]
    assert "3 visits; 1 were not scored" in poor
    assert (
        "gloss_fraction (1), jpeg_quality (2)." in poor
    )  # by the check alone: no patient stands on the page
    assert "the trial's own documents" in lists["CONSORT-AI"]["5 (ii)"]
    decide = lists["DECIDE-AI"]
    assert decide["9a"].startswith("2 patients, 3 visits, 1 of them without a score")
    assert decide["11"].startswith("Not as far as is known: one program")
    page = study_page(report)
    assert page.count("<h2>DECIDE-AI") == page.count("<h2>CONSORT-AI") == 1


def test_scores_by_two_programs_are_a_change_during_the_study():
    mixed = [SCORES[0] | {"version": "1.0", "settings_sha256": "aa", "models_sha256": "bb"}, *SCORES[1:]]
    (_, items) = checklists(StudyReport("T", RUN, mixed))[1]
    (said,) = [answer for item, _, answer in items if item == "11"]
    assert said.startswith("Yes: scores were made in 2 ways")
    assert "1 by masi_vision 1.0, settings aa, models bb" in said


def test_hidden_repeats_count_in_no_table_and_overridden_visits_do():
    scores = [row | {"quality": "accepted"} for row in SCORES]
    report = StudyReport("T", RUN, [*scores, scores[0] | {"repeat_of": "AAA"}])
    assert sum(report.quality_in_all.values()) == len(SCORES)
    assert report.quality_in_all == {"accepted": len(SCORES)}
    assert ">accepted<" in study_page(report)


def test_visits_stand_in_the_order_people_count():
    scores = [SCORES[0] | {"visit": name} for name in ("week-12", "week-4")]
    assert [visit for visit, _ in StudyReport("T", RUN, scores).quality] == ["week-4", "week-12"]


def test_the_settings_on_the_page_do_not_say_whose_photo_was_accepted():
    accepted = ["blur_percent@P02/2024-03-12/front", "roll_deg"]
    run = RUN | {"settings": {**RUN["settings"], "quality": {"accepted": accepted}}}
    page = study_page(StudyReport("T", run, SCORES))
    assert "2024-03-12" not in page
    assert "blur_percent" in page


def test_faces_are_on_the_page_only_where_they_were_asked_for():
    without = study_page(StudyReport("T", RUN, SCORES))
    assert "No face and no name of a patient" in without
    assert "image/jpeg" not in without
    page = study_page(StudyReport("T", RUN, SCORES, strips=[Strip("P1", b"\xff\xd8picture")]))
    assert "Faces of patients stand on this page" in page
    assert "data:image/jpeg;base64,/9hwaWN0dXJl" in page


def test_a_patient_s_name_stands_above_the_strip_and_what_was_not_compared_below():
    strips = [Strip("P1", b"\xff\xd8picture"), Strip("P2", b"", ["v2 (clipped)"])]
    page = study_page(StudyReport("T", RUN, SCORES, strips=strips))
    first, second = (page.index(f'<h3 class="name">{name}</h3>') for name in ("P1", "P2"))
    assert first < page.index("data:image/jpeg") < second < page.index("Not compared: v2 (clipped).")
    assert page.count("data:image/jpeg") == 1


ARMS = (
    "Azelaic acid 20 % cream twice daily and SPF50",
    "Placebo",
    "Tranexamic acid 250 mg by mouth twice daily on",
    "Hydroquinone 4% with tretinoin and mometasone",
    "Triplecombinationcreamwithoutaspaceinitsname1",
)
WEEKS = (
    "Screening-Baseline",
    "Week 8 (phone+photo)",
    "Week 12 (end of treatment)",
    "Week 28 (unscheduled visit)",
)
ONE = (3.0, 2.0, 4.0)


def figures_of(arms, visits):
    rows = [(f"baseline carried forward: {arm} less {arms[0]}", ONE) for arm in arms]
    return {
        "forest": lambda: forest_figure(rows, "difference in amount of pigment (OD); left of 0: less", "od"),
        "trajectories": lambda: trajectories_figure(
            {arm: dict.fromkeys(visits, ONE) for arm in arms}, "mMASI", visits
        ),
        "distribution": lambda: distribution_figure({visit: np.ones(9) for visit in visits}, "mMASI"),
    }


@pytest.mark.parametrize("figure", ["forest", "trajectories", "distribution"])
@pytest.mark.parametrize(
    ("arms", "visits"), [(ARMS[:2], WEEKS[:2]), (ARMS, [*WEEKS, *(f"{w}." for w in WEEKS)])]
)
def test_no_word_of_a_figure_is_cut_off_or_lies_over_another(monkeypatch, figure, arms, visits):
    sheets, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda sheet, *a, **k: sheets.append(sheet) or save(sheet, *a, **k)
    )
    figures_of(arms, visits)[figure]()
    (sheet,) = sheets
    drawn_by = FigureCanvasAgg(sheet).get_renderer()
    sheet.draw(drawn_by)
    there = [text for text in sheet.findobj(Text) if text.get_visible()]
    words = [text for text in there if any(map(str.isalpha, text.get_text()))]
    assert len(words) > len(visits)
    boxes = [(text.get_text(), text.get_window_extent(drawn_by)) for text in words]
    for name, box in boxes:
        assert min(box.x0, box.y0) >= 0, name
        assert box.x1 <= sheet.bbox.x1, name
        assert box.y1 <= sheet.bbox.y1, name
    for (one, box), (other, there) in combinations(boxes, 2):
        assert not box.overlaps(there), (one, other)


def test_a_name_in_another_script_or_with_signs_of_formulas_is_drawn_as_it_is_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = trajectories_figure({"安慰剂": {"基线": ONE}, "$5 and $6": {"基线": ONE}}, "mMASI", ["基线"])
    assert {"arm 安慰剂", "arm $5 and $6", "基线"} <= set(re.findall(">([^<>]+)</text>", svg))


def test_letters_that_are_twice_as_wide_have_twice_the_room():
    visits = [f"第十二周治疗结束随访电话{number}" for number in range(8)]
    svg = distribution_figure(dict.fromkeys(visits, np.ones(9)), "mMASI")
    lines = [line for line in re.findall(">([^<>]+)</text>", svg) if not line.isascii()]
    assert "".join(lines).startswith("第十二周治疗结束随访电话")
    assert max(map(len, lines)) <= 7


@pytest.fixture
def wide_page():
    """An outcome whose arms have long names."""
    row = {"analysis": "primary", "visit": WEEKS[3], "patients": "40", "measure": "difference"}
    row |= {"value": "-2.157", "low": "-2.9", "high": "-1.4", "p": "1e-7", "p_adjusted": "0.0123"}
    outcome = [row | {"arm": f"{arm} less {ARMS[4]}"} for arm in ARMS]
    return study_page(StudyReport("T", RUN, SCORES, [read("P1")], [AGREED], outcome))


class Tables(HTMLParser):
    """What is above each table, each header cell, and the first cell of each row."""

    def __init__(self, page):
        super().__init__()
        self.open, self.above, self.headers, self.first = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self.above.append(self.open[-1])
        if tag == "tr":
            self.first.append("")
        elif self.open[-1:] == [("tr", None)]:
            self.first[-1] = self.first[-1] or tag
        if tag == "th":
            self.headers.append([dict(attrs).get("scope"), ""])
        if tag not in ("meta", "img", "br"):
            self.open.append((tag, dict(attrs).get("class")))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and self.open[-1][0] == "th":
            self.headers[-1][1] += data


def test_every_table_scrolls_by_itself_and_every_row_and_column_has_a_header(wide_page):
    tables = Tables(wide_page)
    assert set(tables.above) == {("div", "scroll")}
    assert len(tables.above) == 6
    assert all(scope in ("row", "col") and text.strip() for scope, text in tables.headers)
    assert set(tables.first) == {"th"}


def test_nothing_printed_lies_beyond_the_edge_of_a_page_and_pages_are_numbered(wide_page):
    try:
        from weasyprint import HTML
    except (ImportError, OSError) as error:
        pytest.skip(f"needs the extra pdf and Pango ({error})")
    pages = HTML(string=wide_page).render().pages
    for number, page in enumerate(pages, start=1):
        words = [box for box in page._page_box.descendants() if hasattr(box, "text")]
        assert f"{number} / {len(pages)}" in " ".join(box.text for box in words)
        assert max(box.position_x + box.width for box in words) <= page.width - 60  # 16 mm


def test_the_page_tells_which_state_of_the_code_scored():
    page = study_page(StudyReport("S", RUN | {"code_sha256": "0123456789abcdef"}, SCORES))
    assert "masi_vision 9.9.9, code 0123456789ab<" in page
    assert "masi_vision 9.9.9<" in study_page(StudyReport("S", RUN, SCORES))  # of a version before


def test_the_page_tells_every_set_of_libraries_that_scored():
    old, new = ({"python": "3.12.1", "pillow": version} for version in ("11.1", "12.0"))
    sets = [{"visits": 3, "libraries": old}, {"visits": 1, "libraries": new}]
    for told, lines in ((old, 1), (sets, 2)):
        page = study_page(StudyReport("S", RUN | {"libraries": told}, SCORES))
        assert page.count("<br>python 3.12.1, pillow ") == lines
        assert "<br>python 3.12.1, pillow 11.1<" in page


def test_the_page_says_which_strata_the_outcome_was_analysed_by():
    rules = load_outcome_protocol().model_dump(mode="json")
    by = "as covariate, strata by centre, sex as factors, here and in the models below; p"
    for strata, said in ((["centre", "sex"], by), ([], "as covariate; p")):
        asked = StudyReport(title="T", run={}, scores=(), protocol=rules | {"strata": strata}).asked
        assert said in asked


@pytest.mark.parametrize("analysis", ["missing", "readers", "strata"])
def test_patients_are_counted_in_whole_numbers(analysis):
    row = {"analysis": analysis, "arm": "A", "visit": "visit-6", "measure": "centre: lyon", "value": "6"}
    row |= {"patients": "16", "p": "", "p_adjusted": "", "low": "", "high": ""}
    assert '<td class="number">6</td>' in study_page(StudyReport("T", RUN, SCORES, outcome=[row]))
