"""The oracle's ranking, proposals and state, without any training."""

import json
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from keras_tuner.engine.trial import Trial, TrialStatus

from eexit_tf.bounds import Bounds
from eexit_tf.costs import ExitCosts
from eexit_tf.pareto import hypervolume
from eexit_tf.tuners.archive import save_front
from eexit_tf.tuners.oracle import ParetoOracle, violation
from eexit_tf.tuners.proposals import FEWEST_LEARNT, Finished, Proposer
from eexit_tf.tuners.rungs import Climb
from eexit_tf.tuners.surrogate import EXPONENT, PLACES, FrontSurrogate
from eexit_tf.vocabulary import Exit, ExitUse, Front, OperatingPoint

REFERENCE = (64.0, 1e6)
SPACE = {
    "family": ("residual", "separable"),
    "width": (4, 8, 12, 16, 24, 32),
    "depth": (1, 2, 3, 4),
    "kernel": (3, 5, 7),
}


def costs(values: dict) -> ExitCosts:
    """Three exits; wider, deeper networks with larger kernels cost more."""
    block = values["width"] * values["kernel"] ** 2 * (4 if values["family"] == "residual" else 1)
    trunk = tuple(block * (1 + tap * values["depth"]) for tap in range(3))
    exits = tuple(Exit(f"block{tap}") for tap in range(3))
    head = (values["width"],) * 3
    return ExitCosts(exits, trunk, head, trunk, head, decision=5)


def point(trial: str, accuracy: float, macs: float) -> OperatingPoint:
    use = ExitUse("stem", "pool_dense", 0.0, 1.0, int(macs))
    return OperatingPoint(f"{trial}-0", trial, accuracy, macs, int(macs), 10, (use,))


def oracle(directory: Path, bounds: Bounds | None = None, **changes: object) -> ParetoOracle:
    bounds = bounds or Bounds()
    settings: dict = {"max_trials": 12, "seed": 0, "rejected": lambda values: False} | changes
    made = ParetoOracle(bounds=bounds, reference_macs=REFERENCE, costs=costs, **settings)
    made._set_project_dir(str(directory), "trials")
    for name, choices in SPACE.items():
        made.hyperparameters.Choice(name, list(choices), ordered=name != "family")
    return made


def finish(made: ParetoOracle, *points: tuple[float, float]) -> str:
    """Run one trial of the oracle with these results; its id."""
    trial = made.create_trial("tuner0")
    assert trial.status == TrialStatus.RUNNING
    end(made, trial, *points)
    return trial.trial_id


def end(made: ParetoOracle, trial: Trial, *points: tuple[float, float]) -> None:
    front = Front(tuple(point(trial.trial_id, *p) for p in points))
    save_front(Path(made._get_trial_dir(trial.trial_id)), front)
    made.update_trial(trial.trial_id, {"hypervolume": 0.0})
    trial.status = TrialStatus.COMPLETED
    made.end_trial(trial)


def test_a_trial_ranks_by_its_best_point_and_then_by_what_the_archive_would_lose(
    tmp_path: Path,
) -> None:
    made = oracle(tmp_path)
    small = finish(made, (0.6, 1e3))
    dominated = finish(made, (0.5, 2e3))
    large = finish(made, (0.9, 1e4), (0.95, 2e4))
    assert made.ranking(made.archive()) == [small, large, dominated] or made.ranking(
        made.archive()
    ) == [large, small, dominated]
    gains = {name: made.archive().gain(name) for name in (small, dominated, large)}
    assert gains[dominated] == 0
    assert made.ranking(made.archive())[0] == max(gains, key=gains.__getitem__)


def test_a_trial_is_credited_with_the_hypervolume_that_it_adds(tmp_path: Path) -> None:
    made = oracle(tmp_path)
    found: list[tuple[float, float]] = []
    for front in ([(0.6, 1e3), (0.9, 1e4)], [(0.5, 2e3)], [(0.7, 1e3), (0.8, 5e3)], []):
        trial = finish(made, *front)
        points = [(macs, accuracy) for accuracy, macs in front]
        added = hypervolume([*found, *points], REFERENCE) - hypervolume(found, REFERENCE)
        assert made.get_trial(trial).score == pytest.approx(added, abs=1e-12)
        found += points
    credited = sum(trial.score for trial in made.trials.values())
    assert credited == pytest.approx(hypervolume(found, REFERENCE))


