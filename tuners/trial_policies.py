"""The policies of a trial: searched thoroughly within the bounds, and briefly beyond them."""

from dataclasses import replace

from eexit_tf.bounds import Bounds
from eexit_tf.costs import ExitCosts
from eexit_tf.outputs import ExitOutputs
from eexit_tf.pareto import pareto_front
from eexit_tf.policies import EFFORT, TOLERANCE, PolicySearch, search_policies

BRIEF = 1e7
"""Effort for points that only guide: good ones are found at once, proofs take the time; less than
a second."""


def trial_policies(outputs: ExitOutputs, costs: ExitCosts, bounds: Bounds) -> PolicySearch:
    """The front over all policies that the network's structure allows.

    Points that cost too much or are not accurate enough guide the search: they say what is just
    out of reach. `gap` is about the policies within all the bounds.
    """
    if bounds == bounds.of_structure:
        return search_policies(outputs, costs, bounds, TOLERANCE)
    within = search_policies(outputs, costs, bounds, TOLERANCE, EFFORT / 2)
    # Where nothing accurate enough is known, only the other search's gap says much.
    effort = BRIEF if within.gap <= TOLERANCE else EFFORT / 2
    beyond = search_policies(outputs, costs, bounds.of_structure, TOLERANCE, effort)
    found = within.found + beyond.found
    scores = [score for _, score in found]
    front = pareto_front([s.correct for s in scores], [s.total_macs for s in scores])
    return replace(
        beyond,
        found=tuple(found[i] for i in front),
        explicit=within.explicit + beyond.explicit,
        gap=min(within.gap, beyond.gap),
    )
