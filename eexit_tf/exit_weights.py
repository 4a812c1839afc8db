"""Callbacks that change the exits' weights in a `losses.JointCrossEntropy` while it trains."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eexit_tf.data import Samples
from eexit_tf.errors import UserError
from eexit_tf.keras import keras, tf
from eexit_tf.losses import JointCrossEntropy, checked_weights, cross_entropies

Tensor = Any


class ExitWeightSchedule(keras.callbacks.Callback):
    """Sets the exits' weights at the start of every epoch.

    Args:
        loss: was given weights, which this changes.
        weights: of the epoch, from 0: one weight an exit.

    Raises:
        UserError: the loss has no weights, or those of an epoch are none, see `JointCrossEntropy`,
            or not as many.
    """

    def __init__(self, loss: JointCrossEntropy, weights: Callable[[int], Sequence[float]]) -> None:
        super().__init__()
        self.variable, self.weights = _variable(loss), weights

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        _assign(self.variable, checked_weights(self.weights(epoch)))


class GradientBalance(keras.callbacks.Callback):
    """Keeps the exits' pulls on what they share equally strong.

    Before every epoch each exit's weight is set to 1 / |gradient of its cross-entropy in the
    first convolution|, with mean 1: the balance that GradNorm (Chen et al. 2018) learns, measured.

    Args:
        loss: was given weights, which this changes.
        samples: to measure the gradients on; some hundreds do.

    Raises:
        UserError: the loss has no weights or not one an exit, or an exit does not pull on that
            convolution, as when the backbone is frozen.
    """

    def __init__(self, loss: JointCrossEntropy, samples: Samples) -> None:
        super().__init__()
        self.variable, self.samples = _variable(loss), Samples(*samples)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        exits = self.variable.shape[0]  # without a teacher
        pulls = gradient_norms(self.model, self.samples)[:exits]
        if not pulls.all():
            raise UserError(
                f"exit {int(pulls.argmin()) + 1} does not depend on "
                f"{self.model.trainable_weights[0].name}, the first weights that are trained; "
                f"gradients can be balanced in weights that all exits share"
            )
        weights = 1 / np.maximum(pulls, 1e-6 * pulls.max())
        _assign(self.variable, weights / weights.mean())


def gradient_norms(stacked: keras.Model, samples: Samples) -> Any:
    """How strongly each exit's cross-entropy pulls on the first trainable kernel.

    Args:
        stacked: from `training.stack_outputs`.
        samples: what the cross-entropy is the mean over.

    Returns:
        Euclidean norms, (exits,); 0 for what does not depend on it, such as a teacher.
    """
    shared = stacked.trainable_weights[0]
    with tf.GradientTape(persistent=True) as tape:
        losses = tf.reduce_mean(cross_entropies(samples.y, stacked(samples.x)), axis=0)
        each = tf.unstack(losses)
    of = partial(tape.gradient, sources=shared, unconnected_gradients="zero")
    return np.array([float(tf.norm(of(loss))) for loss in each])


def _assign(variable: Any, weights: NDArray[np.floating]) -> None:
    if variable.shape != weights.shape:
        raise UserError(
            f"the loss has {variable.shape[0]} weights of exits, but {len(weights)} new ones are "
            f"to be set; give it one an exit, and as many each epoch"
        )
    variable.assign(weights)


def _variable(loss: JointCrossEntropy) -> Any:
    weights = getattr(loss, "weights", None)
    if weights is None:
        raise UserError(
            f"the {type(loss).__name__} has no weights to change; give them to a "
            f"JointCrossEntropy([1, 1]), and that to this callback"
        )
    return weights
