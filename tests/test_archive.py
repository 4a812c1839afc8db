"""Fronts of trials, kept in their folders and taken together, without any training."""

from dataclasses import replace
from pathlib import Path

import pytest

from eexit_tf.errors import UserError
from eexit_tf.tuners.archive import TRIAL_FRONT, Archive, load_front, save_front
from eexit_tf.vocabulary import ExitUse, Front, OperatingPoint

REFERENCE = (1.0, 1000.0)


def front(trial: str, *points: tuple[float, float], policies: int = 0, gap: float = 0.0) -> Front:
    """Of (mean MACs, accuracy) points."""
    use = ExitUse("stem", "pool_dense", 0.0, 1.0, 1)
    made = (
        OperatingPoint(f"{trial}-{number}", trial, accuracy, macs, int(macs), 10, (use,))
        for number, (macs, accuracy) in enumerate(points)
    )
    return Front(tuple(made), policies, gap)


def archive(**fronts: Front) -> Archive:
    return Archive(fronts, REFERENCE)


def test_a_front_survives_its_folder(tmp_path: Path) -> None:
    made = front("3", (10, 0.5), (20, 0.75), policies=257, gap=0.125)
    save_front(tmp_path, made)
    assert load_front(tmp_path) == made


def test_a_damaged_front_is_named(tmp_path: Path) -> None:
    (tmp_path / TRIAL_FRONT).write_text('{"points": []}')
    with pytest.raises(UserError, match=r"front\.json is not the front of a trial: no 'eval"):
        load_front(tmp_path)


def test_the_front_of_all_trials_is_what_none_dominates_and_as_sure_as_the_least_sure() -> None:
    one = front("0", (10, 0.5), (100, 0.75), policies=3, gap=0.25)
    other = front("1", (10, 0.4), (50, 0.8), policies=4, gap=0.125)
    found = archive(one=one, other=other).front()
    assert found.points == (one.points[0], other.points[1])
    assert (found.evaluated_policies, found.gap) == (7, 0.25)
    assert archive().front() == Front((), 0, 0.0)


def test_what_was_missed_matters_as_far_as_it_beats_the_points_of_other_trials() -> None:
    sure = front("0", (10, 0.5), (50, 0.75))
    missed = front("1", (20, 0.25), (60, 0.6875), gap=0.125)
    # At 60 up to 0.8125 for 0.75; what costs 20 is hopeless.
    assert archive(sure=sure, missed=missed).front().gap == 0.0625
    assert archive(sure=front("0", (10, 0.9)), missed=missed).front().gap == 0
    assert archive(sure=sure, missed=front("1", gap=0.125)).front().gap == 0.125


def test_the_gain_of_a_trial_is_what_would_be_lost_without_it() -> None:
    trials = archive(
        cheap=front("0", (10, 0.5)), dear=front("1", (100, 0.8)), worse=front("2", (100, 0.5))
    )
    # Thirds of the range: 0 up to 10, 0.5 up to 100, 0.8 from there on.
    assert trials.gain("cheap") == pytest.approx(0.5 / 3)
    assert trials.gain("dear") == pytest.approx((0.8 - 0.5) / 3)
    assert trials.gain("worse") == 0
    assert trials.gain("brought nothing") == 0
    same = replace(trials, fronts={"a": trials.fronts["dear"], "b": trials.fronts["dear"]})
    assert same.gain("a") == 0
