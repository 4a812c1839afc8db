"""The cost convention, against figures worked out by hand and between Keras and `.tflite`."""

from dataclasses import replace
from typing import Any

import pytest

from eexit_tf.blueprints import conv, image
from eexit_tf.bounds import Bounds
from eexit_tf.costs import (
    ExitCosts,
    conv_macs,
    decision_macs,
    dense_macs,
    depthwise_macs,
    elementwise_macs,
    pool_macs,
)
from eexit_tf.heads import GRID, NACHOS, POOLED, head
from eexit_tf.network_costs import described_costs, trunk_macs
from eexit_tf.vocabulary import Exit


def test_operator_formulas() -> None:
    assert conv_macs((4, 5, 6), (3, 1), 2) == 4 * 5 * 6 * 3 * 1 * 2
    assert depthwise_macs((4, 5, 6), (3, 3)) == 4 * 5 * 6 * 9
    assert dense_macs(64, 10) == 640
    assert pool_macs((1, 1, 64), (8, 8)) == 64 * 64
    assert elementwise_macs((8, 8, 3)) == 192
    assert decision_macs(10) == 11
    assert decision_macs(10, "margin") == 52


def test_leaving_pays_for_executed_heads_and_decisions() -> None:
    costs = ExitCosts(
        exits=(Exit("a"), Exit("b"), Exit("c")),
        trunk_macs=(100, 200, 400),
        head_macs=(10, 20, 30),
        trunk_params=(1, 2, 4),
        head_params=(7, 8, 9),
        decision=3,
    )
    assert costs.leave_macs([0, 1, 2]) == (100 + 10 + 3, 200 + 30 + 6, 400 + 60 + 6)
    assert costs.leave_macs([0, 2]) == (113, 400 + 40 + 3)
    assert costs.leave_macs([1]) == (220,)
    assert costs.alone_macs(1) == 220
    assert costs.params([0, 2]) == 4 + 7 + 9
    unknown = {"flash_bytes": None, "arena_bytes": None}
    assert costs.size([0, 2]) == {"max_macs": 443, "params": 20, **unknown}
    assert costs.keep([0, 2], Bounds(max_macs=443, max_params=20, max_flash=1))
    assert not costs.keep([0, 2], Bounds(max_macs=442))
    assert not costs.keep([0, 2], Bounds(max_params=19))
    with pytest.raises(ValueError, match="different numbers of exits"):
        replace(costs, head_params=(7, 8))
    with pytest.raises(ValueError, match="in the order of execution"):
        replace(costs, trunk_macs=(100, 400, 200))


@pytest.mark.parametrize(
    ("kind", "options", "macs"),
    [
        ("Conv2D", {"filters": 6, "kernel_size": (3, 1)}, 4 * 8 * 6 * 3 * 4),
        ("Conv2D", {"filters": 6, "kernel_size": 1, "activation": "softmax"}, 4 * 8 * 6 * (4 + 1)),
        ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2}, 4 * 8 * 8 * 9),
        (
            "SeparableConv2D",
            {"filters": 6, "kernel_size": 3, "strides": 2, "depth_multiplier": 3},
            2 * 4 * 12 * 9 + 2 * 4 * 6 * 12,
        ),
        ("Dense", {"units": 5}, 4 * 8 * 5 * 4),
        ("Dense", {"units": 5, "activation": "softmax"}, 4 * 8 * 5 * (4 + 1)),
        ("AveragePooling2D", {"pool_size": (2, 4)}, 2 * 2 * 4 * 8),
        ("MaxPooling2D", {"pool_size": 3, "strides": 1}, 4 * 8 * 4 * 9),
        ("GlobalAveragePooling2D", {}, 4 * 8 * 4),
        ("GlobalMaxPooling2D", {}, 4 * 8 * 4),
        ("Softmax", {}, 4 * 8 * 4),
        ("Activation", {"activation": "softmax"}, 4 * 8 * 4),
        ("Activation", {"activation": "relu"}, 0),
        ("Concatenate", {}, 0),
        ("Add", {}, 2 * 4 * 8 * 4),
    ],
)
def test_layers_by_hand(kind: str, options: dict[str, Any], macs: int) -> None:
    from eexit_tf.keras import keras
    from eexit_tf.network_costs import layer_macs

    maps = [keras.Input((4, 8, 4)) for _ in range(3)]
    if "Conv" in kind or kind == "MaxPooling2D":
        options = {"padding": "same", **options}
    layer = getattr(keras.layers, kind)(**options)
    layer(maps if kind in ("Add", "Concatenate") else maps[0])
    assert layer_macs(layer) == macs


