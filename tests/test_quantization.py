"""Quantisation-aware training: which weights it trains as what, and what its exits are called."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.data import Samples
from eexit_tf.errors import UserError
from eexit_tf.exits import attach_exits
from eexit_tf.keras import keras, seed_everything
from eexit_tf.own_models import functional
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.compiler import compile as compile_network
from eexit_tf.tflite.model import Method
from eexit_tf.tflite.quantization import quantizable, quantize
from eexit_tf.tflite.runtimes import LiteRT
from eexit_tf.vocabulary import Exit, ExitUse, OperatingPoint

RNG = np.random.default_rng(0)
TRAIN = Samples(RNG.random((64, 8, 8, 1), np.float32), RNG.integers(0, 3, 64))
layers = keras.layers


def own_backbone(relu: keras.layers.Layer) -> keras.Model:
    """Convolutions with a ReLU of their own behind them, with and without a batch norm between."""
    seed_everything(0)
    inputs = layers.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, padding="same", name="bare")(inputs)
    x = relu(x)
    y = layers.Conv2D(4, 3, padding="same", name="normed")(x)
    y = layers.ReLU(name="inner")(layers.BatchNormalization()(y))
    x = layers.Add(name="sum")([x, y])
    x = layers.Conv2D(8, 3, 2, activation="relu", name="second")(x)
    x = layers.Flatten()(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="dense")(x))


def kernel_types(content: bytes) -> list[str]:
    """Of the convolutions and dense layers, in the order of execution."""
    model = flatbuffer.read(content)
    names = {value: name for name, value in vars(fb.TensorType).items()}
    kinds = (fb.BuiltinOperator.CONV_2D, fb.BuiltinOperator.FULLY_CONNECTED)
    return [
        names[model.subgraphs[0].tensors[operator.inputs[1]].type]
        for operator in model.subgraphs[0].operators
        if model.operatorCodes[operator.opcodeIndex].builtinCode in kinds
    ]


@pytest.mark.parametrize("relu", [layers.ReLU(name="tap"), layers.Activation("relu", name="tap")])
def test_weights_before_a_relu_of_its_own_have_the_bits_too(relu: keras.layers.Layer) -> None:
    net = attach_exits(own_backbone(relu), [Exit("tap")])
    multi = quantize(net, TRAIN, epochs=1, backbone_bits=4, head_bits=8)
    head, dense = "INT8", "INT8"
    assert sorted(kernel_types(multi.content)) == sorted(["INT4"] * 3 + [head, dense])


def test_bits_that_tfmot_does_not_give_are_refused() -> None:
    net = attach_exits(own_backbone(layers.ReLU(6.0, name="tap")), [Exit("tap")])
    with pytest.raises(UserError, match="does not quantise the weights of 'bare' to 4 bits"):
        quantize(net, TRAIN, epochs=1, backbone_bits=4)
    assert quantize(net, TRAIN, epochs=1).exits == (Exit("tap"), Exit("dense", "own"))


@pytest.mark.parametrize("method", ["qat", "ptq"])
def test_a_layer_of_another_precision_is_refused(method: str) -> None:
    inputs = layers.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, activation="relu", name="half", dtype="mixed_float16")(inputs)
    net = attach_exits(keras.Model(inputs, x, name="mine"), [Exit("half")], classes=3)
    with pytest.raises(UserError, match="layer 'half' of mine computes in float16, where int8 is"):
        quantize(net, TRAIN, method=method, epochs=1)


def dilated(x: Any) -> Any:
    x = layers.Conv2D(4, 3, padding="same", dilation_rate=2, use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return layers.DepthwiseConv2D(2, dilation_rate=3, activation="relu", name="late")(x)


@pytest.mark.parametrize("method", ["qat", "ptq"])
def test_dilated_convolutions_stay_convolutions(method: Method) -> None:
    seed_everything(0)
    inputs = layers.Input((8, 8, 1))
    net = attach_exits(keras.Model(inputs, dilated(inputs)), [Exit("late")], classes=3)
    multi = quantize(net, TRAIN, method=method, epochs=1)
    model = flatbuffer.read(multi.content)
    convs = [op for op in model.subgraphs[0].operators if "CONV" in schema.op_name(model, op)]
    assert [op.builtinOptions.dilationWFactor for op in convs] == [2, 3]
    if method == "ptq":
        given = (TRAIN.x / schema.quantization(model.subgraphs[0].tensors[0])[0] - 128).round()
        (said,) = LiteRT(multi.content).run(given.astype(np.int8)).values()
        np.testing.assert_allclose(said / 256 + 0.5, net.predict(TRAIN.x, verbose=0), atol=0.05)


@pytest.mark.parametrize("kinds", ["cs", "sc", "csc", "sd", "ds", "sds", "ssd"])
def test_separable_convolutions_of_a_file_are_quantised(kinds: str, tmp_path: Path) -> None:
    seed_everything(0)
    made = {
        "c": lambda: layers.Conv2D(4, 3, activation="relu"),
        "d": lambda: layers.DepthwiseConv2D(2, activation="relu"),
        "s": lambda: layers.SeparableConv2D(4, 2, activation="relu"),
    }
    x = inputs = layers.Input((8, 8, 1))
    for kind in kinds:
        x = made[kind]()(x)
    x = layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(x))
    keras.Model(inputs, x).save(tmp_path / "own.keras")
    keras.backend.clear_session()  # as in another process, where these names were not given yet
    net = keras.models.load_model(tmp_path / "own.keras", compile=False)
    given = net.get_weights()
    found = [weights.numpy() for weights in quantizable(net).weights]
    for weights in given:
        assert any(w.size == weights.size and (w.ravel() == weights.ravel()).all() for w in found)


def test_weights_that_are_no_numbers_are_refused() -> None:
    model = own_backbone(layers.ReLU(name="tap"))
    kernel, bias, *_ = model.get_weights()
    kernel[0] = np.nan
    model.layers[1].set_weights([kernel, bias])
    with pytest.raises(UserError, match="from mine: the weights bare/kernel:0 are not finite"):
        functional(model, "mine")


def two_exits(*names: str) -> keras.Model:
    """A network that has exits without `attach_exits`."""
    seed_everything(0)
    inputs = layers.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, activation="relu")(inputs)
    y = layers.Conv2D(8, 3, activation="relu")(x)
    pairs = zip((x, y), names, strict=True)
    outputs = [layers.Dense(3, "softmax", name=name)(layers.Flatten()(z)) for z, name in pairs]
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize(
    "make",
    [
        lambda: attach_exits(own_backbone(layers.ReLU(name="tap")), [Exit("tap")]),
        lambda: two_exits("early", "late"),
        lambda: two_exits("a_1__b__c", "d__e"),
        lambda: two_exits("quant_early", "early"),
    ],
)
def test_a_classifier_of_its_own_is_an_exit_of_what_was_fine_tuned(
    make: Callable[[], keras.Model],
) -> None:
    multi = quantize(make(), TRAIN, epochs=1)
    first, last = multi.exits
    uses = (ExitUse(first.at, first.head, 0.5, 0.5, 1), ExitUse(last.at, last.head, 0, 0.5, 2))
    point = OperatingPoint("a", "0", 0.5, 1.5, 2, 1, uses)
    compiled = compile_network(multi, point)
    assert [(exit_.at, exit_.head) for exit_ in compiled.exits] == [
        (exit_.at, exit_.head) for exit_ in multi.exits
    ]
    assert compiled.exits[0].macs < compiled.exits[1].macs
