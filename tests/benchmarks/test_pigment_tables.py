"""The tables of the pigment map's benchmark, of rows made here: what they say of few people known in full."""

import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

if not all(map(find_spec, ("torch", "segmentation_models_pytorch", "scipy", "skimage", "matplotlib"))):
    pytest.skip("needs the extra train", allow_module_level=True)

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import pigment
import pigment_details
import pigment_sample
import pigment_score

from masi_vision.config import load_settings
from masi_vision.pigment.interval import Band, MeasureError
from masi_vision.pigment.map import PigmentMap, surer
from masi_vision.scale import MASI_REGIONS
from masi_vision.training.phantom_photos import Picture, Row

SETTINGS = load_settings()
SCALE = SETTINGS.scale
EXACT = Band((0.0,), (0.0,), (0.0,))
ERROR = MeasureError(EXACT, EXACT, 1.0)
LIGHT, DARK = "light (ITA > 41)", "brown and dark (< 10)"


def row(person, state, region, *, found, true, **others):
    """A region of whose skin so much is found and truly pigmented, always by 0.1 OD."""
    return Row(
        estimator=pigment.SHIPPED,
        person=person,
        state=state,
        region=region,
        fraction=found,
        contrast_od=0.1 * bool(found),
        integrated_od=0.1 * found,
        true_fraction=true,
        true_contrast_od=0.1 * bool(true),
        true_integrated_od=0.1 * true,
        region_px=1000,
        both_px=int(1000 * min(found, true)),
        either_px=int(1000 * (found + true)),
        **(
            {"tone": LIGHT, "distractor": "none", "delta_l": 8.0, "light_range_od": 0.6, "face_px": 200.0}
            | others
        ),
    )


def person(name, *, found=0.5, false=0.0, true=0.5, **others):
    """Four photographs of somebody, half of whose pigment is gone on the last."""
    shares = {
        "clear": (false, 0.0),
        "again": (false, 0.0),
        "planted": (found, true),
        "treated": (found / 2, true / 2),
    }
    return [
        row(name, state, region, found=is_found, true=is_true, **others)
        for state, (is_found, is_true) in shares.items()
        for region in MASI_REGIONS
    ]


