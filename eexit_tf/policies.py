"""Policies: which exits a network uses and from which confidence samples leave there.

A policy is any non-empty subset of the candidate exits, in the order of execution, with a
threshold from 1 to 255 at each of them but the last, whose threshold is 0. Other thresholds add
nothing: 0 earlier would make that exit the last one, and 256 (nobody leaves) is the policy
without that exit, only dearer. Over E exits that makes 1 + 256 + ... + 256^(E-1) policies.

`score` is the definition of what a policy does. `search_policies` finds the best of all of them
(see `policy_search` for how).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from eexit_tf.bounds import Bounds
from eexit_tf.costs import ExitCosts
from eexit_tf.errors import UserError
from eexit_tf.outputs import ExitOutputs
from eexit_tf.policy_search import Search
from eexit_tf.policy_search.bits import MOST_EXITS
from eexit_tf.vocabulary import LEVELS, ExitUse, Front, OperatingPoint

TOLERANCE = 0.001
"""Accuracy that a search over one of many networks may miss; nothing at all with fewer than 1,000
samples."""
EFFORT = 1e9
"""Numbers that a search may look at, 3e7 to 1e8 a second."""


@dataclass(frozen=True)
class Policy:
    """Exits that are used, and from which confidence samples leave there.

    Attributes:
        exits: ascending indices of the candidate exits.
        thresholds: levels; 1 to 255 at each exit but the last, 0 at the last.
    """

    exits: tuple[int, ...]
    thresholds: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.exits or list(self.exits) != sorted(set(self.exits)) or self.exits[0] < 0:
            raise ValueError(f"a policy needs exits in ascending order, but has {self.exits}")
        *early, last = self.thresholds or (None,)
        if (
            len(self.thresholds) != len(self.exits)
            or last != 0
            or not all(0 < level < LEVELS for level in early)
        ):
            raise ValueError(
                f"a policy needs a threshold from 1 to {LEVELS - 1} at each exit and 0 at the "
                f"last one, but has {self.thresholds} at the exits {self.exits}"
            )


@dataclass(frozen=True)
class PolicyScore:
    """What a policy does on some samples, in integers.

    Attributes:
        correct: samples answered right.
        total_macs: multiply-accumulates, summed over the samples.
        samples: how many there were.
        leaves: how many left at each of the policy's exits.
        max_macs: multiply-accumulates of a sample that leaves at the last exit.
        params: weights and biases of the network with just these exits.
        flash_bytes, arena_bytes: of its file, estimated; none if unknown.
    """

    correct: int
    total_macs: int
    samples: int
    leaves: tuple[int, ...]
    max_macs: int
    params: int
    flash_bytes: int | None = None
    arena_bytes: int | None = None

    @property
    def accuracy(self) -> float:
        return self.correct / self.samples

    @property
    def mean_macs(self) -> float:
        return self.total_macs / self.samples

    def meets(self, bounds: Bounds) -> bool:
        """As `OperatingPoint.meets`."""
        return bounds.allow(
            accuracy=self.accuracy,
            mean_macs=self.mean_macs,
            max_macs=self.max_macs,
            params=self.params,
            flash_bytes=self.flash_bytes,
            arena_bytes=self.arena_bytes,
        )


def score(policy: Policy, outputs: ExitOutputs, costs: ExitCosts) -> PolicyScore:
    """What a policy does: each sample leaves at its first exit whose threshold it reaches."""
    _check(outputs, costs)
    if policy.exits[-1] >= len(costs):
        raise ValueError(f"the policy uses the exits {policy.exits} of {len(costs)}")
    leave_macs = costs.leave_macs(policy.exits)
    remaining = np.ones(outputs.samples, np.bool_)
    correct, leaves = 0, []
    for index, threshold in zip(policy.exits, policy.thresholds, strict=True):
        leaving = remaining & (outputs.levels[index] >= threshold)
        correct += int(np.count_nonzero(outputs.right[index] & leaving))
        leaves.append(int(np.count_nonzero(leaving)))
        remaining ^= leaving
    return PolicyScore(
        correct=correct,
        total_macs=sum(n * macs for n, macs in zip(leaves, leave_macs, strict=True)),
        samples=outputs.samples,
        leaves=tuple(leaves),
        **costs.size(policy.exits),
    )


@dataclass(frozen=True)
class PolicySearch:
    """What `search_policies` found.

    Attributes:
        found: the non-dominated policies within the bounds and their scores, by mean MACs.
        exits: how many candidate exits there were.
        explicit: how many times a policy was really scored; bounds excluded the others.
        gap: no policy within the bounds is more accurate than the found ones at its mean MACs
            by more than this (from 0 to 1). Proven; 0 is exact.
    """

    found: tuple[tuple[Policy, PolicyScore], ...]
    exits: int
    explicit: int
    gap: float

    @cached_property
    def evaluated_policies(self) -> int:
        """The number of policies accounted for, scored or excluded by a bound: all there are.

        `gap` says how tightly: of a search that ran out of effort it is more than the tolerance.
        """
        return sum(LEVELS**early for early in range(self.exits))


def search_policies(
    outputs: ExitOutputs,
    costs: ExitCosts,
    bounds: Bounds | None = None,
    tolerance: float = 0.0,
    effort: float = EFFORT,
) -> PolicySearch:
    """The Pareto front over all policies: every subset of the exits with every threshold.

    For every policy within the bounds one is found with at most its mean MACs and at least its
    accuracy less `PolicySearch.gap`. The gap is at most the tolerance, and 0 misses nothing, unless
    the effort did not suffice: then the gap is larger and says what could be proven.

    Of the thresholds that do the same on these samples the one halfway between the two levels
    that it separates is taken (rounded up).

    Args:
        outputs: of all candidate exits, on validation samples.
        costs: of the same exits.
        bounds: policies that do not keep them are not found. Those on flash and arena need costs
            that estimate them.
        tolerance: accuracy that may be missed, 0 to 1; larger is faster.
        effort: numbers that may be looked at, 3e7 to 1e8 a second. A search that needs more stops
            there and says in `gap` what it can prove. The same effort gives the same result.

    Raises:
        UserError: more exits than the search can take.
    """
    _check(outputs, costs)
    if len(costs) > MOST_EXITS:
        raise UserError(
            f"there are {len(costs)} exits to choose from; expected {MOST_EXITS} at most: leave "
            f"some out"
        )
    if not 0 <= tolerance <= 1:
        raise ValueError(f"the tolerance must be from 0 to 1, but is {tolerance}")
    bounds = bounds or Bounds()
    search = Search(outputs, costs, bounds, int(tolerance * outputs.samples + 1e-9), effort)
    search.run()
    scored = []
    for exits, thresholds in search.policies():
        policy = Policy(exits, thresholds)
        result = score(policy, outputs, costs)
        if result.meets(bounds):
            scored.append((policy, result))
    return PolicySearch(
        found=tuple(scored),
        exits=len(costs),
        explicit=search.known.offered,
        gap=min(search.missed / outputs.samples, 1.0),
    )


def policy_points(
    search: PolicySearch, outputs: ExitOutputs, costs: ExitCosts, trial: str = ""
) -> Front:
    """The found policies as a front; `outputs` and `costs` as given to the search.

    Ids are `trial-0`, `trial-1`, ... by mean MACs, or `p0`, `p1`, ... without a trial.
    """
    from eexit_tf.policy_optimism import optimism

    _check(outputs, costs)
    lead = optimism(outputs, costs, [result.mean_macs for _, result in search.found])
    points = []
    for number, (policy, result) in enumerate(search.found):
        uses = zip(
            policy.exits,
            policy.thresholds,
            result.leaves,
            costs.leave_macs(policy.exits),
            strict=True,
        )
        points.append(
            OperatingPoint(
                id=f"{trial}-{number}" if trial else f"p{number}",
                trial=trial,
                val_accuracy=result.accuracy,
                mean_macs=result.mean_macs,
                **costs.size(policy.exits),
                exits=tuple(
                    ExitUse(
                        at=costs.exits[index].at,
                        head=costs.exits[index].head,
                        threshold=level / LEVELS,
                        share=leaves / result.samples,
                        macs=macs,
                    )
                    for index, level, leaves, macs in uses
                ),
                expected_accuracy=max(result.accuracy - max(float(lead[number]), 0.0), 0.0),
            )
        )
    return Front(tuple(points), search.evaluated_policies, search.gap)


def _check(outputs: ExitOutputs, costs: ExitCosts) -> None:
    if len(outputs.levels) != len(costs) or not len(costs):
        raise ValueError(
            f"outputs and costs must be of the same exits, at least one, but are of "
            f"{len(outputs.levels)} and {len(costs)}"
        )
    if not outputs.samples:
        raise ValueError("a policy cannot be judged without samples")
