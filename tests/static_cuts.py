"""Static networks cut at thresholds in numpy: what a self-exiting file has to be equal to."""

import random
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from networks import convert, inputs_for, multi_exit
from numpy.typing import NDArray

from eexit_tf.keras import keras
from eexit_tf.tflite import costs, flatbuffer, schema
from eexit_tf.tflite.runtimes import LiteRT, Tflm
from eexit_tf.tflite.splicing import spliced
from eexit_tf.vocabulary import LEVELS

SAMPLES = 300


def three_exits() -> bytes:
    """A network whose five exits are cut down to three."""
    multi = multi_exit(10, 5, False)
    return with_exits(multi, costs.order_by_cost(flatbuffer.read(multi))[1:4])


def scores_read_again(int8: bool = True) -> bytes:
    """A network with an exit `late` that reads the scores of its exit `early`."""
    layers = keras.layers
    keras.utils.set_random_seed(1)
    sharp = {"kernel_initializer": keras.initializers.RandomNormal(stddev=2.0, seed=3)}
    x = layers.Flatten()(image := layers.Input((8, 8, 2), batch_size=1))
    early = layers.Dense(5, "softmax", name="early", **sharp)(x)
    both = layers.Concatenate()([early, layers.Dense(4, "relu")(x)])
    late = layers.Dense(5, "softmax", name="late", **sharp)(both)
    return convert(keras.Model(image, [early, late]), int8=int8)


def with_exits(content: bytes, names: Sequence[str]) -> bytes:
    """The file with these exits alone."""
    model = flatbuffer.read(content)
    signature = model.signatureDefs[0]
    signature.outputs = [entry for entry in signature.outputs if schema.text(entry.name) in names]
    model.subgraphs[0].outputs = np.array([e.tensorIndex for e in signature.outputs], np.int32)
    return flatbuffer.write(model)


def leave(
    outputs: dict[str, NDArray[np.int8]], exits: Sequence[str], thresholds: Sequence[int]
) -> tuple[NDArray[np.int8], NDArray[np.intp]]:
    """Scores and exit indices of a static network's outputs, cut at these thresholds."""
    scores = np.stack([outputs[name] for name in exits])
    left = scores.max(axis=2) >= np.array([*thresholds[:-1], -LEVELS // 2])[:, None]
    index = left.argmax(axis=0)
    return scores[index, np.arange(scores.shape[1])], index


def sharing_thresholds(
    outputs: dict[str, NDArray[np.int8]], exits: Sequence[str], chance: random.Random
) -> list[int]:
    """Random thresholds, int8, at which every exit gets its part of the samples."""
    staying = np.ones(len(outputs[exits[0]]), bool)
    found = []
    for position, name in enumerate(exits[:-1]):
        confidence = outputs[name].max(axis=1)[staying]
        keep = (1 - 1 / (len(exits) - position)) * chance.uniform(0.8, 1.2)
        level = int(np.quantile(confidence, min(keep, 0.9), method="lower"))
        found.append(min(max(level, int(confidence.min()) + 1), int(confidence.max())))
        staying[staying] = confidence < found[-1]
    return [*found, -LEVELS // 2]


def check_equal(content: bytes, static: bytes, exits: Sequence[str], levels: Sequence[int]) -> set:
    """Both runtimes against the static network; returns the exits that were taken."""
    x = inputs_for(static, SAMPLES)
    for runtime in (LiteRT, Tflm):
        scores, index = leave(static_outputs(runtime, static), exits, levels)
        found = runtime(content).run(x)
        np.testing.assert_array_equal(found[spliced.EXIT], index)
        np.testing.assert_array_equal(found[spliced.SCORES], scores)
    return set(index.tolist())


@lru_cache(maxsize=8)
def static_outputs(runtime: type, static: bytes) -> dict[str, NDArray[np.int8]]:
    return runtime(static).run(inputs_for(static, SAMPLES))
