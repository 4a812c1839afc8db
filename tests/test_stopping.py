"""A real training in a search, beside trials that ended well or badly."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from lines import Lines

from eexit_tf.bounds import Bounds
from eexit_tf.data import load
from eexit_tf.errors import UserError
from eexit_tf.tuners import stopping
from eexit_tf.tuners.archive import load_front, save_front
from eexit_tf.tuners.rungs import FEWEST_COMPARED, Climb
from eexit_tf.tuners.search import search
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
    with patch.object(stopping, "EFFORT", 1e9):  # as much as for the final front
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
