"""Stopping a training that will add nothing, by its fronts on the way there.

At a rung, after a third and after two thirds of the epochs, a trial's front is compared with what
earlier trials had made of theirs in the end. The learning rate is still high then, so errors will
shrink; by which factor is seen in the earlier trials. A trial is stopped if its front would add
hardly anything to the archive's hypervolume even if its errors shrank by far more than is usual:
three standard deviations more, of the factor's logarithm. This is successive halving's idea
(Jamieson and Talwalkar 2016) with a bound learnt from the trials in place of a fixed part that
survives.

A stopped trial keeps its front: the network is real and so are its outputs. It adds hardly
anything to the search's front, which has better points at nearly the same costs.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, exp, log
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eexit_tf.files import parsing, write_json
from eexit_tf.tuners.surrogate import errors, staircase

RUNGS = "rungs.json"
PARTS = (1 / 3, 2 / 3)
FEWEST_EPOCHS = 6
"""Shorter trainings have no rungs."""
FEWEST_COMPARED = 4
"""Earlier trials, trained to their ends, that a trial is compared with at least."""
COSTS = 64
"""At which fronts are compared."""
DEVIATIONS = 3
LEAST_GAIN = 0.001
"""Part of the archive's hypervolume; a trial that would add less is stopped."""

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
        with parsing(path, "how a trial rose"):
            value = json.loads(path.read_text("utf-8"))
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
    min_accuracy: float = 0.0,
) -> bool:
    """Whether a trial with this front at a rung would add nothing to the earlier trials' fronts.

    Args:
        points: the trial's front after this epoch.
        epoch: of the rung.
        earlier: of each finished trial how it rose, and its final front.
        reference_macs: the range of costs that counts.
        min_accuracy: below it a point counts nothing.
    """
    logs = _logs(reference_macs)
    earlier = list(earlier)
    factors = _factors(earlier, epoch, logs)
    if len(factors) < FEWEST_COMPARED:
        return False
    seen = np.concatenate(factors)
    fronts = [staircase(final, logs) for _, final in earlier]
    archive = np.maximum(np.max(fronts, axis=0), min_accuracy)
    now = staircase(points, logs)
    least = min(1.0, exp(seen.mean() - DEVIATIONS * seen.std()))
    most = np.where(now > 0, 1 - (1 - now) * least, 0)
    return bool(np.maximum(most - archive, 0).mean() <= LEAST_GAIN * archive.mean())


def expected_end(
    points: Points,
    epoch: int,
    earlier: Iterable[tuple[Climb, Points]],
    reference_macs: tuple[float, float],
) -> Points:
    """A stopped trial's front, its errors shrunk as those of the others were from there on."""
    factors = _factors(earlier, epoch, _logs(reference_macs))
    usual = exp(np.concatenate(factors).mean()) if factors else 1.0
    return [(macs, 1 - (1 - accuracy) * usual) for macs, accuracy in points]


def _logs(reference_macs: tuple[float, float]) -> NDArray[np.float64]:
    low, high = reference_macs
    return np.linspace(log(low), log(high), COSTS)


def _factors(
    trials: Iterable[tuple[Climb, Points]], epoch: int, logs: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """By what the errors of each trial that was not stopped shrank from the rung to its end.

    Logarithms, at each cost that its front had reached.
    """
    factors = []
    for climb, final in trials:
        if climb.stopped is None and epoch in climb.rungs:
            before = staircase(climb.rungs[epoch], logs)
            reached = before > 0
            if reached.any():
                after = errors(staircase(final, logs)[reached])
                factors.append(np.log(after / errors(before[reached])))
    return factors
