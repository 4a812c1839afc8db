"""Measuring a self-exiting file on labelled data, in LiteRT or TFLM."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eexit_tf.data import Samples, labelled
from eexit_tf.errors import UserError
from eexit_tf.files import read_bytes
from eexit_tf.reporter import SILENT, Reporter
from eexit_tf.tflite import flatbuffer
from eexit_tf.tflite.inputs import quantise
from eexit_tf.tflite.interpreter import EarlyExitInterpreter
from eexit_tf.tflite.model import CompiledModel
from eexit_tf.tflite.runtimes import RUNTIMES, Runtime
from eexit_tf.tflite.segmented import SegmentedNetwork
from eexit_tf.tflite.segments import Segments, is_segments
from eexit_tf.tflite.splicing import spliced
from eexit_tf.tflite.splicing.splice import splice
from eexit_tf.tflite.splicing.stages import cut
from eexit_tf.tflite.splicing.unsplice import unsplice

CHUNK = 50
"""Samples between two reports of progress."""


@dataclass(frozen=True)
class ExitEvaluation:
    """What left at one exit.

    Attributes:
        share: part of the samples, 0 to 1.
        accuracy: among those that left here; unknown if none did.
        macs: what each of them cost.
    """

    share: float
    accuracy: float | None
    macs: int


@dataclass(frozen=True)
class StaticEvaluation:
    """The last exit alone, always taken, on the same samples."""

    accuracy: float
    macs: int


@dataclass(frozen=True)
class Evaluation:
    """What a self-exiting network does on some samples.

    Attributes:
        accuracy: part answered right, 0 to 1.
        mean_macs: multiply-accumulates a sample, executed heads and decisions included.
        samples: how many there were.
        exits: in the order of execution.
        runtime: `litert` or `tflm`.
        static: the same network without early exits.
    """

    accuracy: float
    mean_macs: float
    samples: int
    exits: tuple[ExitEvaluation, ...]
    runtime: str
    static: StaticEvaluation

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        shares = ", ".join(f"{exit_.share:.1%}" for exit_ in self.exits)
        return (
            f"{self.accuracy:.2%} at {self.mean_macs:,.0f} mean MACs on {self.samples} samples in "
            f"{self.runtime} (leaving at the exits: {shares}); last exit alone "
            f"{self.static.accuracy:.2%} at {self.static.macs:,}"
        )


def evaluate(
    model: CompiledModel | Path | str,
    samples: Samples,
    *,
    runtime: str = "litert",
    reporter: Reporter = SILENT,
) -> Evaluation:
    """Run a self-exiting network on labelled samples.

    Args:
        model: what `compile` made, or the path of its file, or of its segments (their folder or
            manifest, which says what they cost).
        samples: inputs in the units that the network was trained on, and labels.
        runtime: `litert` (reference kernels) or `tflm`; both give the same results.

    Raises:
        UserError: not such a file, or samples that do not fit it.
    """
    samples = Samples(*samples)
    if isinstance(model, CompiledModel) or not is_segments(Path(model)):
        network = _spliced(model, runtime)
    else:
        network = _segmented(model, runtime)
    early, inputs = network.early, quantise(network.early.runtime.model, samples.x)
    samples = labelled(samples, early.predict(inputs[:1]).raw_scores.shape[1])

    taken, answered = np.empty(len(inputs), np.int32), np.empty(len(inputs), np.int64)
    for part in _chunks(len(inputs), f"{runtime}, leaving early", reporter):
        said = early.predict(inputs[part])
        taken[part], answered[part] = said.exits, said.classes
    right = answered == samples.y
    leaves = [int((taken == k).sum()) for k in range(len(early.exits))]
    spent = sum(n * macs for n, macs in zip(leaves, network.leave_macs, strict=True))
    accuracy, mean_macs = float(right.mean()), spent / len(inputs)

    # Samples that went all the way have already been to the last exit.
    static_right, last = right.copy(), len(early.exits) - 1
    left = np.flatnonzero(taken < last)
    what = f"{runtime}, {accuracy:.2%} at {mean_macs:,.0f} mean MACs; last exit alone"
    for part in _chunks(len(left), what, reporter):
        scores = network.last.run(inputs[left[part]])[spliced.SCORES]
        static_right[left[part]] = scores.argmax(axis=1) == samples.y[left[part]]

    return Evaluation(
        accuracy=accuracy,
        mean_macs=mean_macs,
        samples=len(inputs),
        exits=tuple(
            ExitEvaluation(
                share=leaves[k] / len(inputs),
                accuracy=float(right[taken == k].mean()) if leaves[k] else None,
                macs=network.leave_macs[k],
            )
            for k in range(last + 1)
        ),
        runtime=runtime,
        static=StaticEvaluation(float(static_right.mean()), network.static_macs),
    )


@dataclass(frozen=True)
class _Network:
    """What is measured.

    Attributes:
        early: the network as it leaves early.
        last: the same, always taking its last exit.
        leave_macs, static_macs: what these cost, an exit and in all.
    """

    early: EarlyExitInterpreter
    last: Runtime
    leave_macs: Sequence[int]
    static_macs: int


def _spliced(model: CompiledModel | Path | str, runtime: str) -> _Network:
    content = model.content if isinstance(model, CompiledModel) else read_bytes(model)
    early = EarlyExitInterpreter(content, runtime)
    static, last = unsplice(content), early.exits[-1:]
    parsed = flatbuffer.read(static)
    return _Network(
        early,
        RUNTIMES[runtime](splice(static, last, [spliced.LOWEST])),
        cut(parsed, early.exits, early.confidence).leave_macs,
        cut(parsed, last).leave_macs[0],
    )


def _segmented(path: Path | str, runtime: str) -> _Network:
    early = EarlyExitInterpreter(path, runtime)
    segments = Segments.load(path)
    try:
        leave_macs = [int(exit_["macs"]) for exit_ in segments.card["exits"]]
        static_macs = int(segments.card["static_macs"])
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise UserError(f"the manifest of {path} does not say what an exit costs") from error
    last = SegmentedNetwork(segments, RUNTIMES[runtime], early=False)
    return _Network(early, last, leave_macs, static_macs)


def _chunks(count: int, what: str, reporter: Reporter) -> Iterator[slice]:
    for start in range(0, count, CHUNK):
        yield slice(start, start + CHUNK)
        reporter.step(min(start + CHUNK, count), count, what)
