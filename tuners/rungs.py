"""Stopping a training that will add nothing, by its fronts on the way there.

At a rung, after a third and after two thirds of the epochs, a trial's front is compared with what
earlier trials had made of theirs in the end. The learning rate is still high then, so accuracies
will rise; how much they rise is seen in the earlier trials. A trial is stopped if its front,
raised at every cost by the most that any earlier trial gained from this rung to its end, would
still add nothing to the archive. This is successive halving's idea (Jamieson and Talwalkar 2016)
with a bound learnt from the trials in place of a fixed part that survives.

A stopped trial keeps its front: the network is real and so are its outputs. It adds hardly
anything to the search's front, which has better points at nearly the same costs.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eexit_tf.files import write_json
from eexit_tf.tuners.surrogate import staircase

RUNGS = "rungs.json"
PARTS = (1 / 3, 2 / 3)
FEWEST_EPOCHS = 6
"""Shorter trainings have no rungs."""
FEWEST_COMPARED = 4
"""Earlier trials, trained to their ends, that a trial is compared with at least."""
COSTS = 64
"""At which fronts are compared."""

Points = Sequence[tuple[float, float]]
"""(mean MACs, accuracy) of a front."""


@dataclass(frozen=True)
class Climb:
    """How a trial's front rose.

    Attributes:
        rungs: its front after so many epochs.
        stopped: after how many epochs it was stopped; `None` if it was trained to its end.
    """

    rungs: Mapping[int, Points]
    stopped: int | None = None

    def save(self, directory: Path) -> None:
        """Keep it in the trial's folder."""
        rungs = {str(epoch): list(points) for epoch, points in self.rungs.items()}
        write_json(directory / RUNGS, {"rungs": rungs, "stopped": self.stopped})

    @classmethod
    def load(cls, directory: Path) -> "Climb":
        """From a trial's folder; without rungs if there were none."""
        path = directory / RUNGS
        if not path.is_file():
            return cls({})
        value = json.loads(path.read_text())
        rungs = {
            int(epoch): [(float(macs), float(accuracy)) for macs, accuracy in points]
            for epoch, points in value["rungs"].items()
        }
        return cls(rungs, value["stopped"])


def rung_epochs(epochs: int) -> tuple[int, ...]:
    """After how many epochs of so many a trial is looked at."""
    return tuple(ceil(part * epochs) for part in PARTS) if epochs >= FEWEST_EPOCHS else ()


def hopeless(
    points: Points,
    epoch: int,
    earlier: Iterable[tuple[Climb, Points]],
    reference_macs: tuple[float, float],
) -> bool:
    """Whether a trial with this front at a rung would add nothing to the earlier trials' fronts.

    Args:
        points: the trial's front after this epoch.
        epoch: of the rung.
        earlier: of each finished trial how it rose, and its final front.
        reference_macs: the range of costs that counts.
    """
    logs = _logs(reference_macs)
    earlier = list(earlier)
    gains = _gains(earlier, epoch, logs)
    if len(gains) < FEWEST_COMPARED:
        return False
    archive = np.max([staircase(final, logs) for _, final in earlier], axis=0)
    now = staircase(points, logs)
    most = max(gain.max() for gain in gains)
    return not (now + most > archive)[now > 0].any()


def expected_end(
    points: Points,
    epoch: int,
    earlier: Iterable[tuple[Climb, Points]],
    reference_macs: tuple[float, float],
) -> Points:
    """A stopped trial's front, raised by what the others gained on average from there on."""
    gains = _gains(earlier, epoch, _logs(reference_macs))
    mean = float(np.mean(np.concatenate(gains))) if gains else 0.0
    return [(macs, min(accuracy + mean, 1.0)) for macs, accuracy in points]


def _logs(reference_macs: tuple[float, float]) -> NDArray[np.float64]:
    low, high = reference_macs
    return np.linspace(log(low), log(high), COSTS)


def _gains(
    trials: Iterable[tuple[Climb, Points]], epoch: int, logs: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """What each trial that was not stopped gained from the rung to its end, at each cost."""
    gains = []
    for climb, final in trials:
        if climb.stopped is None and epoch in climb.rungs:
            before = staircase(climb.rungs[epoch], logs)
            gained = (staircase(final, logs) - before)[before > 0]
            if gained.size:
                gains.append(gained)
    return gains
