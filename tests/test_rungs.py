"""When a training is stopped, without any training."""

from pathlib import Path

import pytest

from eexit_tf.errors import UserError
from eexit_tf.tuners.rungs import Climb, expected_end, hopeless, rung_epochs

REFERENCE = (1e3, 1e6)


def earlier(rise: float) -> list:
    """Four trials that end at 90 % from 10,000 MACs on, `rise` above their first rung."""
    return [(Climb({3: [(1e4, 0.9 - rise)]}), [(1e4, 0.9)])] * 4


def test_a_trial_is_stopped_when_even_a_steep_rise_would_add_nothing() -> None:
    trials = earlier(0.1)  # their errors halved
    assert hopeless([(2e4, 0.79)], 3, trials, REFERENCE)
    assert not hopeless([(2e4, 0.81)], 3, trials, REFERENCE)
    # Cheaper than anything there is, so that it adds something however bad it is.
    assert not hopeless([(2e3, 0.1)], 3, trials, REFERENCE)
    # One whose errors shrank more gives all others more hope.
    steep = (Climb({3: [(1e4, 0.5)]}), [(1e4, 0.85)])
    assert not hopeless([(2e4, 0.79)], 3, [*trials, steep], REFERENCE)


def test_a_hair_is_no_reason_to_train_on() -> None:
    trials = earlier(0.1)
    assert hopeless([(2e4, 0.8005)], 3, trials, REFERENCE)
    assert hopeless([(1e4 * 0.999, 0.79)], 3, trials, REFERENCE)


def test_a_trial_is_stopped_when_even_a_steep_rise_leaves_it_below_the_wanted_accuracy() -> None:
    trials = earlier(0.1)
    cheap = [(2e3, 0.4)]  # may come to 0.7, where there is nothing yet
    assert not hopeless(cheap, 3, trials, REFERENCE, min_accuracy=0.69)
    assert hopeless(cheap, 3, trials, REFERENCE, min_accuracy=0.71)


def test_errors_that_grew_leave_no_less_than_there_is() -> None:
    trials = earlier(-0.05)
    assert not hopeless([(2e4, 0.93)], 3, trials, REFERENCE)
    assert hopeless([(2e4, 0.89)], 3, trials, REFERENCE)


def test_too_few_trials_or_none_trained_to_the_end_stop_nothing() -> None:
    assert not hopeless([(2e4, 0.1)], 3, earlier(0.1)[:3], REFERENCE)
    assert not hopeless([(2e4, 0.1)], 4, earlier(0.1), REFERENCE)
    stopped = (Climb({3: [(1e4, 0.8)]}, stopped=3), [(1e4, 0.8)])
    assert not hopeless([(2e4, 0.1)], 3, [*earlier(0.1)[:3], stopped], REFERENCE)


def test_a_stopped_trials_errors_are_expected_to_have_shrunk_as_those_of_the_others() -> None:
    ((macs, accuracy),) = expected_end([(2e4, 0.6)], 3, earlier(0.1), REFERENCE)
    assert macs == 2e4
    assert abs(accuracy - 0.8) < 1e-9
    assert expected_end([(2e4, 0.6)], 3, [], REFERENCE) == [(2e4, 0.6)]


def test_rungs_are_kept_in_the_trials_folder(tmp_path: Path) -> None:
    climb = Climb({3: [(1e4, 0.5)], 6: [(1e4, 0.6), (2e4, 0.7)]}, stopped=6)
    climb.save(tmp_path)
    assert Climb.load(tmp_path) == climb
    assert Climb.load(tmp_path / "none") == Climb({})


def test_short_trainings_have_no_rungs() -> None:
    assert rung_epochs(5) == ()
    assert rung_epochs(30) == (10, 20)


def test_damaged_rungs_are_named(tmp_path: Path) -> None:
    (tmp_path / "rungs.json").write_text('{"rungs": {}')
    with pytest.raises(UserError, match=r"rungs\.json is not how a trial rose"):
        Climb.load(tmp_path)
