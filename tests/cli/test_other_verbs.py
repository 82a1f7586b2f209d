"""The verbs beside `masi score`, and the file names of pictures."""

import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from masi_vision import __version__, source_code
from masi_vision.cli import door
from masi_vision.cli.main import app, main
from masi_vision.config import load_settings
from masi_vision.errors import ModelError
from masi_vision.report.names import FileNames, safe_name
from masi_vision.review.protocol import load_reading_protocol as reading_protocol
from masi_vision.shipped import shipped_file
from masi_vision.source_code import code_sha256, version_and_code
from masi_vision.stats.outcome_protocol import load_outcome_protocol as outcome_protocol

REPOSITORY = Path(__file__).parents[2]


def masi(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def selftest(monkeypatch):
    """A self-test that finds what the test says."""
    module = types.ModuleType("masi_vision.cli.selftest")
    module.run_selftest = lambda: [("planted pigment", True, "found")]
    monkeypatch.setitem(sys.modules, "masi_vision.cli.selftest", module)
    return module


def test_the_version_is_said():
    assert masi("--version").stdout == f"masi_vision {__version__}, code {code_sha256()[:12]}\n"


def test_another_state_of_the_code_has_another_hash(tmp_path, fresh_python):
    copy = shutil.copytree(Path(source_code.__file__).parent, tmp_path / "masi_vision")
    ask = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
        "from masi_vision import source_code as s; print(s.__file__, s.code_sha256())"
    )
    windows = copy / "scale.py"
    windows.write_bytes(windows.read_bytes().replace(b"\n", b"\r\n"))
    assert fresh_python(ask).split() == [str(copy / "source_code.py"), code_sha256()]
    windows.write_bytes(windows.read_bytes() + b"# more\n")
    assert fresh_python(ask).split()[1] != code_sha256()


@pytest.mark.parametrize("kind", ["protocol", "outcome"])
def test_the_hash_of_a_protocol_is_told_before_there_is_data_and_is_of_its_values(tmp_path, kind):
    mine = tmp_path / "mine.yaml"
    mine.write_text(masi("config", "show", f"--{kind}").stdout, encoding="utf-8")
    first = masi("config", "validate", f"--{kind}", mine)
    assert first.exit_code == 0, first.output
    mine.write_text(mine.read_text(encoding="utf-8") + "# a remark\n", encoding="utf-8")
    assert masi("config", "validate", f"--{kind}", mine).stdout == first.stdout
    load = {"protocol": reading_protocol, "outcome": outcome_protocol}[kind]
    assert load().sha256 in first.stdout
    mine.write_text("{}", encoding="utf-8")
    assert masi("config", "validate", f"--{kind}", mine).exit_code == 2


