"""What several test files share: the command, in this process or its own, and one small search."""

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from eexit_tf.cli import main
from eexit_tf.tflite.model import CompiledModel

EEXIT_TF = Path(sys.executable).with_name("eexit-tf")
CODE = Path(__file__).with_name("own_code.py")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def eexit_tf() -> Run:
    """Runs the command's entry point in any folder: `eexit_tf("front", "DIR", cwd=folder)`.

    In this process, as starting one that imports TensorFlow takes seconds.
    """

    def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        command = ["eexit-tf", *map(str, arguments)]
        modules = set(sys.modules)
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(cwd)
            patch.setattr(sys, "argv", command)
            patch.setattr(sys, "path", [*sys.path])
            with pytest.raises(SystemExit) as ended:
                main()
        for name in set(sys.modules) - modules:  # the user's own, which another case may have, too
            if str(getattr(sys.modules[name], "__file__", "")).startswith(f"{cwd}{os.sep}"):
                del sys.modules[name]
        code = ended.value.code
        return subprocess.CompletedProcess(command, int(code or 0), out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def installed_eexit_tf() -> Run:
    """The same with the installed command, in a process of its own."""

    def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(EEXIT_TF), *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=1200,
        )

    return run


@pytest.fixture(scope="session")
def some_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quarter of the digits as an `.npz`: enough to train on for a moment."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    path = tmp_path_factory.mktemp("digits") / "some-digits.npz"
    images = (digits.images[:450] * 15.9375).astype(np.uint8)
    np.savez(path, x_train=images, y_train=digits.target[:450])
    return path


@pytest.fixture(scope="session")
def small_search(
    eexit_tf: Run, some_digits: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a finished search of one trial of one epoch, on `some_digits`."""
    folder = tmp_path_factory.mktemp("small") / "search"
    limits = ["--max-trials", "1", "--epochs", "1", "--max-macs", "40k"]
    found = eexit_tf(
        "search", "--dataset", some_digits, "--output", folder, *limits, cwd=folder.parent
    )
    assert found.returncode == 0, found.stderr
    return folder


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The test's folder with the user's code, imported by nobody yet nor afterwards."""
    shutil.copy(CODE, tmp_path / "mine.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    yield
    sys.modules.pop("mine", None)


@pytest.fixture(scope="session")
def early_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-exiting file with three exits and its card."""
    from exports import write_network

    return write_network(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="session")
def early_model(early_file: Path) -> CompiledModel:
    """The same, loaded."""
    from eexit_tf.tflite.exporting.exporter import load

    return load(early_file)


@pytest.fixture(scope="session")
def projects(early_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Exports of `early_file`, by format."""
    from eexit_tf.tflite import export
    from eexit_tf.tflite.exporting.projects import FORMATS

    folder = tmp_path_factory.mktemp("projects")
    for kind in FORMATS:
        export(early_file, folder / kind, format=kind)
    return {kind: folder / kind for kind in FORMATS}


@pytest.fixture(scope="session")
def board_network() -> bytes:
    """A self-exiting network with three exits that takes 64 bytes and knows four classes."""
    from board_networks import early_network

    return early_network()


@pytest.fixture
def board_file(board_network: bytes, tmp_path: Path) -> Path:
    """The same as `model.tflite` in the test's folder."""
    path = tmp_path / "model.tflite"
    path.write_bytes(board_network)
    return path


@pytest.fixture(scope="session")
def board_program(board_network: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The firmware with it and its last exit alone, built for the host."""
    from board_networks import static_network
    from host_firmware import build_for_host

    from eexit_tf.tflite.benchmarking.devices import Network

    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    networks = [Network(board_network), Network(static_network(board_network))]
    return build_for_host(tmp_path_factory.mktemp("firmware"), networks)
