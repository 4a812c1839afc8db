"""Where a search stands: told in one place, whichever process trains."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eexit_tf.fronts import SearchFront
from eexit_tf.reporter import Reporter
from eexit_tf.tuners.archive import load_front
from eexit_tf.tuners.oracle import ParetoOracle
from eexit_tf.tuners.rungs import Climb
from eexit_tf.tuners.tuner import failure
from eexit_tf.vocabulary import Front


class SearchProgress:
    """Tells a reporter about epochs and trials.

    Args:
        reporter: told.
        oracle: of the search, with what has finished already.
        epochs: of each training.
        found: the front so far.
        describe: a network's values in a few words.
    """

    def __init__(
        self,
        reporter: Reporter,
        oracle: ParetoOracle,
        epochs: int,
        found: SearchFront,
        describe: Callable[[dict[str, Any]], str],
    ) -> None:
        self._reporter = reporter
        self._oracle = oracle
        self._epochs = epochs
        self._found = found
        self._describe = describe
        self._running: dict[str, int] = {}
        self._begun = time.monotonic()
        self._begun_with = self._done()

    def epoch(self, trial_id: str, epoch: int) -> None:
        """A running trial has trained so many epochs."""
        self._running[trial_id] = epoch
        self._reporter.step(self._done(), self._total(), self._standing())

    def ended(self, trial_id: str, found: SearchFront) -> None:
        """A trial has ended, and this is the front now."""
        self._running.pop(trial_id, None)
        self._found = found
        directory = Path(self._oracle._get_trial_dir(trial_id))
        values = self._oracle.get_trial(trial_id).hyperparameters.values
        result = failure(directory) or self._brought(directory)
        what = f"trial {int(trial_id) + 1} of {self._oracle.max_trials}: {self._describe(values)}"
        self._reporter.say(f"{what}: {result}")
        self._reporter.step(self._done(), self._total(), self._standing())
        self._reporter.milestone(f"{self._standing()}, {self._left()}")

    def _brought(self, directory: Path) -> str:
        front = _ends(load_front(directory).within(self._found.bounds))
        stopped = Climb.load(directory).stopped
        return f"stopped after epoch {stopped} of {self._epochs}, {front}" if stopped else front

    def _done(self) -> int:
        """Epochs, and one more a trial for the search over its policies."""
        finished = len(self._oracle.end_order) * (self._epochs + 1)
        return min(finished + sum(self._running.values()), self._total())

    def _total(self) -> int:
        return (self._oracle.max_trials or 0) * (self._epochs + 1)

    def _standing(self) -> str:
        trials = f"{len(self._oracle.end_order)} of {self._oracle.max_trials} trials done"
        points = self._found.front.points
        best = (
            f"best {points[-1].val_accuracy:.1%} at {points[-1].mean_macs:,.0f} mean MACs"
            if points
            else "nothing within the bounds yet"
        )
        return f"{trials}, {best}, hypervolume {self._found.hypervolume:.4f}"

    def _left(self) -> str:
        done = self._done() - self._begun_with
        left = (time.monotonic() - self._begun) * (self._total() - self._done()) / max(done, 1)
        return f"about {left:,.0f} s left"


def _ends(front: Front) -> str:
    if not front.points:
        return "nothing within the bounds"
    first, last = front.points[0], front.points[-1]
    return (
        f"{first.val_accuracy:.1%} at {first.mean_macs:,.0f} to "
        f"{last.val_accuracy:.1%} at {last.mean_macs:,.0f} mean MACs"
    )
