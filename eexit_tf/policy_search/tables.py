"""Tables that the policy search reads: samples sorted at each exit, and step costs."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from eexit_tf.costs import ExitCosts
from eexit_tf.outputs import ExitOutputs

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Words = NDArray[np.uint64]
Path = tuple[tuple[int, int], ...]
"""A policy inside the search: (exit, class) for each of its exits; samples of that class (see
`Tables`) and higher ones leave. 0 at the last exit."""
Allowed = Callable[[tuple[int, ...]], bool]
"""Whether a network with just these exits keeps the bounds."""


class Tables:
    """A network's exits on some samples, arranged for the search.

    At each exit the levels are merged into *classes*, ascending, such that every useful threshold
    is the lower end of a class: just below it must be a sample that is wrong here and right at a
    later exit, or else the threshold would better be lower.

    Attributes:
        levels, right: (exits, samples), as given.
        thresholds: at each exit, the lowest levels of the classes 1, 2, ...
        classes: (exits, samples), 0 to 255.
        order: at each exit, the samples by class.
        start: at each exit, where each class starts in `order`.
        steps: (exits + 1, exits), MACs of a sample from one exit (row 0: the start) to another
            and its head, without decisions.
    """

    def __init__(self, outputs: ExitOutputs, costs: ExitCosts) -> None:
        self.costs = costs
        self.levels, self.right = outputs.levels, outputs.right
        self.exits, self.samples = outputs.levels.shape
        trunk = np.array([0, *costs.trunk_macs], np.int64)
        self.steps = trunk[None, 1:] - trunk[:, None] + np.array(costs.head_macs, np.int64)
        self.thresholds: list[NDArray[np.uint8]] = []
        self.classes = np.zeros_like(self.levels)
        self.order: list[NDArray[np.intp]] = []
        self.start: list[NDArray[np.intp]] = []
        for j in range(self.exits):
            self._sort(j)

    def _sort(self, j: int) -> None:
        levels = self.levels[j]
        occurring = np.unique(levels)
        missed = np.unique(levels[self.right[j + 1 :].any(axis=0) & ~self.right[j]])
        above = np.searchsorted(occurring, missed, side="right")
        thresholds = occurring[above[above < len(occurring)]]
        self.classes[j] = np.searchsorted(thresholds, levels, side="right")
        order = np.argsort(self.classes[j], kind="stable")
        self.thresholds.append(thresholds)
        self.order.append(order)
        self.start.append(np.searchsorted(self.classes[j, order], np.arange(len(thresholds) + 1)))

    def canonical(self, path: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Exits and thresholds of a path, each threshold halfway between the levels it parts."""
        remaining = np.ones(self.samples, np.bool_)
        levels = []
        for j, t in path[:-1]:
            here = self.levels[j]
            leave = remaining & (here >= self.thresholds[j][t - 1])
            remaining = remaining ^ leave
            low = int((here * remaining).max(initial=0))
            high = 255 - int((~here * leave).max(initial=0))
            levels.append(low + (high - low + 1) // 2)
        return tuple(j for j, _ in path), (*levels, 0)
