"""Small random multi-exit networks as `.tflite` files, for tests of everything behind Keras."""

from functools import lru_cache
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as fb
from numpy.typing import NDArray

from eexit_tf.keras import keras, tf
from eexit_tf.stderr import captured_stderr
from eexit_tf.tflite import costs, flatbuffer, schema
from eexit_tf.vocabulary import Exit

HEADS = ("pool_dense", "grid_dense", "conv3_dense")
"""A cheap, a middle and a strong one."""


def keras_network(
    seed: int, exits: int, size: int = 8, classes: int = 5, share_head: bool = False
) -> keras.Model:
    """A random network with residual and depthwise blocks, long skips, and `exits` softmax exits.

    Weights are random and the heads sharp, so that confidences spread over their whole range.
    """
    rng = np.random.default_rng(seed)
    layers = keras.layers
    keras.utils.set_random_seed(seed)
    positive = keras.initializers.RandomUniform(0, 0.3, seed=seed)
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
            kernel_initializer=keras.initializers.RandomNormal(stddev=3.0 if index else 2.0),
            name=Exit(f"block{index}", str(head)).name,
        )(hidden)
        outputs.append(scores)
    return keras.Model(inputs, outputs)


def convert(
    network: keras.Model,
    seed: int = 0,
    int8: bool = True,
    float_io: bool = False,
    samples: NDArray | None = None,
) -> bytes:
    """`network` as a `.tflite` file, int8 throughout or float32, with its outputs' names.

    Without the detour over a SavedModel this takes a tenth of the time of
    `TFLiteConverter.from_keras_model`, which `eexit_tf` itself uses, and computes the same.

    Args:
        seed: of normally distributed samples to calibrate on.
        float_io: whether inputs and outputs of the int8 network are float.
        samples: others to calibrate on.
    """
    shape = (1, *network.input_shape[1:])
    if samples is None:
        samples = np.random.default_rng(seed).normal(size=(16, *shape[1:]))
    spec = tf.TensorSpec(shape, tf.float32)
    function = tf.function(lambda x: network(x, training=False)).get_concrete_function(spec)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], network)
    converter.experimental_lower_to_saved_model = False
    if int8:
        to_int8(converter, samples, float_io)
    with captured_stderr():
        content = bytes(converter.convert())
    model = flatbuffer.read(content)
    found = schema.outputs_by_name(model)
    outputs = [found[f"Identity_{k}" if k else "Identity"] for k in range(len(network.outputs))]
    maps = [fb.TensorMapT(*pair) for pair in zip(network.output_names, outputs, strict=True)]
    inputs = [fb.TensorMapT(network.input_names[0], int(model.subgraphs[0].inputs[0]))]
    model.signatureDefs = [fb.SignatureDefT(inputs, maps, "serving_default", 0)]
    return flatbuffer.write(model)


def to_int8(converter: Any, samples: NDArray, float_io: bool = False) -> None:
    """Have the converter quantise throughout, by these samples."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([s[None].astype(np.float32)] for s in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if not float_io:
        converter.inference_input_type = converter.inference_output_type = tf.int8


@lru_cache(maxsize=64)
def multi_exit(seed: int, exits: int, share_head: bool = False, int8: bool = True) -> bytes:
    """A random multi-output `.tflite` file; outputs are named `block<i>__<head>`."""
    return convert(keras_network(seed, exits, share_head=share_head), seed, int8)


def order_of(multi: bytes) -> list[str]:
    """The exits of a multi-exit file, the cheapest first."""
    return costs.order_by_cost(flatbuffer.read(multi))


def inputs_for(content: bytes, count: int = 120, seed: int = 0) -> NDArray[np.int8]:
    """Random inputs of a file, (count, *shape)."""
    main = flatbuffer.read(content).subgraphs[0]
    return int8_inputs(schema.shape(main.tensors[main.inputs[0]])[1:], count, seed)


def int8_inputs(shape: tuple[int, ...], count: int, seed: int = 0) -> NDArray[np.int8]:
    """Random int8 inputs, (count, *shape)."""
    rng = np.random.default_rng(seed)
    scale = rng.uniform(10, 70, (count,) + (1,) * len(shape))
    return np.clip(np.rint(rng.normal(size=(count, *shape)) * scale), -128, 127).astype(np.int8)
