"""The wheel: what is in it, and that it works by itself, without the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("eexit_tf", "tuners", "tflite")
FILES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")
IMPORT_ALL = """
import importlib, pkgutil, sys
import eexit_tf, eexit_tf.tuners, eexit_tf.tflite
for module in pkgutil.walk_packages(eexit_tf.__path__, "eexit_tf."):
    importlib.import_module(module.name)
for name, module in sorted(sys.modules.items()):
    if name.partition(".")[0] in ("eexit_tf", "tuners", "tflite"):
        print(name, module.__file__)
"""


def run(*command: str | Path, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the checkout stays as it is."""
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    (source / "tests").mkdir()
    (source / "tests" / "__init__.py").touch()
    # No isolation: a build environment of its own would need the network.
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    run(*pip, "--wheel-dir", "dist", ".", cwd=source)
    (built,) = (source / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment's Python, with the wheel in it and its dependencies in sight.

    They are seen through a path file. One that names a folder does not process the path files in
    that folder, so the editable install there stays out of sight.
    """
    home = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=home)
    python = home / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel, cwd=home)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    clean = Path(run(python, "-I", "-c", where, cwd=home).strip())
    # As a folder of packages of its own, with their `.pth` files: TFMOT needs that of setuptools.
    there = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (clean / "dependencies.pth").write_text(there)
    return python


def test_nothing_but_our_own_name_is_at_the_top(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in files}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"eexit_tf"}
    assert len(tops) == 2
    assert "eexit_tf/py.typed" in files


def test_every_module_is_in_the_wheel(wheel: Path) -> None:
    files = set(zipfile.ZipFile(wheel).namelist())
    for package in PACKAGES:
        inside = "eexit_tf" if package == "eexit_tf" else f"eexit_tf/{package}"
        for file in (ROOT / package).rglob("*.py"):
            assert f"{inside}/{file.relative_to(ROOT / package).as_posix()}" in files


def test_everything_is_imported_from_the_wheel(python: Path, tmp_path: Path) -> None:
    said = run(python, "-I", "-c", IMPORT_ALL, cwd=tmp_path)
    found = dict(line.split(" ", 1) for line in said.splitlines())
    assert {"eexit_tf", "eexit_tf.cli", "eexit_tf.tuners", "eexit_tf.tflite"} <= set(found)
    assert "tuners" not in found
    assert "tflite" not in found
    for name, file in found.items():
        assert Path(file).is_relative_to(python.parents[1]), f"{name} comes from {file}"


def test_the_command_of_the_wheel(python: Path, tmp_path: Path) -> None:
    from eexit_tf.cli import VERBS
    from eexit_tf.version import __version__

    command = python.with_name("eexit-tf")
    assert run(command, "--version", cwd=tmp_path).strip() == f"eexit-tf, version {__version__}"
    said = run(command, "--help", cwd=tmp_path)
    places = [said.index(f"\n  {verb} ") for verb in VERBS]
    assert places == sorted(places)
