"""What a benchmark found, also when it could not be finished."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eexit_tf.tflite.benchmarking.devices import Answer


@dataclass
class Progress:
    """One network's answers, in the order of the samples.

    Attributes:
        flash_bytes: size of the file.
        labels: of all samples.
        arena_bytes: unknown until the device has set the network up.
        answers: as far as they have come.
    """

    flash_bytes: int
    labels: NDArray[np.int64]
    arena_bytes: int | None = None
    answers: list[Answer] = field(default_factory=list)

    @property
    def exits(self) -> NDArray[np.intp]:
        return np.array([answer.exit for answer in self.answers], np.intp)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which of the samples so far were answered right."""
        said = np.array([answer.scores.argmax() for answer in self.answers], np.int64)
        return said == self.labels[: len(said)]

    @property
    def latencies(self) -> NDArray[np.float64]:
        return np.array([answer.latency for answer in self.answers], np.float64)

    @property
    def scores_crc32(self) -> str:
        """Of all scores' bytes, one sample after the other; eight hex digits."""
        return f"{zlib.crc32(b''.join(a.scores.tobytes() for a in self.answers)):08x}"


@dataclass(frozen=True)
class Benchmark:
    """What a device does with a self-exiting network, and with its last exit alone.

    Attributes:
        target: as the user named it.
        unit: of latencies, `us` or `instructions`.
        environment: what the figures depend on.
        samples: how many there were to be.
        exit_names: in the order of execution.
        early: the self-exiting network.
        static: the same network always taking its last exit.
        reference: scores of the self-exiting network in LiteRT's reference kernels, one row a
            sample.
    """

    target: str
    unit: str
    environment: Mapping[str, str]
    samples: int
    exit_names: tuple[str, ...]
    early: Progress
    static: Progress
    reference: NDArray

    @property
    def complete(self) -> bool:
        return len(self.early.answers) == len(self.static.answers) == self.samples

    @property
    def differing_samples(self) -> int:
        """Samples so far whose scores are not those of LiteRT's reference kernels."""
        said = zip(self.early.answers, self.reference, strict=False)
        return sum(not np.array_equal(answer.scores, scores) for answer, scores in said)

    def to_json(self) -> dict[str, Any]:
        """The environment first; `null` for what was not measured."""
        done = len(self.early.answers)
        measured = self.reference[:done]
        return {
            "environment": dict(self.environment),
            "target": self.target,
            "complete": self.complete,
            "samples": done,
            "arena_bytes": self.early.arena_bytes,
            "flash_bytes": self.early.flash_bytes,
            "accuracy": _mean(self.early.right),
            "exits": [self._exit(k) for k in range(len(self.exit_names))],
            "mean_latency": _mean(self.early.latencies),
            "static_latency": _mean(self.static.latencies),
            "unit": self.unit,
            "scores_crc32": self.early.scores_crc32,
            "litert": {
                "scores_crc32": f"{zlib.crc32(measured.tobytes()):08x}",
                "differing_samples": self.differing_samples,
            },
            "static": {
                "samples": len(self.static.answers),
                "arena_bytes": self.static.arena_bytes,
                "flash_bytes": self.static.flash_bytes,
                "accuracy": _mean(self.static.right),
                "scores_crc32": self.static.scores_crc32,
            },
        }

    def _exit(self, k: int) -> dict[str, Any]:
        here = self.early.exits == k
        return {
            "name": self.exit_names[k],
            "samples": int(here.sum()),
            "share": _mean(here),
            "accuracy": _mean(self.early.right[here]),
            "latency": _mean(self.early.latencies[here]),
            "unit": self.unit,
        }


def _mean(values: NDArray) -> float | None:
    return float(values.mean()) if len(values) else None
