"""The search space: every point builds, costs what its description says, and keeps the bounds."""

import itertools
import os
import random
from collections.abc import Iterator

import keras_tuner
import pytest

from eexit_tf.backbones import FAMILIES
from eexit_tf.bounds import Bounds
from eexit_tf.building import build
from eexit_tf.errors import UserError
from eexit_tf.keras import keras
from eexit_tf.network_costs import exit_costs
from eexit_tf.tuners.space import ExitSpace, check_size

POINTS = int(os.environ.get("EEXIT_TF_SPACE_POINTS", "250"))
"""Random points of each family that are described; the first BUILT of them are built as well."""
BUILT = int(os.environ.get("EEXIT_TF_SPACE_BUILT", "3"))
SHAPES = [(32, 32, 3), (49, 10, 1), (1, 128, 6), (8, 8, 1), (96, 96, 3), (28, 28, 1), (64, 1, 2)]


def choices(space: ExitSpace) -> dict[str, list]:
    hp = keras_tuner.HyperParameters()
    space.declare_hyperparameters(hp)
    return {p.name: list(p.values) for p in hp.space}


def first(space: ExitSpace, **changes: object) -> dict[str, object]:
    return {name: values[0] for name, values in choices(space).items()} | changes


def points(family: str, count: int) -> Iterator[tuple[ExitSpace, dict]]:
    """Random points of a family that are not rejected, on all kinds of inputs."""
    chance = random.Random(family)
    spaces = [ExitSpace(shape, 7, Bounds()) for shape in SHAPES]
    found = 0
    while found < count:
        space = spaces[found % len(spaces)]
        values = {n: chance.choice(c) for n, c in choices(space).items()} | {"family": family}
        if not space.rejected(values):
            found += 1
            yield space, values


@pytest.mark.parametrize("family", FAMILIES)
def test_points_of_every_family_build_with_rising_costs(family: str) -> None:
    for number, (space, values) in enumerate(points(family, POINTS)):
        costs = space.costs(values)
        taps = [exit_.at for exit_ in costs.exits]
        leave = costs.leave_macs(range(len(costs)))
        assert all(early < late for early, late in itertools.pairwise(leave)), values
        for i, j in itertools.pairwise(range(len(costs))):
            assert costs.trunk_macs[i] < costs.trunk_macs[j] or taps[i] == taps[j], values
        assert len(taps) == len(set(costs.exits)) <= 24
        if number < BUILT:
            keras.backend.clear_session()
            net = space.full_network(values)
            assert exit_costs(net) == costs, values
            assert_clean(net)


def assert_clean(net: keras.Model) -> None:
    """What toolchain tests have shown that TFMOT and the converter take without leftovers."""
    allowed = {
        "InputLayer",
        "Conv2D",
        "DepthwiseConv2D",
        "BatchNormalization",
        "ReLU",
        "Add",
        "AveragePooling2D",
        "MaxPooling2D",
        "Flatten",
        "Dense",
    }
    for layer in net.layers:
        kind = type(layer).__name__
        assert kind in allowed
        parents = [node.layer for node in layer.inbound_nodes[0].parent_nodes]
        kinds = {type(parent).__name__ for parent in parents}
        if kind == "BatchNormalization":
            assert kinds <= {"Conv2D", "DepthwiseConv2D"}
        if kind == "ReLU":
            assert kinds <= {"BatchNormalization", "Add"}
        if kind in ("BatchNormalization", "ReLU"):  # nobody reads what a fusion does away with
            assert len(parents[0].outbound_nodes) == 1


@pytest.mark.parametrize("family", ["residual", "inverted_residual"])
def test_tfmot_quantises_points_of_the_space(family: str) -> None:
    from eexit_tf.tflite.quantization import quantizable

    space = ExitSpace((16, 16, 3), 4, Bounds())
    values = first(space, family=family, head="separable", growth1=2.0)
    quantised = quantizable(space.network(values))
    assert len(quantised.outputs) == len(space.costs(values))


@pytest.mark.parametrize("shape", SHAPES[:4])
def test_a_network_is_one_point(shape: tuple[int, int, int]) -> None:
    """Canonical values are their own canonical values, and other ones are other networks."""
    space, chance = ExitSpace(shape, 5, Bounds()), random.Random(0)
    all_choices = choices(space)
    seen: dict[str, dict] = {}
    for _ in range(10):
        values = {name: chance.choice(values) for name, values in all_choices.items()}
        canonical = space.canonical(values)
        assert space.canonical(canonical) == canonical
        assert all(canonical[name] in values for name, values in all_choices.items())
        assert space.backbone(values).taps[-1].shape == space.backbone(canonical).taps[-1].shape
        for name in canonical:  # a change of one value is another network, or the same point
            other = values | {name: chance.choice(all_choices[name])}
            same = structure(space, other) == structure(space, values)
            assert same == (space.canonical(other) == canonical), (name, values, other)
        seen[space.describe(values)] = canonical
    assert len(seen) == len({tuple(point.items()) for point in seen.values()})


