"""Pareto fronts of accuracy against cost: which points count, and how much area they cover."""

from collections.abc import Iterable
from math import log

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pareto_front(accuracy: ArrayLike, cost: ArrayLike) -> NDArray[np.intp]:
    """Indices of the points that no other point dominates, cheapest first.

    A point dominates another if it is at least as accurate and at most as costly and not equal
    in both. Of points equal in both, the first is kept.

    Args:
        accuracy: (points,), more is better; integers are compared as integers.
        cost: (points,), less is better.
    """
    accuracy, cost = np.asarray(accuracy), np.asarray(cost)
    if accuracy.shape != cost.shape or accuracy.ndim != 1:
        raise ValueError(
            f"accuracy and cost must be of one length, but are {accuracy.shape} and {cost.shape}"
        )
    if not accuracy.size:
        return np.zeros(0, np.intp)
    rank = np.unique(accuracy, return_inverse=True)[1]  # unsigned accuracies cannot be negated
    order = np.lexsort((-rank, cost))
    best = np.maximum.accumulate(accuracy[order])
    return order[np.r_[True, best[1:] > best[:-1]]]


def hypervolume(
    points: Iterable[tuple[float, float]], reference_macs: tuple[float, float]
) -> float:
    """Area under the front over log(mean MACs), as a part of the reference range: 0 to 1.

    At each cost between the references the best accuracy that can be had for it counts; 0 where
    nothing is that cheap. Cost is on a logarithmic scale, since halving it is worth as much at
    1 M as at 10 M. The measure is Zitzler and Thiele's (IEEE TEC 3(4), 1999), in two dimensions.

    Args:
        points: (mean MACs, accuracy from 0 to 1) of each point, in any order.
        reference_macs: (low, high) ends of the range. Cheaper points count from `low`; points
            beyond `high` count nothing.
    """
    low, high = reference_macs
    if not 0 < low < high:
        raise ValueError(f"0 < low < high must hold for the references, but got {reference_macs}")
    inside = sorted((max(macs, low), accuracy) for macs, accuracy in points if macs < high)
    area, best, reached = 0.0, 0.0, low
    for macs, accuracy in inside:
        area += best * log(macs / reached)
        best, reached = max(best, accuracy), macs
    return (area + best * log(high / reached)) / log(high / low)


def hypervolume_gain(
    points: Iterable[tuple[float, float]],
    archive: Iterable[tuple[float, float]],
    reference_macs: tuple[float, float],
) -> float:
    """The hypervolume that `points` add to `archive`; arguments as in `hypervolume`."""
    known = list(archive)
    gain = hypervolume([*known, *points], reference_macs) - hypervolume(known, reference_macs)
    return max(gain, 0.0)


def pareto_rank(accuracy: ArrayLike, cost: ArrayLike, violation: ArrayLike) -> NDArray[np.intp]:
    """The front each point belongs to: 0 if nothing dominates it, 1 without front 0, and so on.

    Non-dominated sorting with constrained dominance (Deb et al., IEEE TEC 6(2), 2002, sections
    III-A and VI): a point that keeps its bounds beats one that does not, the smaller violation
    beats the larger one, and points that all keep them compare by accuracy and cost.

    Args:
        accuracy: (points,), more is better.
        cost: (points,), less is better.
        violation: (points,), 0 where the bounds are kept, otherwise by how much they are not.
    """
    accuracy, cost, violation = map(np.asarray, (accuracy, cost, violation))
    if not accuracy.shape == cost.shape == violation.shape or accuracy.ndim != 1:
        raise ValueError(
            f"accuracy, cost and violation must be of one length, but are {accuracy.shape}, "
            f"{cost.shape} and {violation.shape}"
        )
    no_worse = (accuracy[:, None] >= accuracy) & (cost[:, None] <= cost)
    better = no_worse & ~no_worse.T
    beats = np.where(
        violation[:, None] == violation,
        better & (violation == 0),
        violation[:, None] < violation,
    )
    ranks = np.full(len(accuracy), -1, np.intp)
    rank = 0
    while (ranks < 0).any():
        left = np.flatnonzero(ranks < 0)
        ranks[left[~beats[np.ix_(left, left)].any(axis=0)]] = rank
        rank += 1
    return ranks
