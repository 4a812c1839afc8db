"""An int8 softmax over 512 classes ends the process where all are alike: such files are refused."""

from pathlib import Path

import numpy as np
import pytest
from networks import convert

from eexit_tf.bounds import Bounds
from eexit_tf.errors import UserError
from eexit_tf.keras import keras
from eexit_tf.tflite import flatbuffer
from eexit_tf.tflite.compiler import compile_file
from eexit_tf.tflite.interpreter import EarlyExitInterpreter
from eexit_tf.tuners.space import ExitSpace
from eexit_tf.vocabulary import MOST_INT8_CLASSES


def two_exits(classes: int, activation: str | None, int8: bool) -> bytes:
    """Of an input of zeros it cannot say anything: all classes are alike."""
    layers = keras.layers
    inputs = layers.Input((6, 6, 2), batch_size=1)
    outputs = []
    x = inputs
    for name in ("early", "late"):
        x = layers.Conv2D(4, 3, activation="relu")(x)
        outputs.append(layers.Dense(classes, activation, name=name)(layers.Flatten()(x)))
    return convert(keras.Model(inputs, outputs), int8=int8)


@pytest.mark.parametrize("runtime", ["litert", "tflm"])
@pytest.mark.parametrize(
    ("classes", "activation", "int8"),
    [
        (MOST_INT8_CLASSES, "softmax", True),
        (MOST_INT8_CLASSES, None, True),
        (1000, "softmax", False),
        (1000, None, False),
    ],
)
def test_as_many_as_the_runtimes_take(
    classes: int, activation: str | None, int8: bool, runtime: str, tmp_path: Path
) -> None:
    path = tmp_path / "multi.tflite"
    path.write_bytes(two_exits(classes, activation, int8))
    network = EarlyExitInterpreter(compile_file(path, [0.9]).content, runtime)
    found = network.predict(np.zeros((1, 6, 6, 2), np.float32))
    assert found.scores.shape == (1, classes)
    assert found.exits.tolist() == [1]


def test_more_are_refused_before_native_code_sees_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="SOFTMAX: in int8 the runtimes abort beyond 511 classes"):
        flatbuffer.read(two_exits(MOST_INT8_CLASSES + 1, "softmax", True))
    path = tmp_path / "logits.tflite"
    path.write_bytes(two_exits(MOST_INT8_CLASSES + 1, None, True))
    with pytest.raises(UserError, match=r"int8 logits of 512 classes.*leave the network float32"):
        compile_file(path, [0.9])


def test_a_search_for_more_is_refused_before_it_trains() -> None:
    with pytest.raises(UserError, match=r"the data has 512 classes.*at most 511 apart"):
        ExitSpace((8, 8, 1), MOST_INT8_CLASSES + 1, Bounds())
