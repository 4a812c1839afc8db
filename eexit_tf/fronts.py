"""`front.json`: what a search found, as other programs read it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eexit_tf.bounds import Bounds
from eexit_tf.errors import UserError
from eexit_tf.files import parsing, write_json
from eexit_tf.vocabulary import Front, OperatingPoint

FRONT = "front.json"
SCHEMA = 1


@dataclass(frozen=True)
class SearchFront:
    """The front over all finished trials of a search.

    Attributes:
        dataset: as the user typed it.
        seed, bounds: of the search.
        trials: how many have finished.
        hypervolume: of its points, see `pareto.hypervolume`, from 0 to 1.
        reference_macs: from where to where the hypervolume counts.
        front: its points.
    """

    dataset: str
    seed: int
    bounds: Bounds
    trials: int
    hypervolume: float
    reference_macs: tuple[float, float]
    front: Front

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "dataset": self.dataset,
            "seed": self.seed,
            "bounds": self.bounds.to_json(),
            "trials": self.trials,
            "evaluated_policies": _number(self.front.evaluated_policies),
            "gap": self.front.gap,
            "hypervolume": self.hypervolume,
            "reference_macs": list(self.reference_macs),
            "points": [point.to_json() for point in self.front],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "SearchFront":
        if value["schema"] != SCHEMA:
            raise ValueError(f"schema {value['schema']}, expected {SCHEMA}")
        low, high = value["reference_macs"]
        points = tuple(OperatingPoint.from_json(point) for point in value["points"])
        return cls(
            dataset=value["dataset"],
            seed=value["seed"],
            bounds=Bounds.from_json(value["bounds"]),
            trials=int(value["trials"]),
            hypervolume=float(value["hypervolume"]),
            reference_macs=(low, high),
            front=Front(points, int(value["evaluated_policies"]), float(value.get("gap", 0.0))),
        )

    def save(self, directory: Path) -> None:
        """Write `front.json` into a search's folder."""
        write_json(directory / FRONT, self.to_json())

    @classmethod
    def load(cls, directory: Path) -> "SearchFront":
        """Read `front.json` from a search's folder.

        Raises:
            UserError: there is none, or it is not one of ours.
        """
        path = Path(directory) / FRONT
        if not path.is_file():
            raise UserError(
                f"{directory} has no {FRONT}; give the folder of a search "
                f"(eexit-tf search --output DIR) in which a trial has finished"
            )
        with parsing(path, "a front of eexit-tf"):
            return cls.from_json(json.loads(path.read_text("utf-8")))


def _number(count: int) -> int | float:
    """A number that every reader of JSON takes: many read integers as 64 bits or as doubles."""
    return count if count < 2**53 else float(count)
