"""What goes wrong in the user's own code during a search."""

import sys
from pathlib import Path

import pytest
from conftest import Run

from eexit_tf.bounds import Bounds
from eexit_tf.own_functions import OwnFunctionError
from eexit_tf.tuners.failures import InfeasibleError
from eexit_tf.tuners.own_space import HyperModelSpace

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


def test_a_network_that_cannot_be_built_is_not_tried_again() -> None:
    space = HyperModelSpace((8, 8, 1), 10, Bounds(), spec="mine:Infeasible")
    tried = sys.modules["mine"].Infeasible.tried
    tried.clear()
    for width in (2, 4, 2, 4):
        assert space.rejected({"width": width})
    with pytest.raises(InfeasibleError, match="none will do"):
        space.costs({"width": 4})
    assert tried == [2, 4]


def test_a_file_that_the_users_code_misses_is_not_taken_for_a_wrong_path_of_ours(
    eexit_tf: Run, some_digits: Path, tmp_path: Path
) -> None:
    command = ["search", "--dataset", some_digits, "--output", "out", "--backbone"]
    with pytest.raises(OwnFunctionError, match=r"backbone mine:unreadable failed: .*weights\.h5"):
        eexit_tf(*command, "mine:unreadable", cwd=tmp_path)


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_file_that_is_missing_in_a_trial_stops_the_search_with_the_users_lines(
    installed_eexit_tf: Run, some_digits: Path, tmp_path: Path, workers: str
) -> None:
    command = ["search", "--dataset", some_digits, "--output", "out", "--max-trials", "1"]
    options = ["--space", "mine:Unreadable", "--workers", workers]
    run = installed_eexit_tf(*command, *options, cwd=tmp_path)
    assert run.returncode == 1, run.stderr
    assert ', in build\n    Path("weights.h5").read_bytes()' in run.stderr
    assert "No such file or directory: 'weights.h5'" in run.stderr
    assert "space mine:Unreadable failed: " in run.stderr