def test_shown_settings_are_a_file_that_validates(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(masi("config", "show").stdout, encoding="utf-8")
    done = masi("config", "validate", mine)
    assert done.exit_code == 0
    assert load_settings().sha256 in done.stdout


def test_a_file_of_limits_is_checked_alone(tmp_path):
    limits = tmp_path / "limits.yaml"
    limits.write_text(masi("config", "show", "--quality").stdout, encoding="utf-8")
    done = masi("config", "validate", "--quality", limits)
    assert done.exit_code == 0
    assert load_settings().sha256 in done.stdout
    none = masi("config", "validate")
    assert none.exit_code == 2
    assert "No file was named" in none.stderr
    mixed_up = masi("config", "validate", limits)
    assert mixed_up.exit_code == 2
    assert "It holds limits of quality: name it with --quality." in " ".join(mixed_up.stderr.split())
    mine = tmp_path / "mine.yaml"
    mine.write_text(masi("config", "show").stdout, encoding="utf-8")
    mixed_up = masi("config", "validate", "--quality", mine)
    assert "It holds settings of scoring: name it without" in " ".join(mixed_up.stderr.split())


def test_a_settings_file_with_a_mistake_is_refused_in_a_sentence(tmp_path):
    done = masi("config", "validate", tmp_path / "gone.yaml")
    assert done.exit_code == 2
    assert "gone.yaml cannot be read" in done.stderr


def test_the_doctor_names_versions_models_and_settings(selftest):
    done = masi("doctor")
    assert done.exit_code == 0, done.output
    for word in (
        version_and_code(),
        "onnxruntime",
        "face_reader.onnx",
        load_settings().sha256,
        "planted pigment",
    ):
        assert word in done.stdout
    assert "All is well." in done.stdout


def test_the_doctor_says_how_to_get_an_extra(selftest, monkeypatch):
    lacking = ("rawpy", "uvicorn")  # of the second, the extra has others that are there
    monkeypatch.setattr("masi_vision.cli.extras.find_spec", lambda name: None if name in lacking else name)
    said = masi("doctor").stdout
    assert (
        'camera RAW: no, for want of rawpy. In the checkout of masi_vision run: pip install ".[raw]"' in said
    )
    assert "the reading page: no, for want of uvicorn." in said


def test_the_doctor_finds_an_altered_model(selftest, monkeypatch):
    def altered(file, sha256):
        raise ModelError(f"models/{file.name} has SHA-256 00. Expected {sha256[:12]}.")

    monkeypatch.setattr("masi_vision.visit.store.verified", altered)
    done = masi("doctor")
    assert done.exit_code == 2
    assert "[FAILED] model face_finder.onnx" in done.stdout


@pytest.mark.parametrize("finds", [lambda: [("demo visit", False, "off by 0.1")], lambda: 1 / 0])
def test_the_doctor_fails_with_its_self_test(selftest, finds):
    selftest.run_selftest = finds
    done = masi("doctor")
    assert done.exit_code == 2
    assert "[FAILED]" in done.stdout


def test_the_demo_scores_its_photos_and_can_be_run_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos = tmp_path / "package" / "demo-01" / "visit-1"
    photos.mkdir(parents=True)
    (photos / "front.jpg").write_text("no photo")
    module = types.ModuleType("masi_vision.phantom.demo")
    module.demo_folder = lambda: tmp_path / "package"
    monkeypatch.setitem(sys.modules, "masi_vision.phantom.demo", module)
    for _ in range(2):
        done = masi("demo")
        assert done.exit_code == 1
        assert "Tables: masi-demo" in done.stdout
    assert "already holds" in masi("demo", "--out", "masi-demo").stderr
    assert masi("demo", "--out", "masi-demo", "--overwrite").exit_code == 1


def test_the_demo_replaces_nobody_s_results_unasked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "masi-demo").mkdir()
    (tmp_path / "masi-demo" / "scores.csv").write_text("of a study\n")
    done = masi("demo")
    assert done.exit_code == 2
    assert "already holds scores.csv" in done.stderr
    assert (tmp_path / "masi-demo" / "scores.csv").read_text() == "of a study\n"


def test_help_loads_neither_the_measuring_verbs_nor_torch():
    code = (
        "import sys; from masi_vision.cli.main import main; sys.argv = ['masi', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'masi_vision.cli.run', 'rich.progress') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps the folder that somebody is in")
def test_a_folder_that_is_gone_is_no_bug(tmp_path):
    (tmp_path / "gone").mkdir()
    code = "import os; os.rmdir(os.getcwd()); from masi_vision.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "doctor"], capture_output=True, text=True, cwd=tmp_path / "gone"
    )
    assert done.returncode == door.MUST_CHANGE
    assert "The folder that you are in is not there any more" in done.stderr


def test_an_empty_argument_is_not_taken_for_the_current_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "masi_vision", "score", ""], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == door.MUST_CHANGE
    assert done.stderr.startswith("masi: an argument is empty.")
    assert not list(tmp_path.iterdir())


def test_every_exit_code_stands_in_the_manual():
    manual = (REPOSITORY / "docs" / "outputs.md").read_text(encoding="utf-8")
    codes = re.findall(r"^\| (\d+) \|", manual, re.MULTILINE)
    assert [int(code) for code in codes] == [
        door.DONE,
        door.SOME_NOT_SCORED,
        door.MUST_CHANGE,
        door.BUG,
        door.STOPPED,
    ]


