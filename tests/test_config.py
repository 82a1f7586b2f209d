"""Settings: what is shipped loads, what is mistyped is refused with its key."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from masi_vision import shipped
from masi_vision.config import Settings, load_settings
from masi_vision.errors import SettingsError
from masi_vision.shipped import shipped_file

CONFIGS = Path(__file__).parent.parent / "configs"
SHIPPED = (CONFIGS / "scoring.yaml").read_text(encoding="utf-8")
LIMITS = (CONFIGS / "quality.yaml").read_text(encoding="utf-8")


def editor(text, file):
    """Write a shipped text with one part replaced and give the path."""

    def edit(old, new):
        assert text.count(old) == 1
        file.write_text(text.replace(old, new), encoding="utf-8")
        return file

    return edit


@pytest.fixture
def edited(tmp_path):
    return editor(SHIPPED, tmp_path / "site.yaml")


@pytest.fixture
def limits(tmp_path):
    return editor(LIMITS, tmp_path / "limits.yaml")


def test_the_shipped_settings_load():
    settings = load_settings()
    assert settings.scale.noise_floor == 0.01
    assert settings.scale.darkness_cut_points_od[0] == settings.pigment.detection_threshold_od
    assert settings.scale.nose_counts_toward is None
    assert settings.severity_bands is None


def test_every_file_in_configs_loads():
    assert {file.name for file in CONFIGS.glob("*.yaml")} == {
        "outcome.yaml",
        "protocol.yaml",
        "quality.yaml",
        "scoring.yaml",
    }
    assert load_settings(CONFIGS / "scoring.yaml", CONFIGS / "quality.yaml") == load_settings()


@pytest.mark.parametrize("shipped", [SHIPPED, LIMITS], ids=["scoring", "quality"])
def test_every_value_says_where_it_is_from(shipped):
    above = ""
    for line in shipped.splitlines():
        text = line.strip()
        above = above + text if text.startswith("#") else above
        if ": " in text and not text.startswith("#"):
            assert "hosen here" in above or "published" in above or "made up" in above, line
        if not text:
            above = ""


def test_settings_cannot_be_changed_after_reading():
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().scale.noise_floor = 0.02


# the hash


def test_comments_order_and_file_leave_the_hash_alone(tmp_path):
    file = tmp_path / "mesures étude.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(SHIPPED), sort_keys=True), encoding="utf-8")
    assert load_settings(file) == load_settings()
    assert load_settings(file).sha256 == load_settings().sha256
    assert len(load_settings().sha256) == len(hashlib.sha256().hexdigest())


def test_another_value_is_another_hash(edited):
    assert load_settings(edited("noise_floor: 0.01", "noise_floor: 0.02")).sha256 != load_settings().sha256


def test_a_whole_number_hashes_like_the_same_number_with_a_point(edited):
    assert (
        load_settings(edited("max_megapixels: 200", "max_megapixels: 200.0")).sha256 == load_settings().sha256
    )


@hypothesis_settings(deadline=None, max_examples=50)  # reads files
@given(
    floor=st.floats(0, 0.0999),
    points=st.lists(st.floats(0.001, 3), min_size=4, max_size=4, unique=True).map(sorted),
    words=st.lists(st.from_regex(r"[a-zé_0-9]{1,8}", fullmatch=True), min_size=3, max_size=3, unique=True),
)
def test_settings_survive_writing_and_reading(tmp_path_factory, floor, points, words):
    values = yaml.safe_load(SHIPPED)
    values["scale"] |= {"noise_floor": floor, "darkness_cut_points_od": points}
    values["views"] = {view: [word] for view, word in zip(("front", "left", "right"), words, strict=True)}
    file = tmp_path_factory.getbasetemp() / "round_trip.yaml"
    file.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    settings = load_settings(file)
    assert settings.scale.darkness_cut_points_od == tuple(points)
    written = settings.model_dump(mode="json", exclude={"quality"})
    file.write_text(yaml.safe_dump(written, allow_unicode=True), encoding="utf-8")
    assert load_settings(file) == settings
    assert load_settings(file).sha256 == settings.sha256


# refusals


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "  noise_floor:",
            "  noise_flor:",
            r"scale\.noise_flor: found a key that is not a setting\. Expected",
        ),
        ("  noise_floor:", "  noise_flor:", r"scale\.noise_floor: found nothing\. Expected a value"),
        ("pigment:\n", "pigments:\n", r"pigments: found a key that is not a setting"),
        (
            "noise_floor: 0.01",
            "noise_floor: 0.1",
            r"scale\.noise_floor: found 0\.1\. Expected less than 0\.1",
        ),
        ("noise_floor: 0.01", "noise_floor: .nan", r"scale\.noise_floor: found"),
        (
            "0.03, 0.06",
            "0.06, 0.03",
            r"cut_points_od: found \[0\.06, .*\]\. Expected each number above the one",
        ),
        ("0.03, 0.06", "0.03", r"scale\.darkness_cut_points_od\.3: found nothing"),
        ("0.60, 0.90]", "0.60, 1.0]", r"homogeneity_cut_points\.3: found 1\.0\. Expected less than 1"),
        (
            "nose_counts_toward: null",
            "nose_counts_toward: nose",
            r'found "nose"\. Expected \'forehead\' or \'chin\'',
        ),
        (
            "threshold_od: 0.03",
            "threshold_od: yes",
            r"pigment\.detection_threshold_od: found true\. Expected a valid n",
        ),
        ("threshold_od: 0.03", "threshold_od: '0.03'", r'pigment\.detection_threshold_od: found "0\.03"\.'),
        (
            "face_probability: 0.5",
            "face_probability: 1.5",
            r"face\.min_face_probability: found 1\.5\. Expected less than or equal to 1",
        ),
        ("left: [left]", "left: []", r"views\.left: found \[\]\."),
        ("left: [left]", "left: [left, FRONT]", r"views: found .*each word once, not twice front"),
        ("left: [left]", "left: ['*left*']", r'views\.left\.0: found "\*left\*"'),
    ],
)
def test_a_mistyped_setting_is_refused_with_its_key(edited, old, new, message):
    with pytest.raises(SettingsError, match=message) as refusal:
        load_settings(edited(old, new))
    assert "site.yaml does not hold usable settings" in str(refusal.value)
    assert "configs/scoring.yaml explains every value" in str(refusal.value)


def test_every_mistake_is_named_at_once(edited):
    file = edited("face_probability: 0.5", "face_probability: -1\n  max_roll_deg: 3")
    with pytest.raises(
        SettingsError, match=r"(?s)face_probability: found -1.*max_roll_deg: found a key.*another version"
    ):
        load_settings(file)


def test_aliases_are_not_written_out(tmp_path):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{two}: &{two} [{', '.join([f'*{one}'] * 9)}]" for one, two in pairwise("abcdefg")]
    file = tmp_path / "site.yaml"
    file.write_text("\n".join(lines))
    with pytest.raises(SettingsError, match=r"line 2 repeats what stands elsewhere, by \*a") as refusal:
        load_settings(file)
    assert len(str(refusal.value)) < 500


def test_a_key_given_twice_is_refused(edited):
    with pytest.raises(SettingsError, match="a key stands twice in the block at line"):
        load_settings(edited("  noise_floor: 0.01", "  noise_floor: 0.01\n  noise_floor: 0.05"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no settings. Expected keys and values"),
        (b"- 1", "holds no settings"),
        (b"scale: [", "is not YAML"),
        (b"\xff\xfe\x00scale", "cannot be read"),
        (b"scale: 3", r"scale: found 3\."),
        (b"scale: 2024-01-01", r'scale: found "2024-01-01"'),
        (b"scale: 2024-02-30", "is not YAML"),
        (b"2024-01-01: x", "is no text to YAML. Expected text. Put it into quotation marks"),
        (b"scale: &a {b: *a}", r"cannot be used: line 1 repeats what stands elsewhere, by \*a\. Expected ev"),
        (b"scale: 010", "line 1 has 010, which YAML reads as 8. Expected a decimal number"),
        (b"scale:\n  a: [1:30, 2]", "line 2 has 1:30, which YAML reads as 90"),
        (b"scale: 0x1F", "which YAML reads as 31"),
        (b"scale: 1_0", "which YAML reads as 10"),
        (b"scale: 1:30.5", "which YAML reads as 90.5"),
        (b"scale: '010'", r'scale: found "010"'),
        (b"scale: -1.0e-4", r"scale: found -0.0001\."),
        (b"scale: 1e-6", r"YAML takes it for text: write it with a point"),
        (b"scale: 0.000001", r"scale: found 1e-06\. Expected [^.]*\.\n"),
        (b"scale: .5", r"scale: found 0.5\."),
        (b"scale: " + b"9" * 5000, "is not YAML"),
        (b"scale: " + b"[" * 3000, "is not YAML"),
    ],
)
def test_a_file_that_is_no_settings_file_is_refused(tmp_path, content, message):
    file = tmp_path / "broken.yaml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        load_settings(file)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"absent\.yaml cannot be read .* Expected a YAML file"):
        load_settings(tmp_path / "absent.yaml")


def test_a_file_from_windows_notepad_loads(tmp_path):
    file = tmp_path / "notepad.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + SHIPPED.replace("\n", "\r\n").encode())
    assert load_settings(str(file)) == load_settings()


# severity words


def test_severity_words_need_a_citation(edited):
    bands = "severity_bands:\n  mmasi_from: {light: 0, heavy: 10}"
    with pytest.raises(SettingsError, match=r"severity_bands\.citation: found nothing"):
        load_settings(edited("\nseverity_bands: null", f"\n{bands}"))
    with pytest.raises(SettingsError, match=r"severity_bands\.citation: found"):
        load_settings(edited("\nseverity_bands: null", f"\n{bands}\n  citation: '            '"))


@pytest.mark.parametrize(
    ("words", "said"),
    [("{no: 0, heavy: 10}", "the key 'no' in line"), ("{'': 0, heavy: 10}", "Expected words of letters")],
)
def test_severity_words_are_words(edited, words, said):
    bands = f"severity_bands:\n  citation: A made-up table for this test\n  mmasi_from: {words}"
    with pytest.raises(SettingsError, match=said):
        load_settings(edited("\nseverity_bands: null", f"\n{bands}"))


@pytest.mark.parametrize(
    ("line", "value", "said"),
    [
        ("nose_counts_toward: null", "none", "Expected 'forehead' or 'chin', or null"),
        ("area_cut_points: [0.10, 0.30, 0.50, 0.70, 0.90]", "0.1", "Expected a list in square brackets"),
        ("method: learned", "lerned", r"Expected 'learned' or 'classical'\.\n"),
    ],
)
def test_what_was_expected_is_said_in_words_of_a_settings_file(edited, line, value, said):
    with pytest.raises(SettingsError, match=said):
        load_settings(edited(line, f"{line.partition(':')[0]}: {value}"))


def test_a_check_is_named_as_it_was_written_whatever_letters_it_has(tmp_path):
    with pytest.raises(SettingsError, match=r"blur_\{0\}"):
        load_settings(accept=["blur_{0}"])


def test_severity_words_with_a_citation_are_accepted(edited):
    bands = "severity_bands:\n  citation: A made-up table for this test\n  mmasi_from: {light: 0, heavy: 10}"
    settings = load_settings(edited("\nseverity_bands: null", f"\n{bands}"))
    assert settings.severity_bands.mmasi_from == {"light": 0, "heavy": 10}
    assert [settings.severity_bands.word(mmasi) for mmasi in (0.0, 9.9, 10.0, 24.0)] == ["light"] * 2 + [
        "heavy"
    ] * 2


@pytest.mark.parametrize("bands", ["{}", "{light: 1}", "{light: 0, heavy: 0}", "{light: 0, a: 9, b: 8}"])
def test_severity_words_must_cover_the_scale_upward(edited, bands):
    text = f"severity_bands:\n  citation: A made-up table for this test\n  mmasi_from: {bands}"
    with pytest.raises(SettingsError, match=r"severity_bands: found .*bands from 0 upward|each number above"):
        load_settings(edited("\nseverity_bands: null", f"\n{text}"))


# shipped files


def test_a_wheel_carries_its_own_configs(tmp_path, monkeypatch):
    inside = tmp_path / "site-packages" / "masi_vision" / "configs" / "scoring.yaml"
    inside.parent.mkdir(parents=True)
    inside.write_text(SHIPPED, encoding="utf-8")
    inside.with_name("quality.yaml").write_text(LIMITS, encoding="utf-8")
    monkeypatch.setattr(shipped, "__file__", str(inside.parent.parent / "shipped.py"))
    assert shipped_file("configs", "scoring.yaml") == inside.resolve()
    assert load_settings().sha256 == Settings.model_validate(load_settings(inside)).sha256


# limits of quality


def test_another_limit_is_another_hash(limits):
    assert load_settings(None, limits("warn: 160", "warn: 170")).sha256 != load_settings().sha256


def test_an_override_is_part_of_the_settings_and_of_their_hash(limits):
    given_by_hand = load_settings(accept=["blur_percent@P1/V1/front"])
    assert given_by_hand.quality.accepts("blur_percent", "P1/V1/front")
    assert not given_by_hand.quality.accepts("blur_percent", "P1/V1/left")
    assert not given_by_hand.quality.accepts("jpeg_quality", "P1/V1/front")
    in_the_file = load_settings(None, limits("accepted: []", "accepted: [blur_percent@P1/V1/front]"))
    assert given_by_hand.sha256 == in_the_file.sha256 != load_settings().sha256


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("warn: 160,", "warn: wide,", r'face_width_px\.warn: found "wide"'),
        ("fail: 80}", "fale: 80}", r"face_width_px\.fale: found a key that is not a setting.*quality\.yaml"),
        ("accepted: []", "accepted: [sharpness]", r"accepted: found .*CHECK@PATIENT.*, not 'sharpness'"),
        ("accepted: []", "accepted: ['blur_percent@']", r"accepted: found .*, not 'blur_percent@'"),
        ("accepted: []", "accepted: [gloss_fraction]", r"accepted: found .*, not 'gloss_fraction'"),
        ("accepted: []", "accepted: [registration_residual]", r"accepted: found .*, not 'registration"),
        ("warn: 0.70, fail: 0.50", "warn: 0.70, fail: null", r"visible_fraction\.fail: found null"),
        (
            "warn: 0.70, fail: 0.50",
            "warn: 0.10, fail: 0.05",
            r"settings:\n  Expected a visible_fr",
        ),
        ("warn: 0.70, fail: 0.50", "warn: 70, fail: 50", r"visible_fraction\.warn: found 70"),
        (
            "warn: 0.70, fail: 0.50",
            "warn: 0.4, fail: 0.5",
            r"visible_fraction: found .*that is not below",
        ),
        ("warn: 1.1, fail: 1.3", "warn: 3.0, fail: 1.3", r"blur_percent: found .*warn that is not above"),
        ("warn: 0.10, fail: null", "warn: 0.10, fail: 0.2", r"gloss_fraction\.fail: found 0\.2"),
    ],
)
def test_a_mistyped_limit_is_refused_with_its_key(limits, old, new, message):
    with pytest.raises(SettingsError, match=message):
        load_settings(None, limits(old, new))


def test_a_check_that_is_not_there_cannot_be_accepted():
    with pytest.raises(SettingsError, match=r"--accept .*(?s:.)*, not 'sharpness@P1/V1/front'"):
        load_settings(accept=["sharpness@P1/V1/front"])


def test_limits_stand_in_their_own_file(edited):
    with pytest.raises(SettingsError, match="section quality"):
        load_settings(edited("severity_bands: null", "severity_bands: null\nquality: {}"))


def test_a_checkout_finds_configs_beside_the_package():
    assert shipped_file("configs", "scoring.yaml").is_file()


def test_a_copy_with_other_values_is_checked_like_a_file():
    pigment = load_settings().pigment
    assert pigment.model_copy(update={"lesion_probability": 0.6}).lesion_probability == 0.6
    for wrong in ({"lesion_probability": 50.0}, {"lesion_probabilty": 0.6}, {"method": "classic"}):
        with pytest.raises(ValidationError):
            pigment.model_copy(update=wrong)


def test_a_file_that_should_have_come_along_is_named_with_its_places():
    message = r"(?s)models/none\.onnx was not found\. Expected at .* or .*\. Install masi_vision again"
    with pytest.raises(SettingsError, match=message):
        shipped_file("models", "none.onnx")


def test_the_order_of_overrides_and_their_number_leave_the_hash_alone():
    twice = load_settings(accept=["jpeg_quality", "blur_percent", "jpeg_quality"])
    assert twice.sha256 == load_settings(accept=["blur_percent", "jpeg_quality"]).sha256


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "jpeg_quality: {warn: 75, fail: 30}",
            "jpeg_quality: {warn: 101, fail: 30}",
            "jpeg_quality up to 100",
        ),
        (
            "oblique_least: {warn: 25, fail: 15}",
            "oblique_least: {warn: 85, fail: 80}",
            "oblique_least.fail below",
        ),
        (
            "accepted_visible_fraction: 0.2",
            "accepted_visible_fraction: 0.01",
            "greater than or equal",
        ),
        ("accepted_spoilt_fraction: 0.8", "accepted_spoilt_fraction: 0.1", "not below those that fail"),
        (
            "blur_percent: {warn: 1.1, fail: 1.3}",
            "blur_percent: {warn: 110, fail: 130}",
            "blur_percent up to 10",
        ),
        ("views_likeness: {warn: 0.68", "views_likeness: {warn: 68", "views_likeness up to 1"),
    ],
)
def test_limits_that_no_photo_can_keep_are_refused(tmp_path, old, new, said):
    shipped = shipped_file("configs", "quality.yaml").read_text(encoding="utf-8")
    assert old in shipped
    (tmp_path / "limits.yaml").write_text(shipped.replace(old, new), encoding="utf-8")
    with pytest.raises(SettingsError, match=said):
        load_settings(quality=tmp_path / "limits.yaml")
