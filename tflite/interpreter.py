"""Running a self-exiting `.tflite` file from Python; needs neither TensorFlow nor Keras."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eexit_tf.confidences import Confidence, measured
from eexit_tf.errors import UserError
from eexit_tf.files import read_bytes
from eexit_tf.tflite.inputs import quantise
from eexit_tf.tflite.runtimes import RUNTIMES, Runtime
from eexit_tf.tflite.segmented import SegmentedNetwork
from eexit_tf.tflite.segments import Segments, is_segments
from eexit_tf.tflite.splicing import spliced
from eexit_tf.vocabulary import LEVELS


@dataclass(frozen=True)
class Predictions:
    """What a self-exiting network said about some samples.

    Attributes:
        raw_scores: (samples, classes), as the network gives them: int8 (level - 128, see
            `eexit_tf.vocabulary`) or float32.
        exits: int32, (samples,), index of the exit taken.
        confidence: the measure that the network compares with thresholds.
    """

    raw_scores: NDArray
    exits: NDArray[np.int32]
    confidence: Confidence = "max"

    @property
    def scores(self) -> NDArray[np.float32]:
        """(samples, classes), from 0 to 1."""
        if self.raw_scores.dtype != np.int8:
            return self.raw_scores
        return (self.raw_scores.astype(np.float32) + LEVELS // 2) / np.float32(LEVELS)

    @property
    def confidences(self) -> NDArray[np.float32]:
        """(samples,), from 0 to 1: what the network compared with the threshold, if it did."""
        return measured(self.scores, self.confidence)

    @property
    def classes(self) -> NDArray[np.intp]:
        """(samples,), the class with the largest score, the first of several."""
        return self.raw_scores.argmax(axis=1)


class EarlyExitInterpreter:
    """A self-exiting network, ready to run; threads that share one take turns.

    Example:
        >>> interpreter = EarlyExitInterpreter("model.tflite")
        >>> found = interpreter.predict(images)
        >>> found.classes, found.exits, found.confidences

    Args:
        model: path or content of a file that `splice` (or `eexit-tf`) made, or the path of a
            folder of segments or its manifest.
        runtime: `"litert"` (reference kernels) or `"tflm"`; both give the same int8 results.
        thresholds: confidences from 0 to 1, one for each exit but the last, instead of those
            in the file; rounded as by `compiler.compile_file`. Thresholds that are an input are
            fed before each run, the file's default if none are given.

    Raises:
        UserError: not such a file, an unknown runtime, or thresholds that do not fit.
    """

    def __init__(
        self,
        model: str | Path | bytes | bytearray | memoryview,
        runtime: str = "litert",
        thresholds: Iterable[float] | None = None,
    ) -> None:
        if runtime not in RUNTIMES:
            raise UserError(f"unknown runtime {runtime!r}; there are {', '.join(RUNTIMES)}")
        self.runtime: Runtime
        known: SegmentedNetwork | spliced.Spliced
        if isinstance(model, bytearray | memoryview):
            model = bytes(model)
        if not isinstance(model, bytes) and is_segments(Path(model)):
            segments, levels = Segments.load(model), None
            if thresholds is not None:
                levels = spliced.int8_thresholds([s.exit for s in segments.stages], thresholds)
            self.runtime = known = SegmentedNetwork(segments, RUNTIMES[runtime], levels)
            self._others: tuple[NDArray, ...] = ()
        else:
            content = model if isinstance(model, bytes) else read_bytes(model)
            if thresholds is not None:
                exits = spliced.inspect(content).exits
                content = spliced.retune(content, spliced.int8_thresholds(exits, thresholds))
            known = spliced.inspect(content)
            self.runtime = RUNTIMES[runtime](content)
            self._others = spliced.threshold_inputs(self.runtime.model, known)
        self.exits, self.thresholds = known.exits, known.thresholds
        self.confidence: Confidence = known.confidence
        self._turn = threading.Lock()  # a run leaves its tensors in the runtime's memory

    def predict(self, x: NDArray) -> Predictions:
        """Run every sample until it leaves.

        Args:
            x: (samples, height, width, ...), float in the units that the network was trained
                on (quantised by `inputs.quantise`, the same for every runtime), or in the
                input's own type.

        Raises:
            UserError: the shape or the type does not fit.
        """
        x = quantise(self.runtime.model, x)
        with self._turn:
            outputs = self.runtime.run(x, *self._others)
        return Predictions(
            outputs[spliced.SCORES], outputs[spliced.EXIT].reshape(-1), self.confidence
        )
