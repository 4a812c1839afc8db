"""Networks that take feature maps apart, as ShuffleNets do, in both runtimes."""

import tensorflow as tf
from networks import convert
from static_cuts import check_equal

from eexit_tf.keras import keras
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.splicing.normalize import normalize
from eexit_tf.tflite.splicing.splice import splice

layers = keras.layers


def applied(function):
    return layers.Lambda(function)


def shuffled(x):
    """Half of the channels pass by; those of both halves take turns afterwards."""
    kept, x = applied(lambda y: tf.split(y, 2, axis=-1))(x)
    x = layers.Conv2D(x.shape[-1], 3, padding="same", activation="relu")(x)
    x = layers.Concatenate()([kept, x])
    height, width, channels = x.shape[1:]
    x = layers.Reshape((height * width, 2, channels // 2))(x)
    return layers.Reshape((height, width, channels))(layers.Permute((1, 3, 2))(x))


def test_maps_that_are_taken_apart() -> None:
    keras.utils.set_random_seed(1)
    sharp = keras.initializers.RandomNormal(stddev=1.0, seed=3)
    image = layers.Input((9, 8, 3), batch_size=1)
    x = shuffled(layers.Conv2D(8, 3, padding="same", activation="relu")(image))
    y = layers.Flatten()(applied(lambda y: y[:, 1::3, ::-2, 2:])(x))
    early = layers.Dense(5, "softmax", kernel_initializer=sharp, name="early")(y)
    first, last = applied(lambda y: tf.split(y, [3, -1], axis=1))(x)
    x = layers.Concatenate()([layers.Conv2D(4, 1)(last), layers.Conv2D(4, 1)(last)])
    x = layers.Concatenate(axis=1)([first, x])
    y = layers.Flatten()(applied(lambda y: y[:, 4])(shuffled(x)))
    late = layers.Dense(5, "softmax", kernel_initializer=sharp, name="late")(y)
    multi = convert(keras.Model(image, [early, late]))
    model = flatbuffer.read(multi)
    names = {schema.op_name(model, op) for op in model.subgraphs[0].operators}
    assert names >= {"SPLIT", "SPLIT_V", "STRIDED_SLICE"}
    content = splice(multi, ["early", "late"], [60, 0])
    assert check_equal(content, normalize(multi), ["early", "late"], [60, 0]) == {0, 1}
