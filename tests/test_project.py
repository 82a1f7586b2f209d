"""The project as a stranger meets it: README, imports, wheel."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from masi_vision.config import load_settings
from masi_vision.phantom.demo import demo_folder

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(
    [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("models/*.md")]
)

# Folders that belong to one person's machine, and the same on Windows.
OWN_PLACES = re.compile(r"(?<![\w.:/~-])/(?:Users|home|media|mnt|opt|root|srv|work)/[\w.]|\b[A-Z]:\\Users\\")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def run(*command, cwd=REPOSITORY, **options):
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, encoding="utf-8", check=False, **options
    )


def test_readme_can_be_read_in_one_sitting():
    assert len(README.splitlines()) < 150


def test_one_command_of_the_readme_runs_the_demo_and_one_the_tests():
    demo, tests = (block.strip() for block in blocks("sh")[:2])
    assert demo.startswith("python3 -m venv")
    assert demo.endswith("masi demo")
    assert tests.startswith("python3 -m venv")
    assert tests.endswith("-m pytest")
    assert "\n" not in demo + tests


@pytest.mark.skipif(shutil.which("bash") is None or sys.platform == "win32", reason="needs bash")
def test_ci_runs_the_test_command_of_the_readme():
    shown = run("bash", ".ci/run", "--show")
    assert shown.stdout.strip() == blocks("sh")[1].strip()


def test_the_example_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    shutil.copy(next(demo_folder().glob("*/*/front.jpg")), tmp_path / "front.jpg")
    monkeypatch.chdir(tmp_path)
    (example,) = blocks("python")
    assert len(example.strip().splitlines()) <= 5
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("front.jpg, front: ")


def test_no_two_commands_of_the_readme_write_to_one_place():
    places = re.findall(r"(?:--out|>)\s([\w.-]+)", README)
    assert len(places) > 5
    assert sorted(places) == sorted(set(places))


def test_every_folder_of_the_readmes_map_exists():
    (folders,) = blocks("text")
    package, missing = REPOSITORY, []
    for line in folders.splitlines():
        place = line.split()[0]
        package = package if line.startswith(" ") else REPOSITORY
        if not (package / place).exists():
            missing.append(place)
        if not line.startswith(" "):
            package = REPOSITORY / place
    assert not missing


def test_every_package_stands_in_the_readmes_map():
    (folders,) = blocks("text")
    packages = {file.parent.name for file in REPOSITORY.glob("masi_vision/*/__init__.py")}
    assert {name for name in packages if f"  {name}/" not in folders} == set()


def test_the_photographers_sheet_has_the_limits_of_the_shipped_settings():
    limits = load_settings().quality
    sheet = " ".join((REPOSITORY / "docs" / "photographs.md").read_text(encoding="utf-8").split())
    side, far, front = limits.yaw_deg_oblique_least, limits.yaw_deg_oblique_most, limits.yaw_deg_front
    for told in (
        f"({limits.light_difference_od.warn:g} OD)",
        f"({limits.light_difference_od.fail:g} OD)",
        f"below {limits.visible_fraction.warn:.0%} the photographer".replace("%", " %"),
        f"The face {limits.face_width_px.warn:g} px wide",
        f"turned by more than {front.warn:g} degrees | by more than {front.fail:g} |",
        f"| less than {side.warn:g}, more than {far.warn:g} |",
        f"| less than {side.fail:g}, more than {far.fail:g} |",
        f"({limits.pitch_deg.warn:g} degrees told, {limits.pitch_deg.fail:g} refused)",
        f"head upright ({limits.roll_deg.warn:g}; {limits.roll_deg.fail:g})",
    ):
        assert told in sheet, told
    assert (limits.visible_fraction.fail, limits.gloss_fraction.warn) == (0.5, 0.1)  # told in words
    assert limits.exposure_change_ev.warn == 0.5


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_links_of_a_document_lead_somewhere(document):
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_versions_agree():
    from masi_vision import __version__

    assert f"version: {__version__}\n" in (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {__version__}" in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")


def test_imports_run_the_way_the_contracts_say():
    if importlib.util.find_spec("importlinter") is None:
        pytest.skip("needs import-linter, of the extra dev")
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    checked = run(sys.executable, "-c", code)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_layers_are_told_as_they_are_held():
    told = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [
        set(re.findall(r"`(\w+)`", row)) for row in re.findall(r"^\| (`.*?) \|", told, flags=re.MULTILINE)
    ]
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]
    (layers,) = (one["layers"] for one in contracts["contracts"] if one["type"] == "layers")
    held = [set(layer.split(" | ")) for layer in layers if layer != "__main__"]
    assert rows[-len(held) :] == held


def test_no_file_names_a_place_on_somebodys_machine():
    listed = (
        run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        if shutil.which("git")
        else None
    )
    if listed is None or listed.returncode != 0:
        pytest.skip("needs a git checkout")
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        content = (REPOSITORY / name).read_bytes() if (REPOSITORY / name).is_file() else b""
        if b"\0" in content[:8000]:
            continue
        for number, line in enumerate(content.decode("utf-8", errors="replace").splitlines(), 1):
            if OWN_PLACES.search(line):
                found.append(f"{name}:{number}")
    assert found == []


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("needs hatchling, of the extra dev")
    folder = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


@pytest.mark.long
def test_a_wheel_carries_models_settings_and_the_demo(wheel):
    expected = {
        f"masi_vision/{file.relative_to(REPOSITORY).as_posix()}"
        for folder in ("models", "configs")
        for file in (REPOSITORY / folder).rglob("*")
        if file.is_file() and not file.name.startswith(".")
    } | {
        file.relative_to(REPOSITORY).as_posix()
        for file in demo_folder().rglob("*")
        if file.suffix in {".jpg", ".json"}
    }
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert expected - names == set()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "masi_vision/py.typed" in names


@pytest.mark.long
def test_what_a_wheel_carries_scores_a_photo(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "import masi_vision; from masi_vision.phantom.demo import demo_folder; "
        "front = next(demo_folder().glob('*/*/front.jpg')); "
        "print(masi_vision.score_photo(front).status, masi_vision.__file__)"
    )
    scored = run(sys.executable, "-c", code, str(tmp_path / "installed"), cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    assert str(tmp_path) in scored.stdout


def test_the_oldest_versions_that_are_allowed_are_those_that_are_tried():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for_users = [of for name, of in extras.items() if name not in ("dev", "train", "tensorboard")]
    needed = [*project["dependencies"], *(one for of in for_users for one in of)]
    allowed = dict(re.fullmatch(r"([\w-]+)>=([\d.]+).*", one).groups() for one in needed if ">=" in one)
    lines = (REPOSITORY / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()[1:]
    tried = dict(line.split("==") for line in lines)
    assert tried.keys() == allowed.keys()
    for name, oldest in allowed.items():
        assert tried[name] == oldest or tried[name].startswith(f"{oldest}."), name
