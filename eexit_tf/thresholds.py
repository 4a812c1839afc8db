"""Thresholds for exits that are fixed, as in a compiled file: the best ones, and what they do."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eexit_tf.outputs import ExitOutputs
from eexit_tf.policies import PolicyScore
from eexit_tf.threshold_search import ThresholdSearch
from eexit_tf.vocabulary import LEVELS

EFFORT = 1e9
"""Numbers that a search may look at, about 1e8 a second."""


@dataclass(frozen=True)
class BestThresholds:
    """What was found.

    Attributes:
        levels: 0 to 255, 0 at the last exit.
        gap: no thresholds within the budget are more accurate by more than this (from 0 to 1).
            Proven; 0, exact, unless the effort did not suffice.
    """

    levels: tuple[int, ...]
    gap: float


def best_thresholds(
    outputs: ExitOutputs,
    leave_macs: tuple[int, ...],
    max_mean_macs: float,
    effort: float = EFFORT,
) -> BestThresholds | None:
    """The thresholds with the most right answers at no more mean MACs; the cheapest of equals.

    Of the levels that do the same on these samples, the one halfway is taken (rounded up).

    Args:
        outputs: of all the exits, in the order in which they are asked.
        leave_macs: what a sample costs that leaves at each, not falling.
        max_mean_macs: the budget.
        effort: numbers that may be looked at. Without more than five exits and thousands of
            samples, the default is hardly ever needed; a search that needs more stops there.

    Returns:
        nothing if all thresholds cost too much.
    """
    search = ThresholdSearch(outputs, leave_macs, max_mean_macs, effort)
    search.run()
    if search.best is None:
        return None
    missed = max(search.missed - search.correct, 0)
    return BestThresholds(_halfway(outputs, search.best), missed / search.samples)


def score_thresholds(
    outputs: ExitOutputs, thresholds: Sequence[int], leave_macs: Sequence[int], params: int
) -> PolicyScore:
    """What thresholds do, with all exits in use.

    Args:
        outputs, leave_macs: as for `best_thresholds`.
        thresholds: levels, 0 at the last exit.
        params: weights and biases of the network.
    """
    taken = (outputs.levels >= np.array(thresholds)[:, None]).argmax(axis=0)
    leaves = np.bincount(taken, minlength=len(thresholds))
    return PolicyScore(
        correct=int(outputs.right[taken, np.arange(outputs.samples)].sum()),
        total_macs=sum(int(n) * macs for n, macs in zip(leaves, leave_macs, strict=True)),
        samples=outputs.samples,
        leaves=tuple(int(n) for n in leaves),
        max_macs=leave_macs[-1],
        params=params,
    )


def _halfway(outputs: ExitOutputs, thresholds: tuple[int, ...]) -> tuple[int, ...]:
    staying = np.ones(outputs.samples, np.bool_)
    found = []
    for levels, threshold in zip(outputs.levels, thresholds, strict=False):
        leaving = staying & (levels >= threshold)
        staying &= ~leaving
        low = int(levels[staying].max(initial=0))
        high = int(levels[leaving].min(initial=LEVELS - 1))
        found.append(low + (high - low + 1) // 2)
    return (*found, 0)
