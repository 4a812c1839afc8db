"""How fast the exact policy search is, against a plain loop and against AEBNAS's thresholds.

    python benchmarks/policy_search.py [--json FILE]

Outputs are synthetic and seeded: a sample has a difficulty that all exits share and luck of its
own at each tap and head; later exits are more often right; confidence is a noisy function of the
distance to the decision boundary, so that part of the samples saturate. Seconds are of processor
time, so that a busy machine does not count.
"""

import argparse
import platform
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from time import process_time
from typing import Any

import numpy as np

from eexit_tf.bounds import Bounds
from eexit_tf.costs import ExitCosts, decision_macs
from eexit_tf.files import write_json
from eexit_tf.outputs import ExitOutputs
from eexit_tf.pareto import pareto_front
from eexit_tf.policies import Policy, PolicyScore, PolicySearch, score, search_policies
from eexit_tf.policy_search import Search
from eexit_tf.threshold_grid import aebnas_policies
from eexit_tf.vocabulary import LEVELS, Exit

CLASSES = 10
HEADS = (8_000, 30_000, 90_000)  # MACs


def draw(seed: int, samples: int, taps: int, heads: int) -> ExitOutputs:
    """Outputs of one network (the same for the same taps and heads) on fresh samples."""
    rng = np.random.default_rng(seed)
    accuracy = np.repeat(np.linspace(0.6, 0.9, taps), heads) + np.tile(
        np.linspace(0, 0.03, heads), taps
    )
    mean = np.array([NormalDist().inv_cdf(a) for a in accuracy])[:, None]
    difficulty = rng.normal(size=samples)
    tap = np.repeat(rng.normal(size=(taps, samples)), heads, axis=0)
    head = rng.normal(size=(taps * heads, samples))
    own = 0.9 * tap + np.sqrt(1 - 0.9**2) * head if heads > 1 else tap
    margin = mean + np.sqrt(0.75) * difficulty + np.sqrt(0.25) * own
    seen = np.abs(margin + 0.3 * rng.normal(size=margin.shape))
    # Odds against the other classes together: 1 in 10 at the boundary of knowing nothing.
    confidence = 1 / (1 + (CLASSES - 1) * np.exp(-5 * seen))
    levels = np.clip(np.rint(confidence * LEVELS), 0, LEVELS - 1).astype(np.uint8)
    return ExitOutputs(levels, margin > 0)


