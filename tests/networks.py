"""Small random multi-exit networks as `.tflite` files, for tests of everything behind Keras."""

import os
from functools import lru_cache

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from eexit_tf.vocabulary import Exit


def keras_network(
    seed: int, exits: int, size: int = 8, classes: int = 5, share_head: bool = False
) -> tf_keras.Model:
    """A random network with residual and depthwise blocks, long skips, and `exits` softmax exits.

    Weights are random and the heads sharp, so that confidences spread over their whole range.
    """
    rng = np.random.default_rng(seed)
    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(seed)
    positive = tf_keras.initializers.RandomUniform(0, 0.3, seed=seed)
    alive = {"activation": "relu", "bias_initializer": positive}
    inputs = layers.Input((size, size, int(rng.integers(1, 4))), batch_size=1, name="image")
    x = layers.Conv2D(4, 3, padding="same", **alive)(inputs)
    features, outputs, hidden = [x], [], None
    for index in range(exits):
        width = int(rng.choice([4, 8]))
        kind = rng.choice(["residual", "depthwise", "long skip"])
        if kind == "depthwise":
            x = layers.DepthwiseConv2D(3, padding="same", **alive)(x)
            x = layers.Conv2D(width, 1, **alive)(x)
        else:
            behind = features[int(rng.integers(len(features)))] if kind == "long skip" else x
            y = layers.Conv2D(width, 3, padding="same", **alive)(x)
            y = layers.Conv2D(width, 3, padding="same")(y)
            side = layers.Conv2D(width, 1)(behind)
            x = layers.ReLU()(layers.Add()([y, side]))
        features.append(x)
        head = rng.choice(["pool", "max", "flat"])
        if head == "pool":
            z = layers.GlobalAveragePooling2D()(x)
        elif head == "max":
            z = layers.Flatten()(layers.MaxPooling2D(4, strides=4)(x))
        else:
            z = layers.Flatten()(layers.AveragePooling2D(2)(x))
        if share_head and hidden is not None:
            z = layers.Concatenate()([z, hidden])  # a head on an earlier head's features
        hidden = layers.Dense(6, **alive)(z)
        scores = layers.Dense(
            classes,
            activation="softmax",
            kernel_initializer=tf_keras.initializers.RandomNormal(stddev=3.0 if index else 2.0),
            name=Exit(f"block{index}", str(head)).name,
        )(hidden)
        outputs.append(scores)
    return tf_keras.Model(inputs, outputs)


def convert(
    network: tf_keras.Model, seed: int = 0, int8: bool = True, float_io: bool = False
) -> bytes:
    """`network` as a `.tflite` file, int8 throughout or float32.

    With `float_io`, inputs and outputs of the int8 network are float.
    """
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    if int8:
        shape = (1, *network.input_shape[1:])
        rng = np.random.default_rng(seed)
        samples = [rng.normal(size=shape).astype(np.float32) for _ in range(16)]
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample] for sample in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if not float_io:
            converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


@lru_cache(maxsize=64)
def multi_exit(seed: int, exits: int, share_head: bool = False, int8: bool = True) -> bytes:
    """A random multi-output `.tflite` file; outputs are named `block<i>__<head>`."""
    return convert(keras_network(seed, exits, share_head=share_head), seed, int8)


def int8_inputs(shape: tuple[int, ...], count: int, seed: int = 0) -> NDArray[np.int8]:
    """Random int8 inputs, (count, *shape)."""
    rng = np.random.default_rng(seed)
    scale = rng.uniform(10, 70, (count,) + (1,) * len(shape))
    return np.clip(np.rint(rng.normal(size=(count, *shape)) * scale), -128, 127).astype(np.int8)