def test_what_exits_share_is_the_trunk_and_the_cheaper_one_comes_first() -> None:
    first = conv(image((8, 8, 1)), 4, 3, name="first")
    second = conv(first, 8, 3, 2, name="second")
    taps, kinds = (second, first), (NACHOS, GRID, POOLED)
    few = described_costs({Exit(x.name): head(x, POOLED, 3, f"{x.name}__") for x in taps})
    trunk, rest = 8 * 8 * 4 * 9, 4 * 4 * 8 * 9 * 4
    assert few.exits == (Exit("first"), Exit("second"))
    assert few.trunk_macs == (trunk, trunk)
    assert few.head_macs == (8 * 8 * 4 + 4 * 3 + 3, rest + 4 * 4 * 8 + 8 * 3 + 3)
    assert (few.trunk_params, few.head_params) == ((40, 40), (4 * 3 + 3, 8 * 36 + 8 + 8 * 3 + 3))
    assert few.decision == 4
    many = described_costs(
        {Exit(x.name, kind): head(x, kind, 3, f"{x.name}__{kind}") for x in taps for kind in kinds}
    )
    assert many.exits == tuple(Exit(x.name, kind) for x in (first, second) for kind in kinds[::-1])
    assert many.trunk_macs == (trunk,) * 3 + (trunk + rest,) * 3
    assert trunk_macs([second, first]) == [trunk + rest, trunk]


def test_resnet8_by_hand() -> None:
    """MLPerf Tiny's ResNet-8: 12,501,632 MACs in convolutions and the dense layer."""
    from eexit_tf.backbones import residual
    from eexit_tf.exits import attach_exits
    from eexit_tf.network_costs import exit_costs

    stem = 32 * 32 * 16 * 3 * 3 * 3
    first = 2 * (32 * 32 * 16 * 3 * 3 * 16)
    second = 16 * 16 * 32 * (3 * 3 * 16 + 3 * 3 * 32 + 16)
    third = 8 * 8 * 64 * (3 * 3 * 32 + 3 * 3 * 64 + 32)
    dense = 64 * 10
    assert stem + first + second + third + dense == 12_501_632
    adds = 32 * 32 * 16 + 16 * 16 * 32 + 8 * 8 * 64
    pool, softmax = 8 * 8 * 64, 10

    backbone = residual((32, 32, 3))
    net = attach_exits(backbone, [Exit("block3")], classes=10)
    costs = exit_costs(net)
    assert costs.alone_macs(0) == 12_501_632 + adds + pool + softmax
    # MLPerf's own count of parameters is 78,666 with biases and batch norms; folded, one bias a
    # channel is left of each convolution.
    weights = 9 * (3 * 16 + 2 * 16 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64)
    weights += 16 * 32 + 32 * 64 + 64 * 10
    biases = 3 * 16 + 3 * 32 + 3 * 64 + 10
    assert costs.params([0]) == weights + biases


