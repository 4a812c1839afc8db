"""Small random problems of choosing a policy, and every policy that there is for one."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, product

import numpy as np
from hypothesis import strategies as st

from eexit_tf.costs import ExitCosts
from eexit_tf.memory import ExitMemory, Needs
from eexit_tf.outputs import ExitOutputs
from eexit_tf.policies import Policy
from eexit_tf.vocabulary import Exit


def every_policy(outputs: ExitOutputs) -> Iterator[Policy]:
    """All policies whose thresholds are levels that occur: the others do the same as these."""
    exits = range(len(outputs.levels))
    levels = [sorted({int(v) for v in row} - {0}) for row in outputs.levels]
    for size in range(1, len(exits) + 1):
        for chosen in combinations(exits, size):
            for early in product(*(levels[i] for i in chosen[:-1])):
                yield Policy(chosen, (*early, 0))


@st.composite
def problems(draw: st.DrawFn) -> tuple[ExitOutputs, ExitCosts]:
    """A few exits and samples, few levels, confidences that know a little; shared taps."""
    exits = draw(st.sampled_from([1, 2, 3, 4, 5, 6, 6]))
    samples = draw(st.sampled_from([1, 2, 3, 5, 8, 12, 30, 30]))
    few = draw(st.integers(1, {4: 5, 5: 4, 6: 3}.get(exits, 5)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    right = rng.random((exits, samples)) < np.linspace(0.4, 0.9, exits)[:, None]
    palette = np.sort(rng.choice(256, few, replace=False))
    if draw(st.booleans()):
        palette[-1] = 255
    skill = draw(st.sampled_from([0.0, 0.3, 0.7]))
    raw = np.clip(rng.random((exits, samples)) * (1 - skill) + skill * right, 0, 0.999)
    levels = palette[(raw * few).astype(int)].astype(np.uint8)
    trunk = np.cumsum(rng.integers(0, 4, exits) * 10) + 5
    heads = rng.integers(0, draw(st.sampled_from([9, 60])), exits)
    costs = some_costs(trunk, heads, int(rng.integers(0, 6)))
    return ExitOutputs(levels, right), replace(costs, memory=some_memory(exits, rng))


def some_costs(trunk: np.ndarray, heads: np.ndarray, decision: int = 1) -> ExitCosts:
    return ExitCosts(
        exits=tuple(Exit(f"block{i}") for i in range(len(trunk))),
        trunk_macs=tuple(int(v) for v in trunk),
        head_macs=tuple(int(v) for v in heads),
        trunk_params=tuple(int(v) * 2 for v in trunk),
        head_params=tuple(int(v) * 3 for v in heads),
        decision=decision,
    )


def some_memory(exits: int, rng: np.random.Generator) -> ExitMemory:
    def needs(sizes: np.ndarray) -> tuple[Needs, ...]:
        return tuple(Needs(*map(int, row)) for row in sizes)

    def sizes() -> np.ndarray:
        return rng.integers(1, 9, (exits, 3))

    trunk, last, more = rng.integers(0, 90, (3, exits))
    trunk_preparation, head_preparation = rng.integers(0, 90, (2, exits))
    return ExitMemory(
        trunks=needs(sizes().cumsum(axis=0)),
        heads=needs(sizes()),
        trunk_peaks=tuple(np.sort(trunk).tolist()),
        early_peaks=tuple((last + more).tolist()),
        last_peaks=tuple(last.tolist()),
        trunk_preparation=tuple(np.sort(trunk_preparation).tolist()),
        head_preparation=tuple(head_preparation.tolist()),
    )
