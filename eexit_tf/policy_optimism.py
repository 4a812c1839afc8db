"""How much better chosen policies look on the samples they were chosen on than on fresh ones.

Out of many policies the search picks those that happen to do well on its samples. Cross-fitting
measures by how much: policies are chosen on all folds but one and scored on the one left out
(Stone, J. R. Statist. Soc. B 36(2), 1974).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eexit_tf.bounds import Bounds
from eexit_tf.costs import ExitCosts
from eexit_tf.outputs import ExitOutputs
from eexit_tf.policies import Policy, score
from eexit_tf.policy_search import Search

FOLDS = 4


def optimism(
    outputs: ExitOutputs, costs: ExitCosts, mean_macs: Sequence[float]
) -> NDArray[np.float64]:
    """(budgets,): expected accuracy on the samples of the choice less that on fresh ones.

    For each budget the most accurate policy is chosen that keeps it. Folds are drawn with a fixed
    seed. Each fold's search is the whole one's opening (`Search.open`): almost as good, and so
    almost as optimistic.

    Args:
        mean_macs: the budgets.

    Returns:
        0 everywhere with fewer samples than folds.
    """
    lead = np.zeros(len(mean_macs))
    if outputs.samples < FOLDS:
        return lead
    fold = np.random.default_rng(0).permutation(outputs.samples) % FOLDS
    for held_out in range(FOLDS):
        seen, fresh = _part(outputs, fold != held_out), _part(outputs, fold == held_out)
        search = Search(seen, costs, Bounds(), slack=0, effort=0)
        search.open(rounds=12, policies=48)
        scores = [
            (score(policy, seen, costs), score(policy, fresh, costs))
            for policy in (Policy(*found) for found in search.policies())
        ]
        macs = [here.mean_macs for here, _ in scores]
        gaps = [here.accuracy - there.accuracy for here, there in scores]
        # Costs differ a little from fold to fold: the cheapest policy stands for lower budgets.
        chosen = np.maximum(np.searchsorted(macs, mean_macs, side="right") - 1, 0)
        lead += np.array(gaps)[chosen] / FOLDS
    return lead


def _part(outputs: ExitOutputs, which: NDArray[np.bool_]) -> ExitOutputs:
    return ExitOutputs(outputs.levels[:, which], outputs.right[:, which])