def test_points_beyond_the_bounds_rank_behind_all_others(tmp_path: Path) -> None:
    made = oracle(tmp_path, Bounds(max_mean_macs=5e3))
    accurate = finish(made, (0.99, 1e4))
    allowed = finish(made, (0.5, 4e3))
    assert made.ranking(made.archive()) == [allowed, accurate]


def test_violation_is_relative_to_the_bounds() -> None:
    bounds = Bounds(max_mean_macs=100, min_accuracy=0.8)
    assert violation(point("0", 0.9, 50), bounds) == 0
    assert violation(point("0", 0.9, 150), bounds) == pytest.approx(0.5)
    assert violation(point("0", 0.6, 150), bounds) == pytest.approx(0.75)


def test_rejected_values_and_repetitions_are_never_proposed(tmp_path: Path) -> None:
    made = oracle(tmp_path, rejected=lambda values: values["family"] == "residual")
    seen = []
    for number in range(12):
        trial = finish(made, (0.5 + number / 100, 1e3 + number))
        seen.append(made.get_trial(trial).hyperparameters.values)
    assert all(values["family"] != "residual" for values in seen)
    assert len({json.dumps(values, sort_keys=True) for values in seen}) == 12


def test_an_exhausted_space_ends_the_search(tmp_path: Path) -> None:
    made = oracle(tmp_path, rejected=lambda values: True)
    assert made.create_trial("tuner0").status == TrialStatus.STOPPED


def proposals(directory: Path, seed: int, trials: int = 8) -> list[dict]:
    """Of a search in which every proposal is made by a freshly loaded oracle."""
    values = []
    for _ in range(trials):
        made = oracle(directory, seed=seed)
        if Path(made._get_oracle_fname()).exists():
            made.reload()
        number = len(made.end_order)
        trial = finish(made, (0.5 + number / 50, 1e3 * (1 + number)))
        values.append(made.get_trial(trial).hyperparameters.values)
    return values


def test_proposals_depend_on_seed_and_finished_trials_alone(tmp_path: Path) -> None:
    first = proposals(tmp_path / "a", 0)
    assert proposals(tmp_path / "b", 1) != first
    made = oracle(tmp_path / "c", seed=0)
    uninterrupted = []
    for number in range(8):
        trial = finish(made, (0.5 + number / 50, 1e3 * (1 + number)))
        uninterrupted.append(made.get_trial(trial).hyperparameters.values)
    assert uninterrupted == first
    again = (
        "import sys, pathlib, test_oracle as t; print(t.proposals(pathlib.Path(sys.argv[1]), 0))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", again, str(tmp_path / "d")],
        capture_output=True,
        check=True,
        cwd=Path(__file__).parent,
    )
    assert printed.stdout.decode().splitlines()[-1] == str(first)


def test_several_workers_begin_with_the_same_trials_as_one(tmp_path: Path) -> None:
    several = oracle(tmp_path / "several")
    trials = [several.create_trial(f"tuner{n}") for n in range(FEWEST_LEARNT)]
    values = [trial.hyperparameters.values for trial in trials]
    assert values == proposals(tmp_path / "one", 0, FEWEST_LEARNT)


def test_what_is_running_is_not_proposed_again_nor_anything_that_would_bring_the_same(
    tmp_path: Path,
) -> None:
    made = oracle(tmp_path)
    for number in range(4):
        finish(made, (0.5 + number / 50, 1e3 * (1 + number)))
    running = [made.create_trial(f"tuner{n}").hyperparameters.values for n in range(4)]
    assert len({json.dumps(values, sort_keys=True) for values in running}) == 4


def test_the_best_of_the_space_is_found_sooner_than_by_chance(tmp_path: Path) -> None:
    def accuracy(values: dict) -> float:
        good = SPACE["width"].index(values["width"]) / 5 - abs(values["depth"] - 3) / 3
        return 0.5 + 0.4 * good * (values["family"] == "separable")

    best = max(
        accuracy({"family": "separable", "width": w, "depth": d})
        for w in SPACE["width"]
        for d in SPACE["depth"]
    )
    chance = 3 / 144  # three kernels of 144 networks
    needed = []
    for seed in range(3):
        made = oracle(tmp_path / str(seed), seed=seed, max_trials=144)
        found = 0.0
        while found < best:
            trial = made.create_trial("tuner0")
            found = accuracy(trial.hyperparameters.values)
            macs = costs(trial.hyperparameters.values).alone_macs(2)
            end(made, trial, (found, macs))
        needed.append(len(made.end_order))
    assert sum(needed) / len(needed) < 0.5 / chance


