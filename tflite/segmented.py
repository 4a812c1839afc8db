"""Running a network that is kept as one file a stage, as an application does it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eexit_tf.confidences import measured
from eexit_tf.tflite import schema
from eexit_tf.tflite.runtimes import LiteRT, Tflm, check_input
from eexit_tf.tflite.segments import Segments
from eexit_tf.tflite.splicing import spliced
from eexit_tf.vocabulary import LEVELS


class SegmentedNetwork:
    """A `runtimes.Runtime` that runs stage after stage until the sample leaves.

    Args:
        segments: from `segments.split`, or the path of a manifest or its folder.
        runtime: what runs a stage, `LiteRT` or `Tflm`.
        thresholds: int8 (level - 128), one an exit, instead of the manifest's; the last is
            ignored.
        early: leave early; otherwise every sample goes to the last exit.

    Attributes:
        exits: their names, in the order of execution.
        thresholds: as in use; the last is -128.
        confidence: the measure that is compared with them.

    Raises:
        UserError: not such files, or thresholds that do not fit.
    """

    def __init__(
        self,
        segments: Segments | Path | str,
        runtime: Callable[[bytes], LiteRT | Tflm] = LiteRT,
        thresholds: Sequence[int] | None = None,
        early: bool = True,
    ) -> None:
        if not isinstance(segments, Segments):
            segments = Segments.load(segments)
        if thresholds is None:
            thresholds = [exit_["threshold_int8"] for exit_ in segments.card["exits"]]
        spliced.check_thresholds(thresholds, len(segments.stages))
        self.exits = tuple(stage.exit for stage in segments.stages)
        self.confidence = segments.card["confidence"]
        self.thresholds = (*map(int, thresholds[:-1]), spliced.LOWEST)
        self._needed = [level + LEVELS // 2 if early else np.inf for level in self.thresholds]
        self._stages = [(stage, runtime(stage.content)) for stage in segments.stages]
        first = self._stages[0][1]
        self.name, self.model = first.name, first.model
        tensor = first.model.subgraphs[0].tensors[first.model.subgraphs[0].outputs[0]]
        self._scores = schema.dtype(tensor), schema.shape(tensor)[-1]

    def run(self, x: NDArray, *others: NDArray) -> dict[str, NDArray]:
        """See `runtimes.Runtime.run`; gives `scores` and `exit`, as a spliced file does."""
        left = [self._leave(sample) for sample in check_input(self.model, x, *others)]
        kind, classes = self._scores
        return {
            spliced.SCORES: np.array([scores for scores, _ in left], kind).reshape(-1, classes),
            spliced.EXIT: np.array([k for _, k in left], np.int32),
        }

    def _leave(self, sample: NDArray) -> tuple[NDArray, int]:
        """Scores and exit of one sample."""
        values = {self._stages[0][0].inputs[0]: sample[None]}
        for k, (stage, network) in enumerate(self._stages):
            values |= network.invoke([values[name] for name in stage.inputs])
            scores = values[stage.scores]
            levels = scores + np.int16(LEVELS // 2) if scores.dtype == np.int8 else scores * LEVELS
            if measured(levels, self.confidence) >= self._needed[k]:
                break
        return scores, k
