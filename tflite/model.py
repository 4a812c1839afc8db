"""What this room makes: a static network with many exits, and a compiled one with its card."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from eexit_tf.confidences import Confidence
from eexit_tf.files import write_bytes, write_json
from eexit_tf.tflite.cards import card_path, check_card_place
from eexit_tf.vocabulary import Exit

SCHEMA = 1
Method = Literal["qat", "ptq"]
RECORDED = (
    "ai-edge-litert",
    "numpy",
    "tensorflow",
    "tensorflow-model-optimization",
    "tflite-micro",
)


@dataclass(frozen=True)
class MultiExit:
    """A static int8 network with one output an exit.

    Attributes:
        content: the `.tflite` file.
        exits: its exits, in the order of execution, each behind the output whose name
            `Exit.parse` makes it of.
        quantization: how it came to int8.
    """

    content: bytes
    exits: tuple[Exit, ...]
    quantization: Method


@dataclass(frozen=True)
class CompiledExit:
    """An exit of a compiled network.

    Attributes:
        at, head: see `vocabulary.Exit`.
        threshold_int8: a sample leaves here when its confidence, as an int8 score, is at least
            this; -128 at the last exit.
        threshold: the same from 0 to 1.
        macs: what a sample that leaves here has cost, executed heads and decisions included.
        share: part of the validation samples that leave here; unknown without such data.
    """

    at: str
    head: str
    threshold_int8: int
    threshold: float
    macs: int
    share: float | None


@dataclass(frozen=True)
class CompiledInput:
    """What the network takes.

    Attributes:
        shape: (height, width, channels).
        scale, zero_point: of the int8 input: ``int8 = rint(x / scale) + zero_point``. A float32
            network has none.
        divisor: by what raw values (a pixel's byte, say) are divided to give that x.
    """

    shape: tuple[int, ...]
    scale: float | None
    zero_point: int | None
    divisor: float


@dataclass(frozen=True)
class CompiledModel:
    """A self-exiting `.tflite` file and everything that is promised of it.

    Attributes:
        content: the file.
        classes: their names, in the order of the scores.
        input: see `CompiledInput`.
        exits: in the order of execution.
        confidence: the measure that is compared with thresholds, `max` or `margin`.
        runtime_thresholds: whether thresholds are an input, and those here its default.
        static_macs: of the last exit alone, always taken.
        mean_macs: multiply-accumulates a sample on the validation data.
        val_accuracy: on the validation data.
        arena_bytes: the smallest that TFLM's Python wheel runs in; see `arena.Arena`.
        quantization: `qat` or `ptq`; unknown for a network from elsewhere.
        origin: of a network that was searched: data set, search, point and seed.
    """

    content: bytes
    classes: tuple[str, ...]
    input: CompiledInput
    exits: tuple[CompiledExit, ...]
    confidence: Confidence
    runtime_thresholds: bool
    static_macs: int
    mean_macs: float | None
    val_accuracy: float | None
    arena_bytes: int
    quantization: Method | None
    origin: Mapping[str, Any] | None = None

    @property
    def flash_bytes(self) -> int:
        """Size of the file, as it lies in flash."""
        return len(self.content)

    def to_json(self) -> Mapping[str, Any]:
        """The card: `M.json`."""
        return {
            "schema": SCHEMA,
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "classes": list(self.classes),
            "input": asdict(self.input),
            "exits": [asdict(exit_) for exit_ in self.exits],
            "confidence": self.confidence,
            "runtime_thresholds": self.runtime_thresholds,
            "static_macs": self.static_macs,
            "mean_macs": self.mean_macs,
            "val_accuracy": self.val_accuracy,
            "flash_bytes": self.flash_bytes,
            "arena_bytes": self.arena_bytes,
            "quantization": self.quantization,
            "origin": self.origin,
            "versions": {name: version(name) for name in RECORDED},
        }

    def save(self, path: Path | str) -> None:
        """Write the file and, beside it, its card with the suffix `.json`.

        Raises:
            UserError: the name does not end in `.tflite`, or there is another file in the card's
                place.
        """
        path = Path(path)
        check_card_place(path)
        write_bytes(path, self.content)
        write_json(card_path(path), self.to_json())
