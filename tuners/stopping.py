"""Looking at a training at its rungs, and stopping it where it is hopeless (see `rungs`)."""

from pathlib import Path
from typing import Any

import numpy as np

from eexit_tf.bounds import Bounds
from eexit_tf.data import Samples
from eexit_tf.keras import keras
from eexit_tf.network_costs import exit_costs
from eexit_tf.outputs import ExitOutputs
from eexit_tf.policies import search_policies
from eexit_tf.training import scores
from eexit_tf.tuners.archive import TRIAL_FRONT, load_front, pairs
from eexit_tf.tuners.rungs import Climb, Points, hopeless, rung_epochs
from eexit_tf.tuners.trial_policies import BRIEF


class StopHopeless(keras.callbacks.Callback):
    """Keeps the fronts at the rungs in the trial's folder, and ends a training without hope.

    Compared are the trials of lower numbers that have finished, as their folders beside this
    one's tell: a trial that is run again decides as it did before.

    Args:
        net: what is trained, with one output an exit.
        validation: what the fronts are measured on.
        epochs: of the whole training.
        bounds: that policies keep, known before training.
        min_accuracy: below it a point counts nothing.
        directory: the trial's folder.
        reference_macs: from where to where costs count.
    """

    def __init__(
        self,
        net: keras.Model,
        validation: Samples,
        *,
        epochs: int,
        bounds: Bounds,
        min_accuracy: float,
        directory: Path,
        reference_macs: tuple[float, float],
    ) -> None:
        super().__init__()
        self._net = net
        self._validation = validation
        self._epochs = rung_epochs(epochs)
        self._bounds = bounds
        self._min_accuracy = min_accuracy
        self._directory = directory
        self._reference_macs = reference_macs
        self._climb = Climb({})
        self._climb.save(directory)  # one that was interrupted may have left another

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        epoch += 1
        if epoch not in self._epochs:
            return
        said = scores(self._net, self._validation.x)
        if not all(np.isfinite(score).all() for score in said):
            return  # that ends a training elsewhere
        outputs = ExitOutputs.from_scores(said, self._validation.y)
        costs = exit_costs(self._net)
        found = search_policies(outputs, costs, self._bounds, effort=BRIEF).found
        points = [(result.mean_macs, result.accuracy) for _, result in found]
        stop = hopeless(
            points,
            epoch,
            earlier_trials(self._directory),
            self._reference_macs,
            self._min_accuracy,
        )
        self._climb = Climb({**self._climb.rungs, epoch: points}, epoch if stop else None)
        self._climb.save(self._directory)
        if stop:
            self.model.stop_training = True


def earlier_trials(directory: Path) -> list[tuple[Climb, Points]]:
    """How the finished trials of lower numbers rose, and their fronts, from their folders."""
    found: list[tuple[Climb, Points]] = []
    for other in sorted(directory.parent.glob("trial_*")):
        if _number(other) < _number(directory) and (other / TRIAL_FRONT).is_file():
            front = load_front(other)
            found.append((Climb.load(other), pairs(front)))
    return found


def _number(directory: Path) -> int:
    return int(directory.name.removeprefix("trial_"))