def structure(space: ExitSpace, values: dict) -> list:
    """All units of a network."""
    found = []
    waiting = list(space.described(values).values())
    known = set()
    while waiting:
        unit = waiting.pop()
        if unit not in known:
            known.add(unit)
            sources = [source.name for source in unit.inputs]
            found.append((unit.name, unit.kind, unit.shape, unit.kernel, unit.stride, sources))
            waiting += unit.inputs
    return sorted(found)


@pytest.mark.parametrize(
    "bounds",
    [
        {"max_macs": 6000},
        {"max_mean_macs": 2000},
        {"max_params": 500},
        {"max_flash": 5000},
        {"max_arena": 4500},
    ],
)
def test_networks_that_cannot_meet_a_bound_are_rejected_before_training(
    bounds: dict[str, int],
) -> None:
    space = ExitSpace((8, 8, 1), 10, Bounds(**bounds))
    narrow = first(space, family="separable", stem_stride=2)
    assert not space.rejected(narrow)
    assert space.rejected(narrow | {"stem_width": 64})
    space.check_bounds()
    hopeless = ExitSpace((8, 8, 1), 10, Bounds(**dict.fromkeys(bounds, 50)))
    assert hopeless.rejected(narrow)
    with pytest.raises(UserError, match="nothing in the search space keeps"):
        hopeless.check_bounds()


def test_bounds_that_only_exits_of_several_networks_keep_are_refused() -> None:
    space = ExitSpace((16, 16, 3), 3, Bounds(max_params=500, max_flash=4600, max_arena=3700))
    with pytest.raises(UserError, match="403 parameters, 4,567 bytes of flash and 3,552 bytes of"):
        space.check_bounds()


def test_bounds_that_only_small_inputs_keep_are_taken() -> None:
    free = ExitSpace((64, 64, 3), 3, Bounds())
    shrunk = first(free, family="separable", shrink=4, stem_stride=2, stride1=2)
    macs = free.costs(shrunk).alone_macs(0)
    ExitSpace((64, 64, 3), 3, Bounds(max_macs=macs)).check_bounds()


def test_a_bound_allows_more_than_there_is_without_one() -> None:
    free, bounded = (ExitSpace((8, 8, 1), 3, Bounds(max_macs=m)) for m in (None, 30_000_000))
    values = first(free, stem_width=64, depth1=6)
    assert free.rejected(values)
    assert not bounded.rejected(values)


def test_the_cheapest_head_at_the_end_must_be_within_what_a_network_may_cost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    space = ExitSpace((8, 8, 1), 3, Bounds())
    values = first(space, head="conv")
    costs = space.costs(values)
    cheapest, *others = map(costs.alone_macs, space.ends(costs))
    assert all(cheapest < other for other in others)
    monkeypatch.setattr("eexit_tf.tuners.space.LARGEST_PER_INPUT", cheapest / 64)
    assert not space.rejected(values)
    monkeypatch.setattr("eexit_tf.tuners.space.LARGEST_PER_INPUT", (cheapest - 1) / 64)
    assert space.rejected(values)


def test_one_exit_must_be_within_a_bound_on_mean_macs() -> None:
    free = ExitSpace((8, 8, 1), 10, Bounds())
    values = first(free, family="separable")
    costs = free.costs(values)
    cheapest = min(map(costs.alone_macs, range(len(costs))))
    ExitSpace((8, 8, 1), 10, Bounds(max_mean_macs=cheapest)).network(values)
    with pytest.raises(UserError, match=r"no exit of separable .* keeps max_mean_macs"):
        ExitSpace((8, 8, 1), 10, Bounds(max_mean_macs=cheapest - 1)).network(values)


def test_a_bound_cuts_heads_but_never_a_network_short() -> None:
    free = ExitSpace((8, 8, 1), 10, Bounds())
    values = first(free, stages=3, growth3=2.0, head="conv")
    costs = free.costs(values)
    last = costs.exits[-1].at
    whole = min(costs.alone_macs(i) for i, e in enumerate(costs.exits) if e.at == last)
    tight = ExitSpace((8, 8, 1), 10, Bounds(max_macs=whole))
    assert not tight.rejected(values)
    kept = exit_costs(tight.network(values))
    assert max(kept.alone_macs(i) for i in range(len(kept))) == whole
    assert ExitSpace((8, 8, 1), 10, Bounds(max_macs=whole - 1)).rejected(values)


