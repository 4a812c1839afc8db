"""How far a line lies above the known policies, against looking at every cost."""

import numpy as np
import pytest

from eexit_tf.policy_search.known import Known
from eexit_tf.policy_search.lines import Lines

SAMPLES, LIMIT = 30, 60


def some_known(rng: np.random.Generator, least: int) -> tuple[Known, np.ndarray]:
    """Known policies, and the right answers that are known for every total cost."""
    known, best = Known(SAMPLES, LIMIT, least), np.full(LIMIT + 1, -1)
    for _ in range(int(rng.integers(1, 9))):
        correct, total = int(rng.integers(SAMPLES + 1)), int(rng.integers(LIMIT + 1))
        known.offer(np.array([correct]), np.array([total]), lambda _: ())
        best[total:] = np.maximum(best[total:], correct)
    return known, best


@pytest.mark.parametrize("least", [0, 12])
@pytest.mark.parametrize("slack", [0, 2])
def test_leads_are_the_most_that_a_line_exceeds_what_is_known(least: int, slack: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        known, best = some_known(rng, least)
        lines = Lines(known, slack)
        real = best >= max(least, 0)
        rivals = np.where(real, best, least - 1 - slack)
        window = np.sort(rng.integers(0, LIMIT + 1, (20, 2)), axis=1).T
        slope, height = rng.integers(0, len(lines.slopes), 20), rng.uniform(-5, 30, 20)
        leads, staircase = lines.lead(height, slope, *window)
        for low, high, k, h, lead, its in zip(
            *window, slope, height, leads, staircase, strict=True
        ):
            inside = np.arange(low, high + 1)
            line = lines.slopes[k] * inside
            exceed = (line - rivals[low : high + 1]).max()
            assert lead == np.floor(h + exceed + 1e-6)
            if real[high]:
                rest = (best - lines.slopes[k] * np.arange(LIMIT + 1))[low : high + 1]
                assert its == pytest.approx(exceed + rest[real[low : high + 1]].max())
            else:
                assert its == -np.inf


def test_the_slope_is_chosen_whose_line_lies_least_above_the_window() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        known, best = some_known(rng, 0)
        best[-1] = max(best[-1], 0)
        lines = Lines(known, 0)
        low, high, begin, end = np.sort(rng.integers(0, LIMIT + 1, (2, 2)), axis=1).ravel()
        high = LIMIT  # where something is known
        at = np.arange(LIMIT + 1)[:, None] * lines.slopes
        rest = np.where(best >= 0, best, -np.inf)[:, None] - at
        above = rest[low : high + 1].max(axis=0) + (at - best[:, None])[begin : end + 1].max(axis=0)
        (chosen,) = lines.choose(*np.array([[low], [high], [begin], [end]]))
        assert above[chosen] == pytest.approx(above.min())


def test_windows_are_cut_between_both_their_ends() -> None:
    rng = np.random.default_rng(2)
    for _ in range(40):
        known, best = some_known(rng, 0)
        lines = Lines(known, 0)
        low, high = np.sort(rng.choice(LIMIT + 1, 2, replace=False))
        (middle,) = lines.middle(np.array([low]), np.array([high]))
        assert low <= middle < high
        steps = np.unique(best[low : high + 1])
        if len(steps) > 1:  # at a step, of which as many are on either side, or one more
            assert best[middle] < best[middle + 1] or middle == low
            lower, upper = (
                len(np.unique(best[part]))
                for part in (slice(low, middle + 1), slice(middle + 1, high + 1))
            )
            assert abs(lower - upper) <= 1
        else:
            assert middle == (low + high) // 2
