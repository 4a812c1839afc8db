"""How others choose thresholds, for comparison: by small grids, on the same outputs and costs.

A tuner takes the outputs of all candidate exits on validation samples, their costs and a budget of
mean MACs, and gives one policy with its score. `TUNERS` has them by name:

==========  =====================================================================
`exact`     ours: the most accurate of all policies within the budget
`aebnas`    every combination of 0.1, 0.2 and "no exit here" (arXiv 2512.10671)
`nachos`    one common threshold, lowered until the budget holds (arXiv 2401.13330)
`common`    one common threshold from 0.70 to 0.95 (arXiv 2512.04705)
==========  =====================================================================

Only `exact` keeps the budget wherever any policy does. All but `exact` and `aebnas` use all exits.
"""

from collections.abc import Callable, Iterator
from itertools import product

from eexit_tf.bounds import Bounds
from eexit_tf.costs import ExitCosts
from eexit_tf.outputs import ExitOutputs
from eexit_tf.policies import Policy, PolicyScore, score, search_policies
from eexit_tf.vocabulary import LEVELS

Scored = tuple[Policy, PolicyScore]
Tuner = Callable[[ExitOutputs, ExitCosts, float], Scored]

AEBNAS = (0.1, 0.2, 1.0)
"""Its thresholds; 1 removes the exit, and its head's MACs."""
AEBNAS_WEIGHT = 0.1
"""Points of accuracy that one percent of distance from the target is worth."""
NACHOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
NACHOS_STEP = 0.1
COMMON = (0.70, 0.75, 0.80, 0.85, 0.90, 0.95)


def exact(outputs: ExitOutputs, costs: ExitCosts, max_mean_macs: float) -> Scored:
    """The most accurate policy within the budget; see `policies.search_policies`.

    Raises:
        ValueError: no policy is that cheap.
    """
    found = search_policies(outputs, costs, Bounds(max_mean_macs=max_mean_macs)).found
    if not found:
        raise ValueError(f"no policy costs at most {max_mean_macs:,.0f} mean MACs")
    return found[-1]


def aebnas(outputs: ExitOutputs, costs: ExitCosts, target_macs: float) -> Scored:
    """AEBNAS's adaptive threshold tuning: the best accuracy - 0.1 MAPE of its grid.

    Accuracy and MAPE = 100 |mean MACs - target| / target are in percent, so being cheaper than
    the target is punished like being dearer. Its confidence is the margin; see `confidences`.
    """

    def value(scored: Scored) -> float:
        distance = abs(scored[1].mean_macs - target_macs) / target_macs
        return 100 * (scored[1].accuracy - AEBNAS_WEIGHT * distance)

    return max(_scored(aebnas_policies(len(costs)), outputs, costs), key=value)


def aebnas_policies(exits: int) -> Iterator[Policy]:
    """AEBNAS's grid: a threshold of `AEBNAS` at each exit, the last one used taking the rest."""
    for combination in product(AEBNAS, repeat=exits):
        used = tuple(i for i, threshold in enumerate(combination) if threshold < 1)
        if used:
            yield Policy(used, (*(_level(combination[i]) for i in used[:-1]), 0))


def nachos(outputs: ExitOutputs, costs: ExitCosts, max_mean_macs: float) -> Scored:
    """NACHOS's rule: the common threshold with the best accuracy, then lowered.

    From the last early exit backwards each threshold goes down in steps of 0.1, to 0.1, until the
    budget holds; it does not where even that is too dear.
    """

    def tried(thresholds: list[float]) -> Scored:
        policy = _everywhere(thresholds)
        return policy, score(policy, outputs, costs)

    early = len(costs) - 1
    epsilon = max(NACHOS, key=lambda epsilon: tried([epsilon] * early)[1].accuracy)
    thresholds = [epsilon] * early
    best = tried(thresholds)
    for index in reversed(range(early)):
        while best[1].mean_macs > max_mean_macs and thresholds[index] > 1.5 * NACHOS_STEP:
            thresholds[index] -= NACHOS_STEP
            best = tried(thresholds)
    return best


def common(outputs: ExitOutputs, costs: ExitCosts, max_mean_macs: float) -> Scored:
    """The hardware-aware search's rule: one threshold of `COMMON` for all exits.

    The most accurate within the budget; the cheapest if none is.
    """
    policies = (_everywhere([threshold] * (len(costs) - 1)) for threshold in COMMON)
    scored = list(_scored(policies, outputs, costs))
    within = [each for each in scored if each[1].mean_macs <= max_mean_macs]
    if not within:
        return min(scored, key=lambda each: each[1].total_macs)
    return max(within, key=lambda each: (each[1].correct, -each[1].total_macs))


TUNERS: dict[str, Tuner] = {"exact": exact, "aebnas": aebnas, "nachos": nachos, "common": common}


def _everywhere(thresholds: list[float]) -> Policy:
    """All exits, with a threshold at each but the last."""
    return Policy(tuple(range(len(thresholds) + 1)), (*map(_level, thresholds), 0))


def _level(threshold: float) -> int:
    return round(threshold * LEVELS)


def _scored(policies: Iterator[Policy], outputs: ExitOutputs, costs: ExitCosts) -> Iterator[Scored]:
    for policy in policies:
        yield policy, score(policy, outputs, costs)