def test_a_bound_on_mean_macs_leaves_costlier_exits_to_a_mix() -> None:
    free = ExitSpace((8, 8, 1), 10, Bounds())
    values = first(free, family="separable")
    mixed = ExitSpace((8, 8, 1), 10, Bounds(max_mean_macs=6000)).network(values)
    assert mixed.output_names == free.network(values).output_names


@pytest.mark.parametrize(
    ("shape", "shrinks", "kernels"),
    [
        ((32, 32, 3), [1, 2], ["3x3", "5x5"]),
        ((31, 32, 3), [1], ["3x3", "5x5"]),
        ((28, 28, 1), [1], ["3x3", "5x5"]),
        ((20, 10, 1), [1], ["3x3", "5x5", "10x4"]),
        ((1, 128, 6), [1, 2, 4], ["3x3", "5x5", "9x9"]),
        ((64, 1, 2), [1, 2, 4], ["3x3", "5x5", "9x9"]),
    ],
)
def test_what_becomes_of_an_input_first_is_up_to_its_shape(
    shape: tuple[int, int, int], shrinks: list[int], kernels: list[str]
) -> None:
    offered = choices(ExitSpace(shape, 3, Bounds()))
    assert (offered["shrink"], offered["stem_kernel"]) == (shrinks, kernels)


def test_strides_leave_a_map_of_two_places() -> None:
    space = ExitSpace((8, 8, 1), 3, Bounds())
    strides = {"stem_stride": 2, "stride1": 2, "stride2": 2}
    taps = space.backbone(first(space, stages=2, **strides)).taps
    assert [tap.shape[:2] for tap in taps] == [(4, 4), (2, 2), (2, 2)]


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((7, 8, 1), ""),
        ((8, 7, 1), "; give time series as .samples, 1, steps, channels."),
        ((3, 32, 32), "; channels must be the last dimension"),
        ((2, 32, 3), ""),
    ],
)
def test_inputs_too_small_for_the_families_are_refused(
    shape: tuple[int, int, int], advice: str
) -> None:
    with pytest.raises(UserError, match=f"too small .* at least 8 x 8{advice}$"):
        check_size(shape)


def test_the_smallest_inputs_are_taken() -> None:
    for shape in ((8, 8, 1), (1, 8, 3)):
        check_size(shape)


def test_known_networks_are_points() -> None:
    """With their MACs in convolutions, as published or counted by hand."""
    doubling = {f"growth{stage}": 2.0 for stage in range(1, 6)}
    halving = {f"stride{stage}": 2 for stage in range(2, 6)}
    images = ExitSpace((32, 32, 3), 10, Bounds(max_macs=20_000_000))
    resnet8 = {"family": "residual", "stem_width": 16, "stages": 3}
    resnet8 |= doubling | halving | {"growth1": 1.0}
    check_known(images, resnet8, 12_501_632 - 64 * 10)
    speech = ExitSpace((49, 10, 1), 12, Bounds())
    ds_cnn = {"family": "separable", "stem_width": 64, "stem_kernel": "10x4", "stem_stride": 2}
    check_known(speech, ds_cnn | {"depth1": 4}, 125 * 64 * 40 + 4 * 125 * 64 * (9 + 64))
    visual = ExitSpace((96, 96, 3), 2, Bounds(max_macs=20_000_000))
    mobilenet = {"family": "separable", "stem_width": 8, "stem_stride": 2, "stages": 5}
    mobilenet |= doubling | halving | {"depth2": 2, "depth3": 2, "depth4": 6, "depth5": 2}
    # MLPerf Tiny's person detection: 7,489,664 MACs, the dense layer among them.
    point = check_known(visual, mobilenet, 7_489_664 - 2 * 256)
    taps = visual.backbone(point).taps
    assert [tap.shape[2] for tap in taps] == [8, 16, 32, 32, 64, 64] + [128] * 6 + [256] * 2


def check_known(space: ExitSpace, changes: dict, macs: int) -> dict:
    """The point's values."""
    values = first(space, **changes)
    assert layer_macs(space, values) == macs
    assert not space.rejected(values)
    return values


def layer_macs(space: ExitSpace, values: dict) -> int:
    """MACs of a backbone's convolutions."""
    from eexit_tf.network_costs import layer_macs

    net = build(space.backbone(values))
    return sum(layer_macs(layer) for layer in net.layers if "Conv" in type(layer).__name__)