@pytest.mark.parametrize("family", ["residual", "separable", "inverted_residual", "plain"])
@pytest.mark.parametrize("shape", [(8, 8, 1), (49, 10, 1), (1, 64, 3)])
def test_keras_and_tflite_count_the_same(family: str, shape: tuple[int, int, int]) -> None:
    """MACs and parameters of every subset's stages: before conversion as after it."""
    import numpy as np
    from networks import HEADS

    from eexit_tf.backbones import Stage, Stem, blueprint
    from eexit_tf.building import build
    from eexit_tf.data import Samples
    from eexit_tf.exits import attach_exits
    from eexit_tf.network_costs import exit_costs
    from eexit_tf.tflite import flatbuffer
    from eexit_tf.tflite.quantization import quantize
    from eexit_tf.tflite.splicing.stages import cut

    stages = (Stage(8, kernel=5, stride=1), Stage(12))
    backbone = build(blueprint(family, shape, Stem(8), stages))
    exits = [Exit(tap, head) for tap in ("stem", "block1", "block2") for head in HEADS]
    net = attach_exits(backbone, exits, classes=10)
    net.set_weights([weight + 0.01 for weight in net.get_weights()])  # a bias of 0 is dropped
    x = np.random.default_rng(0).random((8, *shape), np.float32)
    multi = quantize(net, Samples(x, np.zeros(8, np.int64)), method="ptq")
    costs = exit_costs(net)
    model = flatbuffer.read(multi.content)
    for chosen in ([0], [1, 4], [0, 2, 5, 8], list(range(len(costs)))):
        stages = cut(model, [costs.exits[i].name for i in chosen])
        assert stages.leave_macs == costs.leave_macs(chosen)
        assert stages.params == costs.params(chosen)


@pytest.mark.parametrize(
    ("kind", "bias", "between"),
    [
        ("Conv2D", True, ""),
        ("DepthwiseConv2D", True, ""),
        ("Dense", True, ""),
        ("Conv2D", True, "Dropout"),
        ("Conv2D", False, "BatchNormalization"),
        ("Conv2D", True, "ReLU"),
        ("Conv2D", True, "MaxPooling2D"),
        ("Conv2D", True, "Add"),
    ],
)
def test_a_batch_norm_costs_what_the_file_has_of_it(kind: str, bias: bool, between: str) -> None:
    """A bias, nothing where there is one, or an operator or two where it cannot be folded."""
    import numpy as np

    from eexit_tf.data import Samples
    from eexit_tf.exits import attach_exits
    from eexit_tf.keras import keras
    from eexit_tf.network_costs import exit_costs
    from eexit_tf.tflite import flatbuffer
    from eexit_tf.tflite.quantization import quantize
    from eexit_tf.tflite.splicing.stages import cut

    layers = keras.layers
    inputs = layers.Input((8, 8, 1))
    x = layers.Conv2D(6, 3, activation="relu", name="first")(inputs)
    if kind == "Dense":
        x = layers.Dense(8, use_bias=bias)(layers.Flatten()(x))
    else:
        size = {"filters": 8} if kind == "Conv2D" else {}
        x = getattr(layers, kind)(kernel_size=3, use_bias=bias, **size)(x)
    if between == "Add":  # which reads what the first batch norm reads
        y = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Add()([x, layers.Conv2D(8, 1)(y)])
    elif between:
        x = getattr(layers, between)(*([0.1] if between == "Dropout" else []))(x)
    x = layers.Flatten()(layers.ReLU()(layers.BatchNormalization()(x)))
    backbone = keras.Model(inputs, layers.Dense(3, activation="softmax", name="last")(x))
    net = attach_exits(backbone, [Exit("first")])
    rng = np.random.default_rng(0)
    # A bias of 0 is dropped, and equal constants stand once.
    net.set_weights([w + rng.uniform(0.01, 0.1, w.shape) for w in net.get_weights()])
    samples = rng.random((8, 8, 8, 1), np.float32)
    multi = quantize(net, Samples(samples, np.zeros(8, np.int64)), method="ptq")
    stages = cut(flatbuffer.read(multi.content), net.output_names)
    costs = exit_costs(net)
    assert costs.params([0, 1]) == stages.params
    assert costs.leave_macs([0, 1]) == stages.leave_macs
