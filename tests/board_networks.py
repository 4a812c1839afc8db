"""A self-exiting network that tests benchmark, and samples for it."""

from pathlib import Path

import numpy as np
from networks import convert, keras_network

from eexit_tf.data import Samples
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.inputs import quantise
from eexit_tf.tflite.splicing.splice import splice
from eexit_tf.tflite.splicing.unsplice import unsplice

SEED = next(s for s in range(99) if np.random.default_rng(s).integers(1, 4) == 1)  # one channel
RNG = np.random.default_rng(0)
SAMPLES = Samples(RNG.normal(size=(12, 8, 8, 1)).astype(np.float32), np.arange(12) % 4)


def early_network() -> bytes:
    """One with three exits that takes 64 bytes and knows four classes."""
    multi = convert(keras_network(SEED, 3, classes=4), SEED)
    return splice(multi, sorted(schema.outputs_by_name(flatbuffer.read(multi))), [0, 0, -128])


def exit_names(content: bytes) -> list[str]:
    """The exits of a self-exiting network, the last one last."""
    return sorted(schema.outputs_by_name(flatbuffer.read(unsplice(content))))


def static_network(content: bytes) -> bytes:
    """A self-exiting network's last exit alone."""
    return splice(unsplice(content), exit_names(content)[-1:], [-128])


def as_bytes(content: bytes) -> list[np.ndarray]:
    """The samples as a network takes them."""
    return [x.reshape(-1) for x in quantise(flatbuffer.read(content), SAMPLES.x)]


def write_dataset(folder: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 8, 8, 1)).astype(np.float32), np.arange(80) % 4
    np.savez(folder / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
