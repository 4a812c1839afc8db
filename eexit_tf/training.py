"""Training all exits of a network together, and asking it what they say."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eexit_tf.data import Samples
from eexit_tf.keras import keras, tf
from eexit_tf.outputs import ExitOutputs
from eexit_tf.reporter import Reporter

LEARNING_RATE = 8e-3
SMALLEST_BATCH, LARGEST_BATCH = 32, 128
STEPS_AN_EPOCH = 40
"""Small data gets small batches, so that an epoch has at least about this many steps."""
WARM_UP = 0.1
"""Part of the steps in which the learning rate rises to its peak."""


class WarmUpCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then half a cosine down to zero (Loshchilov and Hutter 2017).

    Args:
        peak: the highest learning rate.
        steps: optimizer steps in all.
    """

    def __init__(self, peak: float, steps: int) -> None:
        self.peak = peak
        self.steps = steps
        self.warm_up = max(1, round(WARM_UP * steps))

    def __call__(self, step: Any) -> Any:
        step = tf.cast(step, tf.float32)
        rising = (step + 1) / self.warm_up
        along = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        falling = 0.5 * (1 + tf.cos(math.pi * tf.clip_by_value(along, 0.0, 1.0)))
        return self.peak * tf.where(step < self.warm_up, rising, falling)

    def get_config(self) -> dict[str, float]:
        return {"peak": self.peak, "steps": self.steps}


def joint_cross_entropy(labels: Any, stacked: Any) -> Any:
    """Mean over the exits of their cross-entropies (BranchyNet, Teerapittayanon et al. 2016).

    Args:
        labels: whole numbers, (batch,) or (batch, 1).
        stacked: all exits' softmax outputs, (batch, exits, classes).

    Returns:
        (batch,).
    """
    hot = tf.one_hot(tf.cast(tf.reshape(labels, (-1, 1)), tf.int32), stacked.shape[-1])
    likelihood = tf.reduce_sum(stacked * hot, axis=-1)
    return -tf.reduce_mean(tf.math.log(tf.maximum(likelihood, keras.backend.epsilon())), axis=-1)


def fit(
    net: keras.Model,
    train: Samples,
    *,
    validation: Samples | None = None,
    epochs: int,
    learning_rate: float = LEARNING_RATE,
    batch_size: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> keras.callbacks.History:
    """Train every exit of a network at once, in place.

    The exits' outputs are stacked into one, behind which `joint_cross_entropy` is Keras's only
    loss: the same gradients as a loss an exit, but a network with 18 exits starts to train in
    3 seconds instead of 14.

    Args:
        net: one softmax output an exit.
        train, validation: inputs (samples, height, width, channels) and labels (samples,).
        epochs: passes over `train`.
        learning_rate: the highest of the schedule.
        batch_size: samples a step; from 32 to 128 by the size of the data if not given.
        callbacks: Keras's own.

    Returns:
        Keras's history: `loss` and, with `validation`, `val_loss`.
    """
    train = Samples(*train)
    batch_size = batch_size or min(
        max(len(train.x) // STEPS_AN_EPOCH, SMALLEST_BATCH), LARGEST_BATCH
    )
    stacked = keras.layers.Lambda(lambda outputs: tf.stack(outputs, axis=1), name="stack")
    trainer = keras.Model(net.input, stacked(net.outputs), name=net.name)
    steps = epochs * math.ceil(len(train.x) / batch_size)
    # The legacy Adam is one fused operator a variable, the new one ten: half the time to start.
    optimizer = keras.optimizers.legacy.Adam(WarmUpCosine(learning_rate, steps))
    trainer.compile(optimizer=optimizer, loss=joint_cross_entropy)
    data = tf.data.Dataset.from_tensor_slices(tuple(train)).shuffle(len(train.x))
    held = None
    if validation is not None:
        held = tf.data.Dataset.from_tensor_slices(tuple(validation)).batch(batch_size)
    return trainer.fit(
        data.batch(batch_size).prefetch(tf.data.AUTOTUNE),
        validation_data=held,
        epochs=epochs,
        verbose=0,
        callbacks=list(callbacks),
    )


def scores(net: keras.Model, x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Each exit's softmax scores, (samples, classes), in the order of the network's outputs."""
    given = net.predict(x, batch_size=256, verbose=0)
    return given if isinstance(given, list) else [given]


def exit_outputs(net: keras.Model, samples: Samples) -> ExitOutputs:
    """Confidence and correctness of every exit on the samples."""
    samples = Samples(*samples)
    return ExitOutputs.from_scores(scores(net, samples.x), samples.y)


def report_epochs(
    reporter: Reporter, what: str, epochs: int, before: int = 0, total: int | None = None
) -> keras.callbacks.Callback:
    """A callback that reports every epoch.

    Args:
        reporter: told.
        what: is under way.
        epochs: of this training.
        before, total: epochs done earlier and in all, if this training is one of several.
    """
    total = total or epochs
    return keras.callbacks.LambdaCallback(
        on_train_begin=lambda _: reporter.step(before, total, what),
        on_epoch_end=lambda epoch, _: reporter.step(before + epoch + 1, total, what),
    )
