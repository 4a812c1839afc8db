"""Averaged weights: often better than the last ones, and flatter, which quantising likes."""

from typing import Any

from eexit_tf.keras import keras, tf
from eexit_tf.ranges import check_part


class WeightAverage(keras.callbacks.Callback):
    """Exponential moving average of all weights, which the network has at the end of training.

    Batch norm's statistics are averaged too. The decay starts small, min(decay, (1 + n) /
    (10 + n)) after n batches (Tarvainen and Valpola 2017), so that short trainings profit as well.

    Give it after callbacks that change weights, so that it averages what they leave. A training
    that was stopped and goes on begins its average anew.

    Args:
        decay: per batch, from 0 to 1.

    Raises:
        UserError: the decay is another one.
    """

    def __init__(self, decay: float = 0.999) -> None:
        super().__init__()
        check_part("the decay", decay)
        self.decay = decay

    def on_train_begin(self, logs: Any = None) -> None:
        self._averages = [tf.Variable(w, trainable=False) for w in self.model.weights]
        self._batches = tf.Variable(0.0, trainable=False)
        self._update = tf.function(self._updated)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._update()

    def on_train_end(self, logs: Any = None) -> None:
        for weight, average in zip(self.model.weights, self._averages, strict=True):
            weight.assign(average)

    def _updated(self) -> None:
        self._batches.assign_add(1.0)
        rate = 1 - tf.minimum(self.decay, (1 + self._batches) / (10 + self._batches))
        for weight, average in zip(self.model.weights, self._averages, strict=True):
            average.assign_add(tf.cast(rate, average.dtype) * (weight - average))
