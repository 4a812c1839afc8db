"""Thresholds for exits that are fixed, as in a compiled file: the best ones, and what they do."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eexit_tf.bounds import Bounds
from eexit_tf.costs import ExitCosts
from eexit_tf.outputs import ExitOutputs
from eexit_tf.policies import EFFORT, PolicyScore, search_policies
from eexit_tf.vocabulary import LEVELS, Exit


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
    outputs: ExitOutputs, leave_macs: Sequence[int], max_mean_macs: float, effort: float = EFFORT
) -> BestThresholds | None:
    """The thresholds with the most right answers at no more mean MACs; the cheapest of equals.

    `search_policies` finds them, as all exits were used: what it costs to leave at one does not
    depend on the others. An exit without which it is better lets the fewest leave, at the highest
    threshold.

    Of the levels that do the same on these samples, the one halfway is taken (rounded up).

    Args:
        outputs: of all the exits, in the order in which they are asked.
        leave_macs: what a sample costs that leaves at each, not falling.
        max_mean_macs: the budget.
        effort: see `search_policies`.

    Returns:
        nothing if all thresholds cost too much.
    """
    exits = tuple(Exit(f"exit{number}") for number in range(len(leave_macs)))
    nothing = (0,) * len(exits)
    costs = ExitCosts(exits, tuple(leave_macs), nothing, nothing, nothing, decision=0)
    search = search_policies(
        _at_most_at_the_highest(outputs), costs, Bounds(max_mean_macs=max_mean_macs), effort=effort
    )
    if not search.found:
        return None
    policy, _ = max(search.found, key=lambda each: (each[1].correct, -each[1].total_macs))
    levels = dict(zip(policy.exits, policy.thresholds, strict=True))
    asked = tuple(levels.get(number, LEVELS - 1) for number in range(len(exits) - 1))
    return BestThresholds(_halfway(outputs, asked), search.gap)


def _at_most_at_the_highest(outputs: ExitOutputs) -> ExitOutputs:
    """The same, where a sample answers later as at the first exit that has the highest level.

    No threshold keeps it there from leaving. So no policy that leaves this exit out is better than
    the one with its highest threshold instead.
    """
    right = outputs.right.copy()
    for number, levels in enumerate(outputs.levels[:-1]):
        sure = levels == LEVELS - 1
        right[number + 1 :, sure] = right[number, sure]
    return ExitOutputs(outputs.levels, right)


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
