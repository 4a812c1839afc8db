"""Others' ways to choose thresholds: against loops written from the papers, and against ours."""

from itertools import product

import numpy as np
import pytest

from eexit_tf.costs import ExitCosts
from eexit_tf.outputs import ExitOutputs
from eexit_tf.policies import Policy, score
from eexit_tf.threshold_grid import AEBNAS, COMMON, NACHOS, TUNERS, aebnas_policies
from eexit_tf.vocabulary import Exit

EXITS = 4
COSTS = ExitCosts(
    exits=tuple(Exit(f"tap{i}") for i in range(EXITS)),
    trunk_macs=(1_000, 2_000, 3_000, 4_000),
    head_macs=(200, 300, 100, 50),
    trunk_params=(1, 2, 3, 4),
    head_params=(1, 1, 1, 1),
    decision=11,
)


def drawn(seed: int, samples: int = 400) -> ExitOutputs:
    """Exits that get better, and whose confidence knows a little."""
    rng = np.random.default_rng(seed)
    right = rng.random((EXITS, samples)) < np.linspace(0.5, 0.9, EXITS)[:, None]
    sure = rng.beta(2, 2, right.shape) + 0.3 * right
    return ExitOutputs(np.clip(200 * sure, 0, 255).astype(np.uint8), right)


def run(outputs: ExitOutputs, used: list[int], thresholds: list[float]) -> tuple[float, float]:
    """Accuracy and mean MACs, sample by sample; the last used exit takes what reaches it."""
    correct, total = 0, 0
    for sample in range(outputs.samples):
        for index in used:
            total += COSTS.head_macs[index]
            if index == used[-1]:
                break
            total += COSTS.decision
            if outputs.levels[index, sample] >= round(256 * thresholds[index]):
                break
        total += COSTS.trunk_macs[index]
        correct += outputs.right[index, sample]
    return correct / outputs.samples, total / outputs.samples


def everywhere(outputs: ExitOutputs, thresholds: list[float]) -> tuple[float, float]:
    return run(outputs, list(range(EXITS)), [*thresholds, 0.0])


@pytest.mark.parametrize("target", [1_800, 2_500, 3_300])
def test_aebnas_finds_the_best_of_its_grid(target: float) -> None:
    sure = drawn(1)
    outputs = ExitOutputs(sure.levels // 4, sure.right)  # where its thresholds tell them apart
    values, exits = [], []
    for combination in product(AEBNAS, repeat=EXITS):
        used = [i for i in range(EXITS) if combination[i] < 1]
        if used:
            accuracy, macs = run(outputs, used, list(combination))
            values.append(100 * accuracy - 0.1 * 100 * abs(macs - target) / target)
            exits.append(len(used))
    _, found = TUNERS["aebnas"](outputs, COSTS, target)
    reached = 100 * found.accuracy - 10 * abs(found.mean_macs - target) / target
    assert reached == pytest.approx(max(values))
    assert exits[int(np.argmax(values))] > 1
    assert len(list(aebnas_policies(EXITS))) == len(values) == 3**EXITS - 1


def test_aebnas_punishes_being_cheaper_than_the_target() -> None:
    # The first exit is always right, and still a dearer policy is taken.
    outputs = ExitOutputs(np.zeros((EXITS, 50), np.uint8), np.ones((EXITS, 50), np.bool_))
    _, found = TUNERS["aebnas"](outputs, COSTS, 4_000)
    assert found.accuracy == 1
    assert found.mean_macs == pytest.approx(4_050)


@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("bound", [1_300, 1_900, 2_600, 9_000])
def test_nachos_lowers_the_best_common_threshold_from_the_last_exit_on(
    seed: int, bound: float
) -> None:
    outputs = drawn(seed)
    tried = [everywhere(outputs, [epsilon] * (EXITS - 1))[0] for epsilon in NACHOS]
    tenths = [int(np.argmax(tried)) + 1] * (EXITS - 1)
    index = EXITS - 2
    while everywhere(outputs, [t / 10 for t in tenths])[1] > bound and index >= 0:
        if tenths[index] > 1:
            tenths[index] -= 1
        else:
            index -= 1
    policy, found = TUNERS["nachos"](outputs, COSTS, bound)
    assert policy.exits == tuple(range(EXITS))
    assert policy.thresholds == (*(round(25.6 * t) for t in tenths), 0)
    cheapest = everywhere(outputs, [0.1] * (EXITS - 1))[1]
    assert found.mean_macs <= bound or found.mean_macs == pytest.approx(cheapest)


@pytest.mark.parametrize("bound", [100, 1_700, 2_600, 9_000])
def test_common_takes_one_threshold_for_all(bound: float) -> None:
    outputs = drawn(4)
    each = [everywhere(outputs, [epsilon] * (EXITS - 1)) for epsilon in COMMON]
    within = [accuracy for accuracy, macs in each if macs <= bound]
    policy, found = TUNERS["common"](outputs, COSTS, bound)
    assert len(set(policy.thresholds[:-1])) == 1
    if within:
        assert found.accuracy == max(within)
        assert found.mean_macs <= bound
    else:
        assert found.mean_macs == min(macs for _, macs in each)


@pytest.mark.parametrize("name", TUNERS)
@pytest.mark.parametrize("bound", [1_900, 3_000])
def test_every_tuner_scores_its_policy_and_none_beats_the_exact_one(
    name: str, bound: float
) -> None:
    outputs = drawn(5)
    policy, found = TUNERS[name](outputs, COSTS, bound)
    assert isinstance(policy, Policy)
    assert found == score(policy, outputs, COSTS)
    best = TUNERS["exact"](outputs, COSTS, max(bound, found.mean_macs))[1]
    assert best.accuracy >= found.accuracy


def test_the_exact_tuner_says_when_nothing_is_that_cheap() -> None:
    with pytest.raises(ValueError, match="at most 100 mean MACs"):
        TUNERS["exact"](drawn(6), COSTS, 100)


def test_grids_are_those_of_the_papers() -> None:
    np.testing.assert_allclose(AEBNAS, [0.1, 0.2, 1])
    np.testing.assert_allclose(NACHOS, np.arange(1, 10) / 10)
    np.testing.assert_allclose(COMMON, np.arange(14, 20) / 20)


@pytest.mark.parametrize("name", ["exact", "nachos", "common"])
def test_a_budget_may_be_used_up(name: str) -> None:
    outputs = drawn(3)
    found = TUNERS[name](outputs, COSTS, 1e9)
    assert TUNERS[name](outputs, COSTS, found[1].mean_macs) == found
