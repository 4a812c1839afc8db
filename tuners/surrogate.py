"""A surrogate of training: the front that a network would bring, guessed from those of others."""

from collections.abc import Sequence
from itertools import product
from math import log, sqrt
from typing import Any

import numpy as np
from keras_tuner.engine.hyperparameters import HyperParameter
from numpy.typing import NDArray
from scipy.special import ndtr

from eexit_tf.costs import ExitCosts

Array = NDArray[np.float64]

PLACES = np.linspace(0, 1, 9)
"""Where a front is looked at: from its network's cheapest exit (0) to its dearest (1), by the
logarithm of the cost. Every network has all of these places, whatever it costs."""
COSTS = 64
"""Costs at which the expected improvement is summed up."""
SCALES = (0.3, 0.6, 1.2, 2.5, 5.0)
"""Lengths of the kernel that are tried, for hyperparameters and for costs each, relative to the
root of how many there are."""
NOISES = (1e-3, 1e-2, 5e-2, 0.2)
"""Parts of the variance that are tried as noise."""
EXPONENT = 0.15
"""Errors are expected to fall with this power of the MACs (a power law in the size of networks:
Rosenfeld et al. 2020, arXiv 1909.12673). What trials say otherwise is learnt on top of it; without
it, nothing is known of costs far from those that were tried."""
LEAST_ERROR = 1e-3
"""Smaller ones are taken for this one, so that each has a logarithm."""
MOST_TRIALS = 200
"""The best ones, that are learnt from; a fit of so many takes about half a second."""