def test_the_shipped_settings_are_the_ones_shown():
    assert masi("config", "show").stdout == shipped_file("configs", "scoring.yaml").read_text(
        encoding="utf-8"
    )


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=300)), max_size=8))
def test_names_of_pictures_are_safe_and_never_the_same(visits):
    names = FileNames()
    given_names = [names.of(patient, visit) for patient, visit in visits]
    assert len({name.casefold() for name in given_names}) == len(visits)
    for name in given_names:
        assert name and len(name.encode()) < 200
        assert not re.search(r'[<>:"/\\|?*;\x00-\x1f]', name)
        assert name == name.strip(" .")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("V1", "V1"),
        ("a/b:c", "a-b-c"),
        ("CON", "CON-"),
        ("..", "visit"),
        ("王芳", "王芳"),
        ("nul.x", "nul.x-"),
    ],
)
def test_names_keep_what_every_file_system_takes(name, file):
    assert safe_name(name) == file


@pytest.mark.parametrize(
    ("named", "file"),
    [
        ((), "scoring"),
        (("--quality",), "quality"),
        (("--protocol",), "protocol"),
        (("--outcome",), "outcome"),
    ],
)
def test_shipped_settings_are_written_to_a_file_of_one_s_own(tmp_path, named, file):
    shipped = shipped_file("configs", f"{file}.yaml").read_text(encoding="utf-8")
    assert masi("config", "show", *named).stdout == shipped
    done = masi("config", "show", *named, "--out", tmp_path / "mine.yaml")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "mine.yaml").read_text(encoding="utf-8") == shipped
    again = masi("config", "show", *named, "--out", tmp_path / "mine.yaml")
    assert (again.exit_code, "is there already" in again.output) == (2, True)
    assert masi("config", "show", "--quality", "--outcome").exit_code == 2


def test_settings_that_powershell_wrote_say_so(tmp_path):
    (tmp_path / "mine.yaml").write_text("pigment: {}\n", encoding="utf-16")
    done = masi("config", "validate", tmp_path / "mine.yaml")
    assert done.exit_code == 2
    assert "PowerShell's > writes UTF-16" in " ".join(done.output.split())


def test_a_path_in_a_script_that_the_terminal_lacks_is_no_bug(tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(
        [sys.executable, "-m", "masi_vision", "config", "show", "--out", tmp_path / "नेपाल.yaml"],
        capture_output=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert rb"\u0928\u0947\u092a\u093e\u0932.yaml" in done.stdout


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["outcome", "t.csv", "--out", "o", "--without", "a.csv", "--without", "b.csv"], "--without"),
        (["blind", "STUDY", "--out", "SET", "--key", "a", "--key=b"], "--key"),
    ],
)
def test_an_option_given_twice_is_refused_where_one_value_counts(words, option, monkeypatch, capsys):
    """The last would count: a trial would keep whom the first list leaves out."""
    monkeypatch.setattr(sys, "argv", ["masi", *words])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == door.MUST_CHANGE
    said = " ".join(re.sub("[│╭╮╰╯─]", " ", capsys.readouterr().err).split())
    assert f"Invalid value for '{option}': it is given 2 times. Expected once: the last alone" in said


def test_readers_may_be_as_many_as_there_are(tmp_path, monkeypatch, capsys):
    words = ["blind", str(tmp_path / "none"), "--out", "SET", "--key", "k", "--reader", "a", "--reader", "b"]
    monkeypatch.setattr(sys, "argv", ["masi", *words])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main()
    assert "none is no folder" in capsys.readouterr().err


@pytest.mark.parametrize("verb", [[], ["score"], ["blind", "check"], ["review", "serve"]])
def test_help_shows_no_value_behind_what_takes_none(verb, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["masi", *verb, "--help"])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().out
    assert "--help" in said
    assert "bool" not in said.lower()