def test_a_stopped_trial_is_learnt_from_as_if_it_had_gone_on(tmp_path: Path) -> None:
    made = oracle(tmp_path)
    for accuracy, stopped in ((0.75, None), (0.8, None), (0.6, 2)):
        trial = made.create_trial("tuner0")
        climb = Climb({2: [(1e3, 2 * accuracy - 1)]}, stopped)  # errors twice as large
        climb.save(Path(made._get_trial_dir(trial.trial_id)))
        end(made, trial, (accuracy, 1e3))
    with patch.object(Proposer, "propose", return_value=None) as asked:
        made.create_trial("tuner0")
    found = {trial.points for trial in map(_rounded, asked.call_args.args[1])}
    assert found == {((1e3, 0.75),), ((1e3, 0.8),)}


def _rounded(trial: Finished) -> Finished:
    points = tuple((macs, round(accuracy, 9)) for macs, accuracy in trial.points)
    return Finished(trial.values, points)


def test_errors_are_expected_to_fall_with_costs_of_which_trials_say_nothing() -> None:
    hyperparameters, costs = np.eye(3), np.zeros((3, 5))
    places = np.log(1e5) + np.log(10) * np.tile(PLACES, (3, 1))
    accuracies = np.linspace([0.2, 0.3, 0.25], [0.6, 0.7, 0.65], len(PLACES), axis=1)
    surrogate = FrontSurrogate(hyperparameters, costs, places, accuracies)
    near, _ = surrogate.predict(hyperparameters, costs, places)
    assert near == pytest.approx(accuracies, abs=0.1)
    far, deviation = surrogate.predict(hyperparameters, costs + 100, places + np.log(10))
    middle = 1 - np.exp(np.log(1 - accuracies).mean(axis=0))
    assert far == pytest.approx(1 - (1 - np.tile(middle, (3, 1))) * 10**-EXPONENT)
    assert (deviation > 0).all()


def test_an_accuracy_that_no_trial_has_asks_for_dearer_networks(tmp_path: Path) -> None:
    made = oracle(tmp_path, rejected=lambda v: (v["width"], v["kernel"]) != (16, 5))
    tried = []
    for accuracy in (0.50, 0.54, 0.52, 0.53):
        trial = made.create_trial("tuner0")
        tried.append(costs(trial.hyperparameters.values).alone_macs(2))
        end(made, trial, (accuracy, tried[-1]))
    bounded = oracle(tmp_path, Bounds(min_accuracy=0.7))
    bounded.reload()
    proposed = bounded.create_trial("tuner0").hyperparameters.values
    assert costs(proposed).alone_macs(2) > max(tried)


@pytest.mark.parametrize("lost", ["oracle.json", "nothing"])
def test_state_that_a_kill_left_between_two_files_is_put_right(tmp_path: Path, lost: str) -> None:
    made = oracle(tmp_path)
    first = finish(made, (0.5, 1e3))
    before = Path(made._get_oracle_fname()).read_bytes()
    second = finish(made, (0.6, 2e3))
    running = made.create_trial("tuner0").trial_id
    if lost == "oracle.json":  # both later trials are on disk, the oracle's file is older
        Path(made._get_oracle_fname()).write_bytes(before)
    again = oracle(tmp_path)
    again.reload()
    if lost == "oracle.json":
        # The oracle knew the second trial not even as begun: it is proposed again.
        assert again.end_order == [first]
        assert again.create_trial("tuner0").trial_id == second
    else:
        assert again.end_order == [first, second]
        retried = again.create_trial("tuner0")
        assert (retried.trial_id, retried.status) == (running, TrialStatus.RUNNING)


def test_a_finished_trial_that_the_oracle_still_thinks_running_is_not_lost(tmp_path: Path) -> None:
    made = oracle(tmp_path)
    trial = made.create_trial("tuner0")
    begun = Path(made._get_oracle_fname()).read_bytes()
    save_front(Path(made._get_trial_dir(trial.trial_id)), Front((point("0", 0.5, 1e3),)))
    made.update_trial(trial.trial_id, {"hypervolume": 0.0})
    trial.status = TrialStatus.COMPLETED
    made.end_trial(trial)
    Path(made._get_oracle_fname()).write_bytes(begun)
    again = oracle(tmp_path)
    again.reload()
    assert again.end_order == [trial.trial_id]
    assert again.create_trial("tuner0").trial_id != trial.trial_id
