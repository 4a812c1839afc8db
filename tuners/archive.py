"""Fronts of finished trials, and the front over all of them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eexit_tf.errors import UserError
from eexit_tf.files import parsing, write_json
from eexit_tf.pareto import hypervolume_gain, pareto_front
from eexit_tf.vocabulary import Front, OperatingPoint

TRIAL_FRONT = "front.json"


def save_front(directory: Path, front: Front) -> None:
    """Keep a trial's own front in its folder."""
    write_json(
        directory / TRIAL_FRONT,
        {
            "evaluated_policies": front.evaluated_policies,
            "gap": front.gap,
            "points": [point.to_json() for point in front],
        },
    )


def load_front(directory: Path) -> Front:
    """A trial's own front from its folder.

    Raises:
        UserError: it is damaged, or gone.
    """
    path = directory / TRIAL_FRONT
    if not path.is_file():
        raise UserError(f"the front of a trial is gone: {path}; --overwrite starts the search over")
    with parsing(path, "the front of a trial"):
        value = json.loads(path.read_text("utf-8"))
        points = tuple(OperatingPoint.from_json(point) for point in value["points"])
        return Front(points, int(value["evaluated_policies"]), float(value["gap"]))


@dataclass(frozen=True)
class Archive:
    """The fronts of all finished trials.

    Attributes:
        fronts: by trial.
        reference_macs: from where to where the hypervolume counts.
    """

    fronts: Mapping[str, Front]
    reference_macs: tuple[float, float]

    def front(self) -> Front:
        """The points of all trials that no point of any trial dominates, bounds or not.

        What the search missed in a trial matters as far as it is above the points of the others.
        """
        points = [point for front in self.fronts.values() for point in front]
        ranked = pareto_front([p.val_accuracy for p in points], [p.mean_macs for p in points])
        kept = tuple(points[i] for i in ranked)
        return Front(
            kept,
            sum(front.evaluated_policies for front in self.fronts.values()),
            max((_gap(front, kept) for front in self.fronts.values()), default=0.0),
        )

    def gain(self, trial: str) -> float:
        """What the archive's hypervolume would lose without this trial."""
        others = (p for name, front in self.fronts.items() if name != trial for p in front)
        return hypervolume_gain(self.pairs(trial), pairs(others), self.reference_macs)

    def pairs(self, trial: str) -> tuple[tuple[float, float], ...]:
        """(mean MACs, accuracy) of a trial's points; none of a trial that brought no front."""
        return tuple(pairs(self.fronts.get(trial, ())))


def _gap(front: Front, kept: Sequence[OperatingPoint]) -> float:
    """The most accuracy by which a policy that the front's search missed beats the kept points."""
    if not front.gap or not front.points:
        return front.gap
    place = np.searchsorted([p.mean_macs for p in kept], [p.mean_macs for p in front], side="right")
    lead = np.array([p.val_accuracy for p in kept])[place - 1] - [p.val_accuracy for p in front]
    return max(front.gap - float(lead.min()), 0.0)


def pairs(points: Iterable[OperatingPoint]) -> list[tuple[float, float]]:
    """(mean MACs, accuracy) of each."""
    return [(point.mean_macs, point.val_accuracy) for point in points]