def network(taps: int, heads: int) -> ExitCosts:
    trunk = np.repeat(np.linspace(1, taps, taps) ** 1.2 * 1e6, heads).astype(int)
    head = np.tile(HEADS[:heads], taps) if heads > 1 else np.full(taps, HEADS[1])
    return ExitCosts(
        exits=tuple(Exit(f"tap{i // heads}", f"head{i % heads}") for i in range(taps * heads)),
        trunk_macs=tuple(trunk.tolist()),
        head_macs=tuple(head.tolist()),
        trunk_params=tuple((trunk // 50).tolist()),
        head_params=tuple((head // 10).tolist()),
        decision=decision_macs(CLASSES),
    )


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    begin = process_time()
    return call(), process_time() - begin


def some_policies(exits: int, number: int) -> list[Policy]:
    """Policies drawn from all of them, for the plain loop."""
    rng = np.random.default_rng(0)
    policies = []
    for _ in range(number):
        used = rng.random(exits) < LEVELS / (LEVELS + 1)
        used[-1] = True
        chosen = np.flatnonzero(used).tolist()
        early = rng.integers(1, LEVELS, len(chosen) - 1).tolist()
        policies.append(Policy(tuple(chosen), (*early, 0)))
    return policies


def aebnas(outputs: ExitOutputs, costs: ExitCosts) -> list[PolicyScore]:
    """The front over AEBNAS's grid on softmax confidence."""
    scores = [score(policy, outputs, costs) for policy in aebnas_policies(len(costs))]
    front = pareto_front([s.correct for s in scores], [s.total_macs for s in scores])
    return [scores[i] for i in front]


def dominated(scores: list[PolicyScore], search: PolicySearch) -> bool:
    """Whether each score has a found policy at least as good in both."""
    return all(
        any(f.correct >= s.correct and f.total_macs <= s.total_macs for _, f in search.found)
        for s in scores
    )


def size_case(samples: int, taps: int, heads: int, tolerance: float, effort: float) -> dict:
    outputs, costs = draw(1, samples, taps, heads), network(taps, heads)
    search, seconds = timed(
        lambda: search_policies(outputs, costs, tolerance=tolerance, effort=effort)
    )
    policies = some_policies(len(costs), 300)
    _, plain = timed(lambda: [score(policy, outputs, costs) for policy in policies])
    every = search.evaluated_policies
    return {
        "samples": samples,
        "exits": f"{taps}x{heads}",
        "levels": int(np.mean([len(np.unique(row)) for row in outputs.levels])),
        "saturated": round(float((outputs.levels == LEVELS - 1).mean()), 2),
        "policies": every,
        "tolerance": tolerance,
        "seconds": round(seconds, 2),
        "proven_gap": round(search.gap, 4),
        "points": len(search.found),
        "scored": search.explicit,
        # Only of a finished search can it be said that it accounted for all of them.
        "policies_per_second": every / seconds if search.gap <= tolerance else None,
        "plain_loop_policies_per_second": round(len(policies) / plain),
        "plain_loop_seconds_extrapolated": plain / len(policies) * every,
    }


def seconds_to_dominate(
    scores: list[PolicyScore], outputs: ExitOutputs, costs: ExitCosts
) -> float | None:
    """How long the search's opening takes until no score is better than what it knows."""

    def open_with(rounds: int) -> Search:
        search = Search(outputs, costs, Bounds(), slack=0, effort=0)
        search.open(rounds, policies=8)
        return search

    for rounds in range(1, 13):
        search, seconds = timed(lambda rounds=rounds: open_with(rounds))
        known = search.known.cheapest
        if all(known[s.correct] <= s.total_macs for s in scores):
            return seconds
    return None


def aebnas_case(samples: int) -> dict:
    outputs, costs = draw(2, samples, 4, 1), network(4, 1)
    theirs, their_seconds = timed(lambda: aebnas(outputs, costs))
    ours, our_seconds = timed(lambda: search_policies(outputs, costs))
    best = max(s.correct for s in theirs)
    equal = [s.mean_macs for _, s in ours.found if s.correct >= best]
    most = next(s.total_macs for s in theirs if s.correct == best)
    return {
        "samples": samples,
        "their_policies": 3**4 - 1,
        "their_points": len(theirs),
        "their_seconds": round(their_seconds, 3),
        "our_policies": ours.evaluated_policies,
        "our_points": len(ours.found),
        "our_seconds": round(our_seconds, 3),
        "our_gap": ours.gap,
        "dominates": dominated(theirs, ours),
        "our_opening_dominates_after": seconds_to_dominate(theirs, outputs, costs),
        "their_best": f"{best / samples:.2%} at {most / samples / 1e6:.2f} M",
        "ours_as_accurate": f"{min(equal) / 1e6:.2f} M",
        "ours_as_cheap": f"{max(f.accuracy for _, f in ours.found if f.total_macs <= most):.2%}",
    }


def optimism_case(samples: int, taps: int, heads: int, draws: int = 3) -> dict:
    """How much better the found policies look on the samples they were chosen on."""
    costs = network(taps, heads)
    differences, best = [], []
    for seed in range(draws):
        outputs = draw(100 + seed, samples, taps, heads)
        test = draw(900 + seed, 20_000, taps, heads)
        search = search_policies(outputs, costs, effort=1e8)
        lead = [s.accuracy - score(policy, test, costs).accuracy for policy, s in search.found]
        differences.extend(lead)
        best.append(lead[-1])
    return {
        "validation_samples": samples,
        "exits": f"{taps}x{heads}",
        "points": len(differences),
        "mean_optimism": round(float(np.mean(differences)), 4),
        "worst_optimism": round(float(np.max(differences)), 4),
        "most_accurate_point": round(float(np.mean(best)), 4),
    }


def show(title: str, rows: list[dict]) -> None:
    print(f"\n{title}")
    for name in rows[0]:
        cells = (f"{v:.3g}" if isinstance(v := row[name], float) else str(v) for row in rows)
        cells = (f"{float(c):.3g}" if c.isdigit() and len(c) > 9 else c for c in cells)
        print(f"  {name:34}" + "".join(f"{cell:>18}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    environment = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "cores_used": 1,
    }
    print("  ".join(f"{name} {value}" for name, value in environment.items()))
    sizes = [
        size_case(360, 4, 1, 0.0, 1e9),
        size_case(360, 6, 1, 0.0, 1e9),
        size_case(360, 4, 3, 0.0, 1e9),
        size_case(360, 6, 3, 0.0, 1e9),
        size_case(10_000, 4, 1, 0.0, 2e9),
        size_case(10_000, 6, 1, 0.001, 2e9),
        size_case(10_000, 8, 1, 0.001, 2e9),
        size_case(10_000, 4, 3, 0.001, 2e9),
    ]
    show("Search (the plain loop's seconds are extrapolated from 300 policies)", sizes)
    against = [aebnas_case(360), aebnas_case(10_000)]
    show("Against AEBNAS's thresholds {0.1, 0.2, 1} on 4 exits", against)
    optimism = [
        optimism_case(360, 4, 1),
        optimism_case(360, 6, 3),
        optimism_case(2_000, 6, 1),
        optimism_case(10_000, 6, 1),
    ]
    show("Accuracy on validation less accuracy on 20,000 fresh test samples", optimism)
    if arguments.json:
        report = {
            "environment": environment,
            "search": sizes,
            "aebnas": against,
            "optimism": optimism,
        }
        write_json(arguments.json, report)


if __name__ == "__main__":
    main()
