"""Search over all policies, exact or with a proven gap: an opening and two branch-and-bounds.

`neighbours` finds good policies to compare with. `branches` grows policies exit by
exit, which ends soon where samples are few, even with many exits. If it does not, `cuts`
cuts intervals of thresholds, which ends where exits are few, even with many samples. Each proves a
bound on what is missed; the better one counts.
"""

from collections.abc import Iterator
from functools import cache

from eexit_tf.bounds import Bounds
from eexit_tf.costs import ExitCosts
from eexit_tf.outputs import ExitOutputs
from eexit_tf.policy_search.branch_tables import MOST_SAMPLES
from eexit_tf.policy_search.branches import BATCH, Branches
from eexit_tf.policy_search.cuts import Cuts
from eexit_tf.policy_search.known import Known, limits
from eexit_tf.policy_search.neighbours import Neighbours
from eexit_tf.policy_search.tables import Tables

BRANCHING = 0.02
"""Part of the effort that goes into branching before boxes are cut: where it ends, it ends soon."""
FEW = 4
"""Exits with which it always does: behind the first one, `endgame` scores all that can follow."""


class Search:
    """See the module.

    Args:
        slack: right answers that the found policies may miss.
        effort: how many numbers may be looked at, 3e7 to 1e8 a second, before the search stops.

    `missed` says after `run` what is proven: no policy has more right answers than a found one at
    its cost by more than this.
    """

    def __init__(
        self, outputs: ExitOutputs, costs: ExitCosts, bounds: Bounds, slack: int, effort: float
    ) -> None:
        self.tables = Tables(outputs, costs)
        self._allowed = cache(lambda exits: costs.keep(exits, bounds))
        self.known = Known(outputs.samples, *limits(bounds, outputs.samples))
        self.effort, self.slack, self.missed = effort, slack, slack

    def run(self) -> None:
        """Search until nothing is left to find, or the effort is spent."""
        self.open(rounds=20, policies=48)
        samples, exits = self.tables.samples, self.tables.exits
        missed, effort = samples, self.effort
        branching = effort if exits <= FEW else BRANCHING * effort
        if samples <= MOST_SAMPLES and BATCH * samples * exits <= branching:
            branches = Branches(self.tables, self.known, self._allowed, self.slack, branching)
            branches.run()
            missed, effort = branches.missed, effort - branching
        if missed > self.slack:
            cuts = Cuts(self.tables, self.known, self._allowed, self.slack, effort)
            cuts.run()
            missed = min(missed, cuts.missed)
        self.missed = missed

    def open(self, rounds: int, policies: int) -> None:
        """Find good policies to compare with; see `neighbours`."""
        Neighbours(self.tables, self.known, self._allowed).run(rounds, policies)

    def policies(self) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Exits and thresholds of the policies found, by cost, none dominated."""
        for _, path in self.known.front():
            yield self.tables.canonical(path)
