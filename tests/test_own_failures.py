"""What goes wrong in the user's own code during a search."""

from pathlib import Path

import pytest
from conftest import Run

pytestmark = pytest.mark.usefixtures("mine")


def test_networks_that_cannot_be_built_are_left_out(
    eexit_tf: Run, some_digits: Path, tmp_path: Path
) -> None:
    command = ["search", "--dataset", some_digits, "--output", "out", "--max-trials", "5"]
    options = ["--epochs", "1", "--space", "mine:Refusing"]
    run = eexit_tf(*command, *options, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    lines = [line for line in run.stderr.splitlines() if line.startswith("trial ")]
    assert sorted(line.split(":")[1] for line in lines) == [" width 4", " width 8"]
