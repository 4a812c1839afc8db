"""Dense layers as convolutions: the same in both runtimes, and nothing is reshaped between them."""

import numpy as np
import pytest
from networks import convert, inputs_for
from one_operator import SOUND, Change, both, given, made, told
from static_cuts import check_equal

from eexit_tf.keras import keras, tf
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.runtimes import LiteRT, Tflm
from eexit_tf.tflite.splicing import splice
from eexit_tf.tflite.splicing.dense_as_conv import dense_as_conv
from eexit_tf.tflite.splicing.normalize import normalize


def test_between_dense_layers_nothing_is_reshaped() -> None:
    layers = keras.layers
    keras.utils.set_random_seed(1)
    vector = layers.Input((7,), batch_size=1)
    sharp = keras.initializers.RandomNormal(stddev=2.0, seed=3)
    x = layers.Activation("tanh")(layers.Dense(8)(vector))
    x = layers.Activation("sigmoid")(layers.Dense(8)(x))
    early = layers.Dense(5, "softmax", kernel_initializer=sharp, name="early")(x)
    y = layers.LeakyReLU(0.2)(layers.Dense(8)(x))
    x = layers.Add()([x, layers.Lambda(lambda z: z * tf.nn.relu6(z + 3.0) / 6.0)(y)])
    x = layers.Subtract()([layers.Dense(8)(x), x])
    x = layers.Multiply()([x, layers.ReLU()(layers.Activation("tanh")(layers.Dense(8)(x)))])
    late = layers.Dense(5, "softmax", kernel_initializer=sharp, name="late")(x)
    multi = convert(keras.Model(vector, [early, late]))
    # LiteRT's dense layers differ from TFLM's by a step now and then, these no more.
    for name, scores in Tflm(multi).run(inputs_for(multi, 60)).items():
        for runtime in (LiteRT, Tflm):
            found = runtime(normalize(multi)).run(inputs_for(multi, 60))[name]
            np.testing.assert_array_equal(found, scores)
    content = splice.splice(multi, ["early", "late"], [0, -128])
    assert check_equal(content, normalize(multi), ["early", "late"], [0, -128]) == {0, 1}
    model = flatbuffer.read(content)
    names = [schema.op_name(model, op) for graph in model.subgraphs for op in graph.operators]
    assert set(names) >= {
        *("ADD", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "MUL", "RELU", "SUB", "TANH")
    }
    assert names.count("RESHAPE") == 2  # of the input and of the scores


def test_dense_layers_may_keep_a_dimension_of_one_place() -> None:
    layers = keras.layers
    keras.utils.set_random_seed(1)
    steps = layers.Input((1, 7), batch_size=1)
    sharp = keras.initializers.RandomNormal(stddev=2.0, seed=3)
    x = layers.Activation("tanh")(layers.Dense(8)(steps))
    scores = layers.Dense(5, "softmax", kernel_initializer=sharp)(layers.Flatten()(x))
    multi = convert(keras.Model(steps, scores))
    x = inputs_for(multi, 60)
    for name, said in Tflm(multi).run(x).items():
        for runtime in (LiteRT, Tflm):
            np.testing.assert_array_equal(runtime(normalize(multi)).run(x)[name], said)


@pytest.mark.parametrize(
    ("change", "written"),
    [
        (given(1, data=(-2, 1)), ["MEAN", "RESHAPE"]),
        (both(given(1, data=(2, 3)), made(shape=(1, 8))), ["MEAN"]),
        (both(given(0, shape=(1, 8, 9)), made(shape=(1,))), ["MEAN"]),
        (both(told(keepDims=True), made(shape=(1, 1, 1, 3))), ["MEAN"]),
    ],
)
def test_means_over_maps_alone_keep_their_dimensions(change: Change, written: list[str]) -> None:
    model = flatbuffer.read(change(SOUND["MEAN"]).content("MEAN"))
    dense_as_conv(model)
    assert [schema.op_name(model, op) for op in model.subgraphs[0].operators] == written
