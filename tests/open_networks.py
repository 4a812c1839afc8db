"""Keras 3 networks that are converted with an open batch, as most of them are."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import keras
import numpy as np
from networks import to_int8

from eexit_tf.keras import tf
from eexit_tf.stderr import captured_stderr

layers = keras.layers


def image(inputs: Any) -> tuple[Any, Any]:
    x = layers.Permute((2, 3, 1))(inputs)
    x = layers.Conv2D(6, 3, activation="relu")(x)
    y = layers.Conv2D(6, 1)(x)
    y = layers.Minimum()([layers.Maximum()([x, y]), layers.ReLU()(y)])
    return layers.Flatten()(layers.MaxPooling2D(2)(x)), layers.Flatten()(y)


def sensor(inputs: Any) -> tuple[Any, Any]:
    x = layers.Conv1D(6, 5, padding="causal", activation="relu")(inputs)
    y = layers.SeparableConv1D(8, 3, strides=2, activation="relu")(layers.MaxPooling1D(2)(x))
    return layers.GlobalAveragePooling1D()(x), layers.Flatten()(y)


def dense(inputs: Any) -> tuple[Any, Any]:
    x = layers.Dense(12, activation="relu")(layers.Flatten()(inputs))
    return x, layers.Dense(12, activation="relu")(x)


def steps(inputs: Any) -> tuple[Any, Any]:
    x = layers.Dense(8, activation="relu")(inputs)
    y = layers.Dense(8, activation="relu")(x)
    return layers.Flatten()(x), layers.GlobalAveragePooling1D()(y)


BODIES: dict[Callable, tuple[int, ...]] = {
    image: (2, 12, 12),
    sensor: (32, 3),
    dense: (9, 2),
}

SHAPES = {**BODIES, steps: (6, 5)}
"""Also of what TFLM cannot run as the converter writes it."""


@lru_cache
def converted(body: Callable, int8: bool) -> bytes:
    keras.utils.set_random_seed(0)
    inputs = layers.Input(SHAPES[body])
    outputs = [
        layers.Dense(
            4,
            activation="softmax",
            kernel_initializer=keras.initializers.RandomNormal(stddev=2.0, seed=seed),
        )(features)
        for seed, features in enumerate(body(inputs))
    ]
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, outputs))
    if int8:
        samples = np.random.default_rng(0).normal(size=(16, *SHAPES[body]))
        to_int8(converter, samples)
    with captured_stderr():
        return bytes(converter.convert())
