"""Which network to train next, given what came of those that were trained."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras_tuner.engine.hyperparameters import HyperParameter

from eexit_tf.costs import ExitCosts
from eexit_tf.tuners.evolution import Values, child, every_point, random_point
from eexit_tf.tuners.surrogate import (
    Array,
    Encoder,
    FrontSurrogate,
    expected_gains,
    front_places,
    staircase,
)

FEWEST_LEARNT = 3
"""Finished trials before anything is learnt from them."""
CANDIDATES = 200
"""Networks that a proposal starts from. Their costs are counted; nothing is trained."""
GENERATIONS = 3
CHILDREN = 0.3
"""Of each generation, by candidates."""
PARENTS = 12
"""Candidates of the largest expected gain, which have the next generation's children."""


@dataclass(frozen=True)
class Finished:
    """A network that was trained.

    Attributes:
        values: its hyperparameters.
        points: (mean MACs, accuracy) of its front; none if it learnt nothing.
    """

    values: Values
    points: Sequence[tuple[float, float]]


class Proposer:
    """Proposes the candidate whose whole front is expected to add the most hypervolume.

    Candidates are random networks, children of the trials that rank best, and generations of
    children of the candidates that are expected to add the most. What a network costs is known
    without training, so none is a candidate that cannot keep the bounds. While too little is
    known to learn from, the candidate is taken that differs most from what was tried.

    Args:
        space: the hyperparameters, all of them choices.
        reference_macs: from where to where hypervolumes count.
        rejected: tells of values that they cannot keep the bounds.
        costs: gives the costs of a network's candidate exits.
        canonical: gives the values that stand for all that build the same network.
        smallest: gives the cheapest networks of the space, if they are known.
        min_accuracy: below it a point counts nothing.
        candidates: networks that a proposal starts from.
    """

    def __init__(
        self,
        space: Sequence[HyperParameter],
        *,
        reference_macs: tuple[float, float],
        rejected: Callable[[Values], bool],
        costs: Callable[[Values], ExitCosts],
        canonical: Callable[[Values], Values],
        smallest: Callable[[], Iterable[Values]] = tuple,
        min_accuracy: float = 0.0,
        candidates: int = CANDIDATES,
    ) -> None:
        self._space = space
        self._candidates = candidates
        self._reference_macs = reference_macs
        self._rejected = rejected
        self._costs = costs
        self._canonical = canonical
        self._smallest = smallest
        self._min_accuracy = min_accuracy
        self._encoder = Encoder(space, reference_macs)
        self._networks: dict[tuple[Any, ...], _Network | None] = {}

    def propose(
        self,
        rng: np.random.Generator,
        finished: Sequence[Finished],
        running: Sequence[Values] = (),
    ) -> Values | None:
        """The next network's values; `None` if there is none left.

        Args:
            rng: draws the candidates.
            finished: the best first.
            running: of trials that are being trained; they are taken to bring the fronts that
                are expected of them.
        """
        tried = {_key(trial.values) for trial in finished} | {_key(values) for values in running}
        pool = self._new((random_point(self._space, rng) for _ in range(self._candidates)), tried)
        if len(finished) < FEWEST_LEARNT:
            others = [self._network(trial.values) for trial in finished]
            others += [self._network(values) for values in running]
            pool.sort(key=lambda network: -_distance(network, others))
        else:
            gains = self._judge(finished, running)
            parents = [trial.values for trial in finished]
            family = range(round(CHILDREN * self._candidates))
            for _ in range(GENERATIONS):
                children = (child(self._space, parents, rng) for _ in family)
                pool += self._new(children, tried | {_key(network.values) for network in pool})
                pool = [pool[i] for i in np.argsort(-gains(pool), kind="stable")]
                parents = [network.values for network in pool[:PARENTS]] or parents
        if not pool:
            few = itertools.chain(self._near_smallest(rng), every_point(self._space, rng))
            pool = self._new(few, tried, most=1)
        return pool[0].values if pool else None

    def _near_smallest(self, rng: np.random.Generator) -> Iterator[Values]:
        """The smallest networks and children of theirs, where bounds leave hardly any others."""
        parents = [network.values for network in self._new(self._smallest(), set())]
        yield from parents
        if parents:
            yield from (child(self._space, parents, rng) for _ in range(self._candidates))

    def _judge(
        self, finished: Sequence[Finished], running: Sequence[Values]
    ) -> "Callable[[list[_Network]], Array]":
        networks = [self._network(trial.values) for trial in finished]
        accuracies = np.stack(
            [
                staircase(trial.points, network.places)
                for trial, network in zip(finished, networks, strict=True)
            ]
        )
        learnt = np.array([bool(trial.points) for trial in finished])
        if learnt.any():  # what learnt nothing is taken to be as bad as the worst
            accuracies[~learnt] = accuracies[learnt].min(axis=0)
        surrogate = FrontSurrogate(*_features(networks), accuracies)
        archive = [point for trial in finished for point in trial.points]
        if running:
            expected = [self._network(values) for values in running]
            means, _ = surrogate.predict(*_features(expected))
            for network, mean in zip(expected, means, strict=True):
                archive += zip(np.exp(network.places).tolist(), mean.tolist(), strict=True)

        def gains(pool: list[_Network]) -> Array:
            if not pool:
                return np.zeros(0)
            return expected_gains(
                *surrogate.predict(*_features(pool)),
                np.stack([network.places for network in pool]),
                archive,
                self._reference_macs,
                self._min_accuracy,
            )

        return gains

    def _new(
        self, points: Iterable[Values], tried: set[tuple[Any, ...]], most: int | None = None
    ) -> "list[_Network]":
        """The networks among the points that keep the bounds and were not tried, each once."""
        found: dict[tuple[Any, ...], _Network] = {}
        for values in map(self._canonical, points):
            key = _key(values)
            if key in tried or key in found:
                continue
            if key not in self._networks:
                self._networks[key] = None if self._rejected(values) else self._described(values)
            network = self._networks[key]
            if network is not None:
                found[key] = network
                if len(found) == most:
                    break
        return list(found.values())

    def _network(self, values: Values) -> "_Network":
        return self._networks.get(_key(values)) or self._described(values)

    def _described(self, values: Values) -> "_Network":
        costs = self._costs(values)
        return _Network(
            values,
            np.array(self._encoder.hyperparameters(values)),
            np.array(self._encoder.costs(costs)),
            front_places(costs),
        )


@dataclass(frozen=True)
class _Network:
    """What is known of a network without training; see `surrogate` for the vectors."""

    values: Values
    hyperparameters: Array
    costs: Array
    places: Array


def _features(networks: Sequence[_Network]) -> tuple[Array, Array, Array]:
    """Hyperparameters, costs and places, as `FrontSurrogate` takes them."""
    return (
        np.stack([network.hyperparameters for network in networks]),
        np.stack([network.costs for network in networks]),
        np.stack([network.places for network in networks]),
    )


def _distance(network: _Network, others: Sequence[_Network]) -> float:
    """From the nearest of the others."""
    return min(
        (
            float(
                np.mean((network.hyperparameters - other.hyperparameters) ** 2)
                + np.mean((network.costs - other.costs) ** 2)
            )
            for other in others
        ),
        default=0.0,
    )


def _key(values: Values) -> tuple[Any, ...]:
    return tuple(sorted(values.items()))
