"""A search in its own process, killed at bad moments and run again."""

import itertools
import json
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import EEXIT_TF, Run

from eexit_tf.data import load
from eexit_tf.fronts import SearchFront
from eexit_tf.outputs import ExitOutputs
from eexit_tf.pareto import hypervolume
from eexit_tf.tuners.archive import pairs
from eexit_tf.tuners.search import _write_front, make_tuner
from eexit_tf.tuners.settings import SearchSettings

TRIALS = 3
PATIENCE = 1200
"""Seconds until a search has come so far, on a busy machine."""


def command(dataset: Path, output: Path) -> list[str | Path]:
    trials = ["--max-trials", str(TRIALS), "--epochs", "2", "--seed", "3", "--max-macs", "60k"]
    return ["search", "--dataset", dataset, "--output", output, *trials]


@pytest.fixture(scope="module")
def uninterrupted(
    eexit_tf: Run, some_digits: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A search in this process, not the first thing that happens in it."""
    output = tmp_path_factory.mktemp("whole") / "search"
    run = eexit_tf(*command(some_digits, output), cwd=output.parent)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("trial ") == TRIALS, run.stderr
    return output


def finished(output: Path) -> list[str]:
    """The trials whose results are complete on disk."""
    done = []
    for path in sorted(output.glob("trials/trial_*/trial.json")):
        if json.loads(path.read_text())["status"] == "COMPLETED":
            done.append(path.parent.name)
    return done


def training(output: Path, trial: int) -> bool:
    return (output / "trials" / f"trial_{trial}").exists()


def test_a_killed_search_loses_no_finished_trial_and_ends_in_the_same_front(
    installed_eexit_tf: Run, some_digits: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    output = tmp_path / "search"
    kept: dict[Path, bytes] = {}
    # Once in the middle of the first trial, then in the middle of the last one.
    for already in (0, TRIALS - 1):
        with subprocess.Popen(
            [EEXIT_TF, *command(some_digits, output)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                deadline = time.monotonic() + PATIENCE
                while len(finished(output)) < already or not training(output, already):
                    assert process.poll() is None, "the search ended before it was killed"
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                time.sleep(0.7)
            finally:
                process.kill()
        for path, content in kept.items():
            assert path.read_bytes() == content, f"{path} was made again"
        kept = {
            path: path.read_bytes()
            for trial in finished(output)
            for path in (output / "trials" / trial).iterdir()
        }
    run = installed_eexit_tf(*command(some_digits, output), cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    for path, content in kept.items():
        assert path.read_bytes() == content, f"{path} was made again"
    assert (output / "front.json").read_text() == (uninterrupted / "front.json").read_text()


def test_a_finished_search_runs_again_without_training(
    eexit_tf: Run, some_digits: Path, uninterrupted: Path
) -> None:
    before = (uninterrupted / "front.json").stat().st_mtime_ns
    run = eexit_tf(*command(some_digits, uninterrupted), cwd=uninterrupted)
    assert run.returncode == 0, run.stderr
    assert "trial " not in run.stderr
    assert (uninterrupted / "front.json").stat().st_mtime_ns == before


def test_a_resumed_search_knows_where_its_data_are_now(
    eexit_tf: Run, some_digits: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    """Workers and `convert` read them by the name in the manifest."""
    moved = Path(shutil.copy(some_digits, tmp_path / "moved.npz"))
    output = Path(shutil.copytree(uninterrupted, tmp_path / "search"))
    run = eexit_tf(*command(moved, output), cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert json.loads((output / "search.json").read_text())["dataset"] == str(moved)


def test_the_hypervolume_is_that_of_the_points_within_the_bounds(
    small_search: Path, tmp_path: Path
) -> None:
    output = Path(shutil.copytree(small_search, tmp_path / "search"))
    whole, settings = SearchFront.load(output), SearchSettings.load(output)
    best = replace(settings.bounds, min_accuracy=whole.front.points[-1].val_accuracy)
    settings = replace(settings, bounds=best)
    tuner = make_tuner(settings.space(load(settings.dataset)), output, settings, max_trials=1)
    found = _write_front(tuner, output, settings)
    assert found.front.points == whole.front.points[-1:]
    assert found.hypervolume == hypervolume(pairs(found.front), found.reference_macs)
    assert 0 < found.hypervolume < whole.hypervolume


def test_the_front_keeps_its_promises(uninterrupted: Path) -> None:
    """Each point is on the trial's stored outputs exactly what front.json says."""
    front = json.loads((uninterrupted / "front.json").read_text())
    assert set(front) >= {
        "schema",
        "dataset",
        "seed",
        "bounds",
        "trials",
        "evaluated_policies",
        "hypervolume",
        "points",
    }
    assert front["trials"] == TRIALS
    assert 0 < front["hypervolume"] < 1
    points = front["points"]
    assert [p["mean_macs"] for p in points] == sorted(p["mean_macs"] for p in points)
    assert all(a["val_accuracy"] < b["val_accuracy"] for a, b in itertools.pairwise(points))
    for point in points:
        assert point["max_macs"] == point["exits"][-1]["macs"] <= 60_000
        assert point["exits"][-1]["threshold"] == 0
        assert sum(use["share"] for use in point["exits"]) == pytest.approx(1)
        mean = sum(use["share"] * use["macs"] for use in point["exits"])
        assert point["mean_macs"] == pytest.approx(mean)
        outputs = ExitOutputs.load(
            uninterrupted / "trials" / f"trial_{point['trial']}" / "outputs.npz"
        )
        assert round(point["val_accuracy"] * outputs.samples, 6).is_integer()


def test_a_damaged_state_is_explained(
    eexit_tf: Run, some_digits: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    output = tmp_path / "search"
    shutil.copytree(uninterrupted, output)
    (output / "trials" / "oracle.json").write_text('{"ongoing_trials": ')
    run = eexit_tf(*command(some_digits, output), cwd=tmp_path)
    assert run.returncode == 2
    assert "--overwrite starts over" in run.stderr
    assert "Traceback" not in run.stderr
