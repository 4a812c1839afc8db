"""What a network's exits said about some samples: all that choosing a policy needs."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eexit_tf.confidences import Confidence, levels
from eexit_tf.files import write_bytes
from eexit_tf.vocabulary import LEVELS


@dataclass(frozen=True)
class ExitOutputs:
    """Confidence and correctness of every exit on every sample.

    Attributes:
        levels: uint8, (exits, samples), confidence levels 0..255 (see `vocabulary`).
        right: bool, (exits, samples), whether the exit's top class is the label.
    """

    levels: NDArray[np.uint8]
    right: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.levels.shape != self.right.shape or self.levels.ndim != 2:
            raise ValueError(
                f"levels and right must both be (exits, samples), but are "
                f"{self.levels.shape} and {self.right.shape}"
            )
        if self.levels.dtype != np.uint8 or self.right.dtype != np.bool_:
            raise ValueError(
                f"levels must be uint8 and right bool, not {self.levels.dtype}, {self.right.dtype}"
            )

    @property
    def samples(self) -> int:
        return int(self.levels.shape[1])

    @classmethod
    def from_scores(
        cls, scores: list[NDArray[np.float32]], labels: NDArray[np.integer]
    ) -> "ExitOutputs":
        """From each exit's softmax scores, (samples, classes) float, rounded as int8 would."""
        confidence = np.stack([score.max(axis=1) for score in scores])
        rounded = np.clip(np.rint(confidence * LEVELS), 0, LEVELS - 1).astype(np.uint8)
        right = np.stack([score.argmax(axis=1) == labels for score in scores])
        return cls(rounded, right)

    @classmethod
    def from_file(
        cls,
        scores: list[NDArray],
        labels: NDArray[np.integer],
        confidence: Confidence = "max",
    ) -> "ExitOutputs":
        """From what a `.tflite` file's exits give, with the very levels that it decides by.

        Args:
            scores: (samples, classes) each; int8 softmax scores (scale 1/256, zero point -128)
                or float32.
            labels: (samples,).
            confidence: what the file measures.
        """
        right = np.stack([score.argmax(axis=1) == labels for score in scores])
        return cls(np.stack([levels(score, confidence) for score in scores]), right)

    def save(self, path: Path | str) -> None:
        """To a compressed `.npz`."""
        content = io.BytesIO()
        np.savez_compressed(content, levels=self.levels, right=self.right)
        write_bytes(path, content.getvalue())

    @classmethod
    def load(cls, path: Path | str) -> "ExitOutputs":
        with np.load(path) as stored:
            return cls(stored["levels"], stored["right"])
