"""Networks that end in logarithms of softmaxes, as PyTorch's do that were trained with NLLLoss."""

import numpy as np
import pytest
import tensorflow as tf
from networks import convert
from static_cuts import check_equal

from eexit_tf.errors import UserError
from eexit_tf.keras import keras
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.runtimes import LiteRT
from eexit_tf.tflite.splicing.normalize import normalize
from eexit_tf.tflite.splicing.splice import splice

NAMES = ["early", "late"]


def network(end, shape: tuple[int, ...] = (5,)) -> keras.Model:
    """Two exits, whose logits go through `end`."""
    layers = keras.layers
    keras.utils.set_random_seed(1)
    sharp = keras.initializers.RandomNormal(stddev=2.0, seed=3)
    x = image = layers.Input((8, 8, 2), batch_size=1)
    outputs = []
    for name in NAMES:
        x = layers.Conv2D(4, 3, activation="relu")(x)
        y = layers.Dense(5, kernel_initializer=sharp)(layers.Flatten()(x))
        y = layers.Lambda(end)(layers.Reshape(shape)(y))
        outputs.append(layers.Reshape((5,), name=name)(y))
    return keras.Model(image, outputs)


@pytest.mark.parametrize("shape", [(5,), (1, 1, 5)])
def test_logarithms_of_softmaxes_count_as_their_logits(shape: tuple[int, ...]) -> None:
    multi = convert(network(tf.nn.log_softmax, shape))
    alike = convert(network(tf.nn.softmax, shape))
    content = splice(multi, NAMES, [60, 0])
    assert check_equal(content, normalize(alike), NAMES, [60, 0]) == {0, 1}
    model = flatbuffer.read(content)
    names = {schema.op_name(model, op) for graph in model.subgraphs for op in graph.operators}
    assert "LOG_SOFTMAX" not in names


def test_in_float_as_well() -> None:
    files = [convert(network(end), int8=False) for end in (tf.nn.log_softmax, tf.nn.softmax)]
    x = np.random.default_rng(0).normal(size=(20, 8, 8, 2)).astype(np.float32)
    found, expected = (LiteRT(normalize(content)).run(x) for content in files)
    for name in NAMES:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)


@pytest.mark.parametrize("shape", [(5,), (1, 1, 1, 1, 5)])
def test_those_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    def end(logits):
        return tf.reshape(tf.nn.log_softmax(tf.reshape(logits, shape)), (1, 5))

    with pytest.raises(UserError, match=r"is the logarithm of a softmax over a tensor of shape \("):
        normalize(convert(network(end)))


def test_those_over_groups_are_no_scores_of_classes() -> None:
    grouped = convert(network(tf.nn.log_softmax, (5, 1)), int8=False)
    with pytest.raises(UserError, match="holds 5 softmaxes over 1 scores each"):
        normalize(grouped)
