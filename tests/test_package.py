"""The package's face: light to import, its names in one sorted list."""

import importlib
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import masi_vision


def test_importing_the_package_loads_no_training_stack_and_takes_less_than_a_second(fresh_python):
    printed = fresh_python(
        """
import sys, time
start = time.process_time()  # of the processor: other tests run beside
import masi_vision
seconds = time.process_time() - start
heavy = {"torch", "torchvision", "skimage", "scipy", "matplotlib", "pandas", "timm", "rawpy", "pi_heif"}
print(sorted(heavy & set(sys.modules)), seconds)
"""
    )
    loaded, seconds = printed.rsplit(maxsplit=1)
    assert loaded == "[]"
    assert float(seconds) < 1


def test_importing_the_training_labels_needs_no_torch(fresh_python):
    """Face geometry and labels are shared with scripts that run without the training stack."""
    code = "import sys, masi_vision.training.augment; print('torch' in sys.modules)"
    assert fresh_python(code).strip() == "False"


def test_the_command_line_loads_what_a_verb_needs_when_it_runs(fresh_python):
    """Help, a usage error and the door of a reading page wait for no library of photographs."""
    code = """
import sys, masi_vision.cli.main
print(sorted({"cv2", "numpy", "onnxruntime", "PIL", "pydantic", "yaml"} & set(sys.modules)))
"""
    assert fresh_python(code).strip() == "[]"


def test_the_public_names_are_sorted_and_importable():
    assert masi_vision.__all__ == sorted(masi_vision.__all__)
    assert len(set(masi_vision.__all__)) == len(masi_vision.__all__)
    for name in masi_vision.__all__:
        assert getattr(masi_vision, name) is not None


def test_a_module_is_reached_by_the_package_as_its_name_says(fresh_python):
    code = "import masi_vision; print(masi_vision.config.load_settings, masi_vision.visit.score.score_visit)"
    assert "load_settings" in fresh_python(code)


def test_star_import_brings_exactly_the_public_names():
    names: dict[str, object] = {}
    exec("from masi_vision import *", names)
    assert set(names) - {"__builtins__"} == set(masi_vision.__all__)


@pytest.mark.parametrize(
    "name", [n for n in masi_vision.__all__ if n[0].isupper() or n.startswith(("score", "read", "load"))]
)
def test_every_public_name_says_what_it_is(name):
    assert len((getattr(masi_vision, name).__doc__ or "").strip()) > 10


def test_the_installed_version_is_the_package_s_own():
    try:
        installed = version("masi-vision")
    except PackageNotFoundError:
        pytest.skip("masi-vision is not installed here, only importable")
    assert masi_vision.__version__ == installed


@pytest.mark.parametrize("package", ["cli", "face", "photo", "pigment", "report", "skin", "visit"])
def test_every_subpackage_says_in_a_sentence_what_it_is(package):
    try:
        module = importlib.import_module(f"masi_vision.{package}")
    except ModuleNotFoundError:
        pytest.skip(f"masi_vision.{package} is not there yet")
    assert module.__doc__


def test_nothing_is_gathered_at_home(tmp_path, demo_visits):
    """ONNX Runtime keeps an identifier of the device below the home, and a queue of what it reports."""
    inherited = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    place = str(Path(masi_vision.__file__).resolve().parents[1])
    photo = str(demo_visits[0] / "front.jpg")
    code = f"from masi_vision import score_photo; assert score_photo({photo!r}).scores"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=inherited | {"HOME": str(tmp_path), "PYTHONPATH": place, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "telemetry" not in done.stderr
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []
