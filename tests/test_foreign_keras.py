"""Keras 3's objects, given where `tf_keras` has to do the work."""

from collections.abc import Callable

import keras as keras3
import numpy as np
import pytest

import eexit_tf as ee
from eexit_tf.exits import freeze_backbone
from eexit_tf.gates import add_gates
from eexit_tf.keras import keras
from eexit_tf.keras3 import from_keras3
from eexit_tf.losses import Distillation
from eexit_tf.network_costs import exit_costs
from eexit_tf.tflite.quantization import quantize

TRAIN = ee.Samples(np.zeros((32, 8, 8, 1), np.float32), np.arange(32) % 3)


def network(layers: object, make: Callable) -> object:
    inputs = layers.Input((8, 8, 1))
    x = layers.Flatten()(layers.Conv2D(4, 3, activation="relu", name="tap")(inputs))
    return make(inputs, layers.Dense(3, activation="softmax")(x))


def fit(**options: object) -> None:
    ee.fit(network(keras.layers, keras.Model), TRAIN, epochs=1, **options)


@pytest.mark.parametrize(
    "use",
    [
        lambda net: ee.attach_exits(net, [ee.Exit("tap")]),
        lambda net: ee.keep_exits(net, [ee.Exit("tap")]),
        lambda net: ee.fit(net, TRAIN, epochs=1),
        lambda net: ee.policy_front(net, TRAIN),
        lambda net: quantize(net, TRAIN),
        lambda net: fit(teacher=net, loss=Distillation(teacher=True)),
        lambda net: fit(teacher=[net], loss=Distillation(teacher=True)),
        freeze_backbone,
        add_gates,
        exit_costs,
    ],
)
def test_a_network_of_keras3_is_refused_and_may_be_converted(use: Callable) -> None:
    net = network(keras3.layers, keras3.Model)
    with pytest.raises(ee.UserError, match=r"tf_keras`, or convert it: .*from_keras3\(model\)"):
        use(net)
    assert ee.attach_exits(from_keras3(net), [ee.Exit("tap")])


@pytest.mark.parametrize(
    "option",
    [
        {"optimizer": keras3.optimizers.Adam()},
        {"loss": keras3.losses.SparseCategoricalCrossentropy()},
        {"callbacks": [keras3.callbacks.EarlyStopping()]},
    ],
)
def test_what_trains_is_of_tf_keras_as_well(option: dict[str, object]) -> None:
    with pytest.raises(ee.UserError, match=r"of Keras 3; make it with `import tf_keras`$"):
        fit(**option)
