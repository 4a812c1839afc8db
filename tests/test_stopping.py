"""A real training in a search, beside trials that ended well or badly."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from lines import Lines
from policy_problems import some_costs

from eexit_tf.bounds import Bounds
from eexit_tf.data import Samples, load
from eexit_tf.errors import UserError
from eexit_tf.tuners import stopping
from eexit_tf.tuners.archive import load_front, save_front
from eexit_tf.tuners.rungs import FEWEST_COMPARED, Climb
from eexit_tf.tuners.search import search
from eexit_tf.tuners.stopping import StopHopeless, earlier_trials
from eexit_tf.tuners.tuner import ExitTuner
from eexit_tf.vocabulary import ExitUse, Front, OperatingPoint

EPOCHS, RUNG = 6, 2
RISE = 0.01


def ended_at(accuracy: float) -> Any:
    """A trial that takes no time: its cheap exit rose a little from the rung to its end."""

    def train(tuner: ExitTuner, trial: Any, data: Any, epochs: int) -> Front:
        directory = Path(tuner.get_trial_dir(trial.trial_id))
        Climb({RUNG: [(64.0, accuracy - RISE)]}).save(directory)
        use = ExitUse("stem", "pool_dense", 0.0, 1.0, 64)
        point = OperatingPoint(f"{trial.trial_id}-0", trial.trial_id, accuracy, 64, 64, 10, (use,))
        save_front(directory, Front((point,)))
        return Front((point,))

    return train


def test_a_trial_is_compared_with_the_finished_ones_of_lower_numbers(tmp_path: Path) -> None:
    use = ExitUse("stem", "pool_dense", 0.0, 1.0, 64)
    for number in (2, 9, 10, 11):
        directory = tmp_path / f"trial_{number}"
        Climb({RUNG: [(64.0, 0.5)]}, stopped=number).save(directory)
        if number != 9:  # that one is in training
            point = OperatingPoint("0-0", "0", number / 100, 64, 64, 10, (use,))
            save_front(directory, Front((point,)))
    found = earlier_trials(tmp_path / "trial_11")
    assert sorted(final for _, final in found) == [[(64, 0.02)], [(64, 0.1)]]
    assert sorted(climb.stopped or 0 for climb, _ in found) == [2, 10]
    assert earlier_trials(tmp_path / "trial_2") == []


def at_rungs(directory: Path, min_accuracy: float = 0.0) -> StopHopeless:
    """Compares points of up to 100 MACs on three samples, of the classes 0, 1 and 2."""
    return StopHopeless(
        None,
        Samples(np.zeros((3, 8, 8, 1), np.float32), np.arange(3)),
        epochs=EPOCHS,
        bounds=Bounds(max_macs=100),
        min_accuracy=min_accuracy,
        directory=directory,
        reference_macs=(1.0, 100.0),
    )


@pytest.mark.parametrize(("epoch", "score"), [(RUNG, np.nan), (RUNG - 1, 0.5)])
def test_what_diverges_or_is_between_rungs_is_not_compared(
    tmp_path: Path, epoch: int, score: float
) -> None:
    directory = tmp_path / "trial_0"
    Climb({RUNG: [(64.0, 0.5)]}).save(directory)  # of a run that was interrupted
    callback = at_rungs(directory)
    said = np.full((2, 3, 3), 0.5)
    said[1, 2, 0] = score
    with patch.object(stopping, "scores", lambda *_: list(said)):
        callback.on_epoch_end(epoch - 1)
    assert Climb.load(directory) == Climb({})


@pytest.mark.parametrize(
    ("others", "min_accuracy", "stops"), [(0.5, 0.0, True), (0.02, 0.0, False), (0.02, 0.4, True)]
)
def test_at_a_rung_counts_what_keeps_the_bounds_and_may_add_something(
    tmp_path: Path, others: float, min_accuracy: float, stops: bool
) -> None:
    use = ExitUse("stem", "pool_dense", 0.0, 1.0, 64)
    for number in range(FEWEST_COMPARED):
        directory = tmp_path / f"trial_{number}"
        Climb({RUNG: [(64.0, others)]}).save(directory)
        point = OperatingPoint("0-0", "0", others, 64, 64, 10, (use,))
        save_front(directory, Front((point,)))
    directory = tmp_path / f"trial_{FEWEST_COMPARED}"
    callback = at_rungs(directory, min_accuracy)
    callback.set_model(SimpleNamespace(stop_training=False))
    cheap, dear = np.eye(3)[[0, 0, 0]], np.eye(3)  # right once in three, and always
    costs = some_costs(np.array([60, 900]), np.array([4, 4]))
    with (
        patch.object(stopping, "scores", lambda *_: [cheap, dear]),
        patch.object(stopping, "exit_costs", lambda _: costs),
    ):
        callback.on_epoch_end(RUNG - 1)
        front = [(64.0, 1 / 3)]
        assert Climb.load(directory) == Climb({RUNG: front}, RUNG if stops else None)
        assert callback.model.stop_training == stops
        callback.on_epoch_end(2 * RUNG - 1)
    assert Climb.load(directory).rungs == {RUNG: front, 2 * RUNG: front}


@pytest.mark.parametrize(
    ("others", "min_accuracy", "stops"), [(1.0, None, True), (0.02, None, False), (0.02, 1.0, True)]
)
def test_a_training_that_can_add_nothing_ends_at_a_rung_and_the_log_says_so(
    some_digits: Path, tmp_path: Path, others: float, min_accuracy: float | None, stops: bool
) -> None:
    lines = Lines()

    def run(trials: int) -> None:
        with pytest.raises(UserError) if min_accuracy else nullcontext():  # nothing is so good
            search(
                load(str(some_digits)),
                tmp_path,
                bounds=Bounds(max_macs=15_000, min_accuracy=min_accuracy),
                max_trials=trials,
                epochs=EPOCHS,
                seed=3,
                reporter=lines,
            )

    with patch.object(ExitTuner, "_train", ended_at(others)):
        run(FEWEST_COMPARED)
    with patch.object(stopping, "BRIEF", 1e9):  # as much as for the final front
        run(FEWEST_COMPARED + 1)

    directory = tmp_path / "trials" / f"trial_{FEWEST_COMPARED}"
    climb = Climb.load(directory)
    front = [(point.mean_macs, point.val_accuracy) for point in load_front(directory)]
    assert len(lines.said) == FEWEST_COMPARED + 1
    assert "stopped" not in "".join(lines.said[:-1])
    if stops:
        assert climb.stopped == RUNG
        assert list(climb.rungs) == [RUNG]
        assert front == climb.rungs[RUNG]  # nothing was trained after it
        assert f": stopped after epoch {RUNG} of {EPOCHS}, " in lines.said[-1]
    else:
        assert climb.stopped is None
        assert list(climb.rungs) == [RUNG, 2 * RUNG]
        assert front != climb.rungs[RUNG]
        assert "stopped" not in lines.said[-1]
