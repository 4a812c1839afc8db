"""Random points of a space of choices, and children of known ones."""

import itertools
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from keras_tuner.engine.hyperparameters import HyperParameter

Values = dict[str, Any]

MOST_IN_ALL = 10_000
"""Points of a space that are gone through at most."""


def random_point(space: Sequence[HyperParameter], rng: np.random.Generator) -> Values:
    return {p.name: p.values[rng.integers(len(p.values))] for p in space}


def child(
    space: Sequence[HyperParameter], parents: Sequence[Values], rng: np.random.Generator
) -> Values:
    """Uniform crossover of two parents, each the better of two, and one to two mutations.

    Args:
        space: the hyperparameters, all of them choices.
        parents: the best first.
        rng: decides.
    """
    first, second = (parents[min(rng.integers(len(parents), size=2))] for _ in range(2))
    born = {p.name: (first, second)[rng.integers(2)][p.name] for p in space}
    if not space:
        return born
    mutations = min(len(space), int(rng.integers(1, 3)))
    for position in rng.choice(len(space), size=mutations, replace=False):
        parameter = space[position]
        values = parameter.values
        here = values.index(born[parameter.name])
        if parameter.ordered:
            there = int(np.clip(here + rng.choice([-1, 1]), 0, len(values) - 1))
        else:
            there = int(rng.integers(len(values)))
        born[parameter.name] = values[there]
    return born


def every_point(space: Sequence[HyperParameter], rng: np.random.Generator) -> Iterator[Values]:
    """Every point, in random order; of a very large space so many at random."""
    names = [p.name for p in space]
    choices = [p.values for p in space]
    if prod(map(len, choices)) > MOST_IN_ALL:
        yield from (random_point(space, rng) for _ in range(MOST_IN_ALL))
        return
    every = list(itertools.product(*choices))
    for index in rng.permutation(len(every)):
        yield dict(zip(names, every[index], strict=True))