class Encoder:
    """Networks as vectors: their hyperparameters, and what is known of their costs.

    Args:
        space: the hyperparameters, all of them choices.
        reference_macs: costs are taken relative to this range.
    """

    def __init__(self, space: Sequence[HyperParameter], reference_macs: tuple[float, float]):
        self._space = space
        self._low, self._high = reference_macs

    def hyperparameters(self, values: dict[str, Any]) -> list[float]:
        """From 0 to 1 along ordered choices; unordered ones are all equally far apart."""
        row: list[float] = []
        for parameter in self._space:
            choices = list(parameter.values)
            index = choices.index(values[parameter.name])
            if parameter.ordered:
                row.append(index / max(1, len(choices) - 1))
            else:
                row += [sqrt(0.5) * (index == other) for other in range(len(choices))]
        return row

    def costs(self, costs: ExitCosts) -> list[float]:
        """Range and median of the exits' MACs, and of the parameters, on a logarithmic scale."""
        macs = sorted(costs.alone_macs(i) for i in range(len(costs)))
        params = sorted(costs.params([i]) for i in range(len(costs)))
        ends = [macs[0], macs[len(macs) // 2], macs[-1], params[0], params[-1]]
        return [log(max(end, 1)) / log(self._high / self._low) for end in ends]


def front_places(costs: ExitCosts) -> Array:
    """The logarithms of the mean MACs of a network's `PLACES`."""
    macs = [costs.alone_macs(i) for i in range(len(costs))]
    return log(min(macs)) + PLACES * log(max(macs) / min(macs))


def staircase(points: Sequence[tuple[float, float]], logs: Array) -> Array:
    """The best accuracy of (mean MACs, accuracy) points at each cost; 0 where nothing is so cheap.

    Args:
        points: of a front, in any order.
        logs: logarithms of costs.
    """
    if not points:
        return np.zeros(np.shape(logs))
    macs, accuracies = np.array(sorted(points)).T
    best = np.r_[0.0, np.maximum.accumulate(accuracies)]
    # An exit alone costs whole MACs, of which the logarithm may be a rounding error too low.
    return best[np.searchsorted(np.log(macs) - 1e-9, logs, side="right")]


def errors(accuracies: Array) -> Array:
    """What is wrong, `LEAST_ERROR` at least."""
    return np.maximum(1 - accuracies, LEAST_ERROR)


class FrontSurrogate:
    """A Gaussian process for each place of the front, all with one kernel.

    It is one of the error's logarithm, less what `EXPONENT` expects. The kernel is a Matérn 5/2
    with one length for hyperparameters and one for costs. Lengths and noise are those of a small
    grid with the greatest marginal likelihood (Rasmussen and Williams 2006, sections 2.3 and 5.4):
    no random start, no stopping rule, so the same trials give the same surrogate.

    Args:
        hyperparameters, costs: (trials, features) each, as `Encoder` gives them; the best trials
            first.
        places: (trials, places), the logarithms of their mean MACs.
        accuracies: (trials, places), the fronts there.
    """

    def __init__(
        self, hyperparameters: Array, costs: Array, places: Array, accuracies: Array
    ) -> None:
        self._known = hyperparameters[:MOST_TRIALS], costs[:MOST_TRIALS]
        logs = (np.log(errors(accuracies)) + EXPONENT * places)[:MOST_TRIALS]
        self._mean = logs.mean(axis=0)
        self._scale = np.maximum(logs.std(axis=0), 1e-3)
        target = (logs - self._mean) / self._scale
        squared = [_squared(group, group) for group in self._known]
        best = -np.inf
        for scales in product(SCALES, SCALES):
            # The eigenvectors of a kernel serve for all noises.
            eigenvalues, eigenvectors = np.linalg.eigh(_kernel(squared, scales))
            turned = eigenvectors.T @ target
            for noise in NOISES:
                spectrum = np.maximum(eigenvalues, 0) + noise
                variance = max(float((turned**2 / spectrum[:, None]).mean()), 1e-12)
                likelihood = -target.size * log(variance) / 2
                likelihood -= target.shape[1] * float(np.log(spectrum).sum()) / 2
                if likelihood > best:
                    best = likelihood
                    self._scales, self._variance = scales, variance
                    self._half = eigenvectors / np.sqrt(spectrum)
        self._weights = self._half @ (self._half.T @ target)

    def predict(self, hyperparameters: Array, costs: Array, places: Array) -> tuple[Array, Array]:
        """Median and standard deviation of the accuracy at each place: (networks, places) each.

        The deviation is of the front itself, without the noise of another training, and as large
        as the logarithm's near the median.
        """
        squared = [
            _squared(group, known)
            for group, known in zip((hyperparameters, costs), self._known, strict=True)
        ]
        kernel = _kernel(squared, self._scales)
        expected = self._mean + self._scale * (kernel @ self._weights)
        error = np.exp(np.minimum(expected - EXPONENT * places, 0))
        unexplained = np.maximum(1 - ((kernel @ self._half) ** 2).sum(axis=1), 1e-9)
        return 1 - error, error * self._scale * np.sqrt(self._variance * unexplained)[:, None]


def expected_gains(
    mean: Array,
    deviation: Array,
    places: Array,
    archive: Sequence[tuple[float, float]],
    reference_macs: tuple[float, float],
    min_accuracy: float = 0.0,
) -> Array:
    """The hypervolume that each network's front is expected to add to an archive.

    A front's hypervolume is the integral of its best accuracy over the logarithm of the cost, so
    the expectation of what a front adds is the integral of the expected improvement at each cost
    (Mockus 1978), however the accuracies at different costs depend on one another.

    Args:
        mean, deviation: (networks, places) accuracies.
        places: (networks, places), logarithms of the mean MACs they are expected at.
        archive: its (mean MACs, accuracy) points.
        reference_macs: range of the hypervolume.
        min_accuracy: below it nothing counts.

    Returns:
        (networks,), as parts of the reference range.
    """
    low, high = reference_macs
    logs = np.linspace(log(low), log(high), COSTS, endpoint=False)
    best = np.maximum(staircase(archive, logs), min_accuracy)
    # Interpolate at every level between the two places around it; from the dearest on, flat.
    first, last = places[:, :1], places[:, -1:]
    along = (logs - first) / np.maximum(last - first, 1e-9) * (places.shape[1] - 1)
    within = np.clip(along, 0, places.shape[1] - 1)
    left = np.minimum(within.astype(int), places.shape[1] - 2)
    part = within - left

    def at_levels(table: Array) -> Array:
        start = np.take_along_axis(table, left, axis=1)
        return start + part * (np.take_along_axis(table, left + 1, axis=1) - start)

    spread = at_levels(deviation)
    ahead = at_levels(mean) - best
    score = ahead / spread
    density = np.exp(-0.5 * score**2) / sqrt(2 * np.pi)
    improvement = ahead * ndtr(score) + spread * density
    improvement[along < 0] = 0  # not even the cheapest exit is so cheap
    return improvement.mean(axis=1)


def _squared(a: Array, b: Array) -> Array:
    """Squared distances, (a, b)."""
    return ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2) / max(1, a.shape[1])


def _kernel(squared: Sequence[Array], scales: Sequence[float]) -> Array:
    distance = np.sqrt(5 * sum(s / scale**2 for s, scale in zip(squared, scales, strict=True)))
    return (1 + distance + distance**2 / 3) * np.exp(-distance)
