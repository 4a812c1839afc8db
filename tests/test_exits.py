"""Attaching exits to backbones, and cutting networks down to some."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from networks import HEADS

from eexit_tf.backbones import FAMILIES, Stage, Stem, blueprint, residual, taps
from eexit_tf.building import build
from eexit_tf.errors import UserError
from eexit_tf.exits import attach_exits, exits_of, freeze_backbone, keep_exits
from eexit_tf.gates import add_gates
from eexit_tf.keras import keras
from eexit_tf.network_costs import exit_costs
from eexit_tf.slow_backbone import SlowBackbone
from eexit_tf.vocabulary import Exit

NARROW = {"stem": Stem(4), "stages": (Stage(4, stride=1), Stage(8))}


@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_come_in_the_order_of_cost_whatever_the_order_given(family: str) -> None:
    backbone = build(blueprint(family, (8, 8, 1), **NARROW))
    wanted = [Exit(tap, head) for tap in reversed(taps(backbone)) for head in HEADS]
    net = attach_exits(backbone, wanted, classes=3)
    costs = exit_costs(net)
    assert set(exits_of(net)) == set(wanted)
    assert exits_of(net) == list(costs.exits)
    assert all(output.shape[1:] == (3,) for output in net.outputs)
    alone = [costs.trunk_macs[i] for i in range(len(costs))]
    assert alone == sorted(alone)


def test_a_backbones_own_classifier_stays_the_last_exit() -> None:
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, name="first")(inputs)
    x = keras.layers.ReLU(name="tap")(x)
    x = keras.layers.Conv2D(4, 3)(x)
    x = keras.layers.Flatten()(x)
    backbone = keras.Model(inputs, keras.layers.Dense(5, activation="softmax", name="own_head")(x))
    net = attach_exits(backbone, [Exit("tap")])
    assert exits_of(net) == [Exit("tap"), Exit("own_head", "own")]


def test_a_backbones_own_classifier_has_the_classes_of_its_exits() -> None:
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="tap")(inputs)
    x = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(x))
    backbone = keras.Model(inputs, x)
    with pytest.raises(UserError, match="a classifier of 2 classes, where 5 were asked for"):
        attach_exits(backbone, [Exit("tap")], classes=5)
    net = attach_exits(backbone, [Exit("tap")], classes=2)
    assert net.output_shape == [(None, 2)] * 2


def test_kept_exits_share_weights_and_say_the_same() -> None:
    backbone = residual((8, 8, 1), **NARROW)
    net = attach_exits(backbone, [Exit(tap) for tap in taps(backbone)], classes=3)
    small = keep_exits(net, [Exit("stem"), Exit("block2")])
    x = np.random.default_rng(0).random((4, 8, 8, 1), np.float32)
    for kept, full in zip(small(x), [net(x)[0], net(x)[2]], strict=True):
        np.testing.assert_array_equal(kept, full)


def own_exits(*names: str) -> keras.Model:
    """A network that came with two exits; the map between them is `tap`."""
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="tap")(inputs)
    outputs = [
        keras.layers.Dense(3, "softmax", name=name)(keras.layers.Flatten()(map_))
        for name, map_ in zip(names, (x, keras.layers.Conv2D(4, 3)(x)), strict=True)
    ]
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize("names", [("early", "late"), ("one__two", "three__four")])
def test_a_frozen_backbone_keeps_each_exit_of_its_own(names: tuple[str, str]) -> None:
    backbone = own_exits(*names)
    flat = keras.layers.Flatten()(backbone.get_layer("tap").output)
    head = keras.layers.Dense(3, "softmax", name="tap__pool_dense")(flat)
    net = keras.Model(backbone.input, [*backbone.outputs, head])
    frozen = freeze_backbone(net)
    x = np.random.default_rng(0).random((4, 8, 8, 1), np.float32)
    for given, expected in zip(frozen(x), net(x), strict=True):
        np.testing.assert_allclose(given, expected, atol=1e-6)
    assert {w.name.split("/")[0] for w in frozen.trainable_weights} == {"tap__pool_dense"}
    assert len(SlowBackbone(net, 0.1).weights) == len(net.trainable_weights) - len(
        frozen.trainable_weights
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda net: own_exits("early", "late"),
        lambda net: own_exits("one__two", "three__four"),
        freeze_backbone,
        add_gates,
    ],
)
def test_a_backbone_without_heads_of_ours_is_not_frozen(make: Callable) -> None:
    net = make(
        attach_exits(residual((8, 8, 1), **NARROW), [Exit("stem"), Exit("block2")], classes=3)
    )
    for use in (freeze_backbone, lambda net: SlowBackbone(net, 0.1)):
        with pytest.raises(UserError, match="heads cannot be told from the backbone"):
            use(net)


@pytest.mark.parametrize(
    ("exits", "classes", "message"),
    [
        ([Exit("nowhere")], 3, "no layer 'nowhere'"),
        ([Exit("block1", "antlers")], 3, "unknown head 'antlers'"),
        ([Exit("block1", "conv3_conv3_conv3_dense")], 3, "one or two modules"),
        ([Exit("block1")], None, "needs classes="),
        ([Exit("block1")], 1, "two classes or more apart, but classes is 1"),
        ([], 3, "no exits given"),
        ([Exit("block1"), Exit("block1")], 3, "an exit is given twice"),
    ],
)
def test_wrong_exits_are_explained(exits: list[Exit], classes: int | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        attach_exits(residual((8, 8, 1), **NARROW), exits, classes=classes)


def test_taps_on_branches_that_exclude_each_other_are_refused() -> None:
    inputs = keras.Input((8, 8, 1))
    left = keras.layers.Conv2D(4, 3, name="left")(inputs)
    right = keras.layers.Conv2D(4, 3, name="right")(inputs)
    joined = keras.layers.Add(name="joined")([left, right])
    heads = [Exit(at, head) for at in ("left", "right", "joined") for head in HEADS]
    with pytest.raises(UserError, match="neither comes first"):
        attach_exits(keras.Model(inputs, joined), heads, classes=3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Stem(0),
        lambda: Stem(kernel=(3, 0)),
        lambda: Stage(4, stride=-1),
        lambda: Stage(4, depth=0),
        lambda: Stem("8"),
        lambda: Stem(8.5),
        lambda: Stem([8, 8]),
        lambda: Stem(8, (3, 5, 3)),
        lambda: Stem(8, (3, "5")),
        lambda: Stem(8, ((3, 3), 5)),
        lambda: Stage(8, kernel=3.0),
        lambda: Stage(8, kernel=(3, 3, 3)),
        lambda: Stage(8, depth=None),
    ],
)
def test_numbers_of_a_backbone_are_whole_and_1_or_more(make: Callable[[], Stem | Stage]) -> None:
    with pytest.raises(UserError, match=r"must be a whole number.* of 1 or more, but there is St"):
        make()


def test_integers_of_numpy_are_numbers_of_a_backbone() -> None:
    eight, three, five = np.array([8, 3, 5], np.uint8)
    assert Stem(eight, (three, five)) == Stem(8, np.array([3, 5])) == Stem(8, (3, 5))
    assert type(Stage(eight).width) is int
    assert Stage(8, kernel=[three, five]) == Stage(8, kernel=(3, 5))
    made = residual(np.array([8, 8, 1]), stem=Stem(4), stages=[Stage(eight, depth=three)])
    assert made.output_shape == (None, 4, 4, 8)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stages": Stage(8)}, r"expected a sequence of stages, such as \[Stage\(16\)\], but got"),
        ({"stages": [8, 16]}, r"but got \[8, 16\]"),
        ({"stem": 8}, r"expected a Stem, such as Stem\(16\), but got 8"),
        ({"input_shape": 8}, r"expected \(height, width, channels\), but got 8"),
        ({"input_shape": (8, 8)}, r"but got \(8, 8\)"),
        ({"input_shape": (8, 8, 1.0)}, r"but got \(8, 8, 1.0\)"),
        ({"input_shape": (8, 8, 0)}, r"must be 1 or more, but are \(8, 8, 0\)"),
    ],
)
def test_other_parts_of_a_backbone_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        residual(**{"input_shape": (8, 8, 1), **given})
