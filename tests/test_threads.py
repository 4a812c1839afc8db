"""One interpreter for several threads."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from networks import int8_inputs, multi_exit, order_of

from eexit_tf.tflite.describe import describe
from eexit_tf.tflite.interpreter import EarlyExitInterpreter
from eexit_tf.tflite.runtimes import RUNTIMES
from eexit_tf.tflite.segments import split
from eexit_tf.tflite.splicing import splice

THREADS, TURNS, SAMPLES = 4, 30, 5


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that change all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("form", ["file", "segments"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_threads_that_share_an_interpreter_get_their_own_answers(
    tmp_path: Path, runtime: str, form: str
) -> None:
    multi = multi_exit(12, 5, True)
    model = describe(splice.splice(multi, order_of(multi), [20, 40, 60, 90, 0]))
    model.save(path := tmp_path / "m.tflite")
    if form == "segments":
        split(model).save(path := tmp_path / "m.segments")
    interpreter = EarlyExitInterpreter(path, runtime)
    parts = np.split(int8_inputs(model.input.shape, THREADS * SAMPLES), THREADS)
    alone = [interpreter.predict(part) for part in parts]
    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(interpreter.predict, parts * TURNS))
    for found, expected in zip(together, alone * TURNS, strict=True):
        np.testing.assert_array_equal(found.raw_scores, expected.raw_scores)
        np.testing.assert_array_equal(found.exits, expected.exits)