def cells(table, name):
    """What a table says in the line of this name."""
    (line,) = [one for one in table.splitlines() if one.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_the_row_of_the_shipped_cut_is_the_shipped_map(atlas):
    """Of a face of which the map is half undecided more is asked for, of the cuts as of the map."""
    shape, skin = atlas.labels.shape, atlas.labels > 0
    probability = np.where(skin, np.random.default_rng(0).random(shape), 0).astype(np.float32)
    shipped = SETTINGS.pigment.lesion_probability
    least = surer(shipped, SETTINGS.pigment.raised_by_doubt, probability, skin)
    assert least > shipped + 0.2
    density = np.where(skin, np.float32(0.1), np.float32(0))
    normal = np.ones((*shape, 3), np.float32)
    measures = SimpleNamespace(
        pigment=PigmentMap(density, probability, least, skin, normal, "made"),
        codes=atlas.labels,
        face=SimpleNamespace(atlas=atlas, face_width_px=200.0),
        photo=SimpleNamespace(scale=1.0),
    )
    picture = Picture(
        person="00001",
        tone=LIGHT,
        state="planted",
        distractor="none",
        delta_l=8.0,
        linear=normal / 2,
        measures=measures,
        lesion=skin,
        density_od=density,
        graded=frozenset(MASI_REGIONS),
        scene=SimpleNamespace(),
        scene_xy=np.zeros((*shape, 2), np.float32),
    )
    rows = list(pigment.judge_one(picture, SETTINGS))
    ours = pigment.of(rows, pigment.SHIPPED)
    assert [one.region for one in ours] == list(MASI_REGIONS)
    assert [replace(one, estimator=pigment.SHIPPED) for one in pigment.of(rows, f"cut {shipped:g}")] == ours


def test_a_plain_network_that_did_not_run_keeps_its_line_and_is_said_to_be_older():
    table = f"| {pigment.SHIPPED} | 0.8 |\n| {pigment.BY_RULES} | 0.2 |\n| k-means | 0.1 |"
    page = f"| {pigment.PLAIN} | 0.3 |\n"
    once = pigment.with_kept(table, page)
    assert once.splitlines()[2] == f"| {pigment.PLAIN} (of an earlier run) | 0.3 |"
    assert pigment.with_kept(table, once) == once
    assert pigment.with_kept(table, "nothing") == table


def test_dark_skin_that_is_served_worse_stands_apart():
    rows = person("a") + person("b") + person("c", found=0.0, false=0.3, tone=DARK)
    scores = pigment_score.scores_of(rows, ERROR, SCALE)
    table = pigment_score.tone_table(rows, scores, ERROR, SCALE)
    assert cells(table, f"{LIGHT}, 2 people") == ["4", "0.00; +0.00", "0%", "100.0%", "100.0%"]
    assert cells(table, f"all but {DARK}, 2 people") == cells(table, f"{LIGHT}, 2 people")
    number, error, clear, contrast, mmasi = cells(table, f"{DARK}, 1 person")
    assert (number, clear, contrast, mmasi) == ("2", "100%", "0.0%", "0.0%")
    off, bias = map(float, error.split(";"))
    assert off == -bias > 1


def test_too_much_of_little_and_too_little_of_much_do_not_cancel():
    rows = person("a", found=0.2, true=0.0) + person("b", found=0.3, true=0.8)
    rows += person("c", found=0.8, true=0.8)
    scores = pigment_score.scores_of(rows, ERROR, SCALE)
    table = pigment_score.score_table(scores)
    assert float(cells(table, "planted, true mMASI 0")[2]) > 1
    assert float(cells(table, "planted, true mMASI 6 and more")[2]) < -1
    assert cells(table, "clear") == ["6", "0.00", "+0.00", "0.00", "100.0%", "0.0"]
    nothing, constant = (
        float(line.split("|")[3]) for line in table.splitlines() if line.startswith("| planted, all: ")
    )
    true = [one.true for one in scores if one.planted]
    assert nothing == pytest.approx(np.mean(true), abs=0.005)
    assert constant < nothing


def test_what_is_found_on_clear_faces_is_told_beside_the_slope():
    found = [
        replace(one, integrated_od=0.01 + 0.5 * one.true_integrated_od)
        for one in person("a") + person("b", true=0.2)
    ]
    clear, slope = pigment_details._of_amounts(found)
    assert clear[1:] == ("0.0100 OD", "4 clear photographs")
    assert slope[1] == "0.50; 0.0100 OD"


def test_faint_pigment_that_is_missed_has_a_row_of_its_own():
    rows = person("a", found=0.0, delta_l=3.5) + person("b", delta_l=12.0)
    table = pigment_details.faint_table(rows, SCALE)
    assert cells(table, "3 to 4.5, 1 person") == ["4", "100%", "0%", "0.00"]
    assert cells(table, "10 and more, 1 person") == ["4", "0%", "100%", "1.00"]
    assert cells(table, "all, 2 people") == ["8", "50%", "50%", "0.67"]


def test_who_is_left_out_is_counted():
    rows = person("a") + [one for one in person("b") if one.region != "chin" or one.state != "again"]
    said = pigment_sample.sample_text((1298, 250, 190, 186), rows, SCALE)
    assert said.startswith("2 people, four photographs each.")
    assert (
        "Of 1298 faces 250 are of the test part, 190 of these from the front; 186 can be planted, 2" in said
    )
    assert "8 photographs: forehead 0, right malar 0, left malar 0, chin 1." in said
    assert "on 7 (2 clear, 1 again, 2 planted, 2 treated)" in said
    assert "of 1 people; 100% score 0 on both" in said
