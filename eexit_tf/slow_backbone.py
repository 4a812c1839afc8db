"""Heads that learn on a backbone which is already good, and moves slowly: between training all of
a network alike and `exits.freeze_backbone`."""

from itertools import chain
from typing import Any

from eexit_tf.exits import head_layers
from eexit_tf.keras import keras, tf
from eexit_tf.ranges import check_part


class SlowBackbone(keras.callbacks.Callback):
    """Gives the backbone a learning rate that is `rate` times that of the heads.

    After every batch the backbone's weights go back all but `rate` of the way that the optimizer
    moved them. This is that learning rate with any optimizer, where a smaller gradient is not:
    Adam divides by its size. Batch norm's statistics move as ever. Give it after
    `BackupAndRestore`, which changes weights when training begins.

    Args:
        net: from `attach_exits`; a classifier of the backbone's own counts as backbone.
        rate: from 0 (its weights stay) to 1 (as without this callback).

    Raises:
        UserError: the network has no heads, see `exits.head_layers`, or the rate is another one.
    """

    def __init__(self, net: keras.Model, rate: float) -> None:
        super().__init__()
        check_part("the backbone's rate", rate)
        heads = set(chain.from_iterable(head_layers(net).values()))
        backbone = [layer for layer in net.layers if layer not in heads]
        self.rate = rate
        self.weights = [weight for layer in backbone for weight in layer.trainable_weights]

    def on_train_begin(self, logs: Any = None) -> None:
        self._before = [tf.Variable(weight, trainable=False) for weight in self.weights]
        self._slow_down = tf.function(self._slowed)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._slow_down()

    def _slowed(self) -> None:
        for weight, before in zip(self.weights, self._before, strict=True):
            before.assign_add(self.rate * (weight - before))
            weight.assign(before)
