"""What is expected of networks that nobody has trained, by hand and by drawing."""

from itertools import product
from math import inf, log
from unittest.mock import patch

import numpy as np
import pytest
from keras_tuner.engine.hyperparameters import Choice
from scipy.stats import multivariate_normal
from sklearn.gaussian_process.kernels import Matern

from eexit_tf.costs import ExitCosts
from eexit_tf.pareto import hypervolume_gain
from eexit_tf.tuners import surrogate
from eexit_tf.tuners.surrogate import (
    EXPONENT,
    LEAST_ERROR,
    NOISES,
    PLACES,
    SCALES,
    Encoder,
    FrontSurrogate,
    errors,
    expected_gains,
    front_places,
    staircase,
)
from eexit_tf.vocabulary import Exit

REFERENCE = (10.0, 1e5)
COSTS = ExitCosts(
    exits=(Exit("a"), Exit("b"), Exit("c")),
    trunk_macs=(100, 200, 1000),
    head_macs=(0, 600, 0),
    trunk_params=(1, 1, 100),
    head_params=(9, 999, 0),
    decision=5,
)


def test_networks_lie_along_ordered_choices_and_one_apart_across_others() -> None:
    space = [
        Choice("width", [4, 8, 16], ordered=True),
        Choice("only", [7], ordered=True),
        Choice("family", ["x", "y", "z"], ordered=False),
    ]
    encoder = Encoder(space, REFERENCE)
    rows = {
        family: np.array(encoder.hyperparameters({"width": 8, "only": 7, "family": family}))
        for family in "xyz"
    }
    for row in rows.values():
        assert row[:2].tolist() == [0.5, 0]
    for one, other in ("xy", "yz", "xz"):
        assert np.linalg.norm(rows[one] - rows[other]) == pytest.approx(1)


def test_costs_are_the_range_and_the_median_of_macs_and_the_range_of_parameters() -> None:
    expected = np.log([100, 800, 1000, 10, 1000]) / log(1e4)
    assert Encoder([], REFERENCE).costs(COSTS) == pytest.approx(expected)


def test_places_go_from_the_cheapest_exit_to_the_dearest() -> None:
    places = np.exp(front_places(COSTS))
    assert places == pytest.approx(np.geomspace(100, 1000, len(PLACES)))


def test_a_staircase_is_the_best_accuracy_for_the_money() -> None:
    points = [(100, 0.6), (10, 0.5), (20, 0.4)]
    logs = np.log([9, 10, 20, 99, 100, 1000])
    assert staircase(points, logs).tolist() == [0, 0.5, 0.5, 0.5, 0.6, 0.6]
    assert staircase([], logs).tolist() == [0] * 6


def test_every_error_has_a_logarithm() -> None:
    assert errors(np.array([0.75, 1.0])).tolist() == [0.25, LEAST_ERROR]


def networks(count: int, seed: int) -> tuple[np.ndarray, ...]:
    """Hyperparameters, costs, places and accuracies that depend on all of them."""
    rng = np.random.default_rng(seed)
    hyperparameters, costs = rng.random((count, 3)), rng.random((count, 2))
    places = rng.uniform(log(1e3), log(1e4), (count, 1)) + log(50) * PLACES
    accuracies = 0.3 + 0.2 * hyperparameters[:, :1] + 0.1 * costs[:, 1:] + 0.2 * PLACES
    return hyperparameters, costs, places, accuracies + rng.normal(0, 0.01, accuracies.shape)


def test_the_surrogate_is_the_likeliest_gaussian_process_of_its_grid() -> None:
    hyperparameters, costs, places, accuracies = networks(12, seed=0)
    *new, new_places, _ = networks(5, seed=1)
    logs = np.log(1 - accuracies) + EXPONENT * places
    mean, scale = logs.mean(axis=0), logs.std(axis=0)
    target, known = (logs - mean) / scale, np.hstack([hyperparameters, costs])
    likeliest = -inf
    for one, other, noise in product(SCALES, SCALES, NOISES):
        matern = Matern([one * 3**0.5] * 3 + [other * 2**0.5] * 2, nu=2.5)
        kernel = matern(known) + noise * np.eye(12)
        variance = (target * np.linalg.solve(kernel, target)).mean()
        likelihood = multivariate_normal(cov=variance * kernel).logpdf(target.T).sum()
        if likelihood > likeliest:
            likeliest, cross = likelihood, matern(np.hstack(new), known)
            expected = mean + scale * (cross @ np.linalg.solve(kernel, target))
            explained = (cross * np.linalg.solve(kernel, cross.T).T).sum(axis=1)
            deviation = scale * np.sqrt(variance * (1 - explained))[:, None]
    error = np.exp(expected - EXPONENT * new_places)
    made = FrontSurrogate(hyperparameters, costs, places, accuracies)
    found = made.predict(*new, new_places)
    assert found[0] == pytest.approx(1 - error)
    assert found[1] == pytest.approx(error * deviation)


def test_it_learns_from_the_best_trials_only() -> None:
    known, new = networks(14, seed=0), networks(5, seed=1)[:3]
    expected = FrontSurrogate(*(table[:12] for table in known)).predict(*new)
    with patch.object(surrogate, "MOST_TRIALS", 12):
        np.testing.assert_array_equal(FrontSurrogate(*known).predict(*new), expected)


def test_a_sure_front_is_expected_to_gain_what_it_adds() -> None:
    places = np.log(np.stack([np.geomspace(100, 1000, 9), np.geomspace(1e3, 1e4, 9)]))
    mean = np.stack([np.full(9, 0.9), 0.6 + 0.2 * PLACES**2])
    for archive, least in (([], 0.0), ([(200, 0.5)], 0.0), ([(200, 0.5)], 0.7), ([(20, 0.95)], 0)):
        found = expected_gains(mean, np.full((2, 9), 1e-9), places, archive, REFERENCE, least)
        known = [*archive, (REFERENCE[0], least)]
        fine = [np.geomspace(np.exp(row[0]), np.exp(row[-1]), 999) for row in places]
        wanted = [
            hypervolume_gain(
                zip(macs, np.interp(np.log(macs), row, height), strict=True), known, REFERENCE
            )
            for macs, row, height in zip(fine, places, mean, strict=True)
        ]
        assert found == pytest.approx(wanted, abs=0.02)


def test_what_is_unsure_is_expected_to_gain_what_draws_gain_on_average() -> None:
    rng = np.random.default_rng(0)
    places = np.log(np.geomspace(10, 1e5, 9))[None]
    for mean, deviation, best in ((0.6, 0.1, 0.65), (0.6, 0.05, 0.5), (0.5, 0.1, 0.65)):
        drawn = np.maximum(rng.normal(mean, deviation, 200_000) - best, 0).mean()
        (found,) = expected_gains(
            np.full((1, 9), mean), np.full((1, 9), deviation), places, [(1, best)], REFERENCE
        )
        assert found == pytest.approx(drawn, rel=0.05)
