"""Backbones and spaces that the user brings: from a file, a function, Keras 3, a HyperModel."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import keras as keras3
import keras_tuner
import numpy as np
import pytest
from conftest import Run

from eexit_tf.costs import ExitCosts
from eexit_tf.data import Samples
from eexit_tf.errors import UserError
from eexit_tf.exits import attach_exits, exits_of, freeze_backbone
from eexit_tf.keras import keras, seed_everything
from eexit_tf.keras3 import from_keras3
from eexit_tf.network_costs import exit_costs
from eexit_tf.own_models import load_own_model, scale_input
from eexit_tf.taps import MOST, apart, clean_taps
from eexit_tf.training import LEARNING_RATE, fit
from eexit_tf.tuners.own_space import BackboneSpace, HyperModelSpace
from eexit_tf.tuners.surrogate import Encoder
from eexit_tf.vocabulary import Bounds, Exit

CLASSES = 10


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test imports its own `mine.py`."""
    monkeypatch.delitem(sys.modules, "mine", raising=False)


def small(layers: object, make: Callable, classes: int = CLASSES) -> object:
    """A residual network with batch norm and dropout, in whichever Keras."""
    inputs = layers.Input((8, 8, 1), name="image")
    x = layers.Conv2D(6, 3, padding="same", name="conv")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Activation("relu", name="first")(x)
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="inside")(x)
    y = layers.Conv2D(6, 1, use_bias=False, name="back")(y)
    y = layers.BatchNormalization(name="normed")(y)
    x = layers.Add(name="sum")([x, y])
    x = layers.Conv2D(12, 3, 2, padding="same", name="wider")(x)
    x = layers.ReLU(name="second")(x)
    x = layers.Conv2D(12, 3, padding="same", activation="relu", name="third")(x)
    x = layers.Dropout(0.5, name="drop")(x)
    x = layers.AveragePooling2D(4, name="pool")(x)
    x = layers.Flatten(name="flat")(x)
    return make(inputs, layers.Dense(classes, activation="softmax", name="scores")(x))


def test_taps_are_where_the_network_is_one_map_and_nothing_is_torn_apart() -> None:
    """Not before a ReLU, not on one of two branches, and not close to one another."""
    assert clean_taps(small(keras.layers, keras.Model)) == ["first", "sum", "second"]


def test_taps_are_apart_and_not_too_many() -> None:
    assert apart([100, 110, 200, 390, 400]) == [1, 2, 4]
    assert len(apart([int(1.31**k * 1000) for k in range(40)])) <= MOST


def test_a_keras3_model_computes_the_same_in_tf_keras() -> None:
    model = small(keras3.layers, keras3.Model)
    rng = np.random.default_rng(0)
    model.get_layer("norm").set_weights([rng.uniform(0.5, 2, 6) for _ in range(4)])
    rebuilt = from_keras3(model)
    x = rng.normal(size=(5, 8, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(rebuilt(x), np.asarray(model(x)), atol=1e-5)
    assert clean_taps(rebuilt) == ["first", "sum", "second"]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("writer", [keras, keras3], ids=["tf_keras", "keras3"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_files_of_both_kerases_load(tmp_path: Path, writer: object, suffix: str) -> None:
    model = small(writer.layers, writer.Model)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    own = load_own_model(str(path))
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(own.make()(x), np.asarray(model(x)), atol=1e-5)
    assert (len(own.sha256), own.tunable) == (64, False)


def test_what_cannot_be_used_is_explained(tmp_path: Path) -> None:
    inputs = keras3.Input((8, 8, 1))
    strange = keras3.Model(inputs, keras3.layers.RMSNormalization(name="odd")(inputs))
    with pytest.raises(UserError, match="layer 'odd' is a RMSNormalization"):
        from_keras3(strange)
    (tmp_path / "bad.h5").write_bytes(b"nothing")
    for spec, said in (
        (str(tmp_path / "none.h5"), "no such model file"),
        (str(tmp_path / "bad.h5"), "cannot be loaded as a Keras model"),
        ("model.onnx", "expected a Keras file"),
    ):
        with pytest.raises(UserError, match=said):
            load_own_model(spec).make()
    image = keras.Input((8, 8, 1))
    normed = keras.layers.BatchNormalization(name="first")(image)
    with pytest.raises(UserError, match="'first', a BatchNormalization"):
        scale_input(keras.Model(image, normed), 255)


@pytest.mark.parametrize(
    ("activation", "normed"), [("linear", True), ("relu", True), ("tanh", True), ("linear", False)]
)
def test_a_scaled_input_is_worth_as_much(activation: str, normed: bool) -> None:
    """Kernels behind which a normalisation follows keep their size, so that they can learn on."""
    model = small(keras.layers, keras.Model)
    rng = np.random.default_rng(0)
    conv, norm = model.get_layer("conv"), model.get_layer("norm")
    conv.activation = keras.activations.get(activation)
    conv.set_weights([rng.normal(size=weight.shape) for weight in conv.get_weights()])
    norm.set_weights([rng.uniform(0.5, 500, 6) for _ in range(4)])
    if not normed:
        model = keras.Model(model.input, conv.output)
    x = rng.uniform(0, 255, (4, 8, 8, 1)).astype(np.float32)
    expected, kernel = model(x).numpy(), conv.get_weights()[0]
    scale_input(model, 255)
    np.testing.assert_allclose(model(x / 255), expected, rtol=1e-4, atol=1e-4)
    factor = 1 if normed and activation != "tanh" else 255
    np.testing.assert_allclose(conv.get_weights()[0], kernel * factor, rtol=1e-6)


def test_training_heads_leaves_the_backbone_as_it_is() -> None:
    """Weights, batch norms' statistics and the own classifier; only heads learn."""
    seed_everything(0)
    backbone = small(keras.layers, keras.Model)
    exits = [Exit("first"), Exit("first", "conv3_dense"), Exit("second", "grid_dense")]
    net = attach_exits(backbone, exits)
    frozen = freeze_backbone(net)
    before = {weight.name: weight.numpy() for weight in net.weights}
    x = np.random.default_rng(0).normal(3, 2, (64, 8, 8, 1)).astype(np.float32)
    for given, expected in zip(frozen(x), net(x), strict=True):
        np.testing.assert_allclose(given, expected, atol=1e-6)
    fit(frozen, Samples(x, np.arange(64) % CLASSES), epochs=1)
    changed = {w.name for w in net.weights if not np.array_equal(w.numpy(), before[w.name])}
    heads = {w.name for w in net.weights if w.name.startswith(tuple(e.name for e in exits))}
    assert changed == heads
    assert exits_of(net)[-1] == Exit("scores", "own")


def test_costs_are_those_of_the_built_network(tmp_path: Path) -> None:
    path = tmp_path / "ready.h5"
    small(keras.layers, keras.Model).save(path)
    model = load_own_model(str(path))
    space = BackboneSpace((8, 8, 1), CLASSES, Bounds(), model=model, train="heads")
    hp = keras_tuner.HyperParameters()
    space.declare_hyperparameters(hp)
    for kind in ("none", "conv", "separable", "nachos"):
        values = hp.values | {"head": kind}
        assert space.costs(values) == exit_costs(space.full_network(values))


def test_a_trial_is_described_by_its_own_choices_and_its_strongest_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    model = load_own_model("mine:backbone")
    space = BackboneSpace((8, 8, 1), CLASSES, Bounds(), model=model, train="all")
    hp = keras_tuner.HyperParameters()
    space.declare_hyperparameters(hp)
    assert space.describe(hp.values | {"width": 8}) == "width 8, grid_dense"
    two = {"width": 4, "head": "conv", "head_modules": 2}
    assert space.describe(hp.values | two) == "width 4, conv3_conv3_dense"


def test_a_space_may_have_its_own_learning_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    rates = [
        HyperModelSpace((8, 8, 1), CLASSES, Bounds(), spec=f"mine:{name}").learning_rate
        for name in ("Space", "Trained")
    ]
    assert rates == [LEARNING_RATE, 1e-4]


def test_without_a_bound_the_costliest_network_is_where_costs_stop_counting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    space = BackboneSpace(
        (8, 8, 1), CLASSES, Bounds(), model=load_own_model("mine:backbone"), train="all"
    )
    hp = keras_tuner.HyperParameters()
    space.declare_hyperparameters(hp)
    heads = {"head": "conv", "head_modules": 1, "head_kernel": 5, "head_growth": 2}
    costs = space.costs(hp.values | heads | {"width": 8})
    dearest = max(costs.alone_macs(index) for index in range(len(costs)))
    assert space.reference_macs()[1] >= dearest > space.costs(hp.values).alone_macs(-1)


def test_a_model_that_a_function_gives_again_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    model = load_own_model("mine:kept", input_scale=255)
    first, expected = (net := model.make()), net.get_weights()
    first.set_weights([weight + 1 for weight in expected])  # as training does
    again = model.make()
    for weight, before in zip(again.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weight, before)


def test_hyperparameters_that_others_bring_are_searched_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)

    def space(name: str) -> BackboneSpace:
        model = load_own_model(f"mine:{name}")
        return BackboneSpace((8, 8, 1), CLASSES, Bounds(), model=model, train="all")

    hp = keras_tuner.HyperParameters()
    space("deep").declare_hyperparameters(hp)
    assert {"depth", "width0", "width1", "width2"} <= {choice.name for choice in hp.space}
    assert hp.values["depth"] == 1

    odd, hp = space("odd"), keras_tuner.HyperParameters()
    odd.declare_hyperparameters(hp)
    with pytest.raises(UserError, match="'late' is there for some values of others only"):
        odd.costs(hp.values | {"depth": 2})


def test_what_tfmot_will_not_take_is_told_before_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    doubts = [
        BackboneSpace(
            (8, 8, 1), CLASSES, Bounds(), model=load_own_model(f"mine:{name}"), train="all"
        ).doubt()
        for name in ("backbone", "pooled_norm")
    ]
    assert doubts[0] == ""
    assert "give --quantize ptq" in doubts[1]


def test_exits_without_weights_can_be_learnt_from() -> None:
    costs = ExitCosts((Exit("a"), Exit("b")), (10, 20), (0, 5), (0, 0), (0, 9), 3)
    assert np.isfinite(Encoder([], (1.0, 100.0)).costs(costs)).all()


def test_more_exits_than_the_policy_search_takes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="a network with 65 exits; expected 64 at most"):
        HyperModelSpace((8, 8, 1), CLASSES, Bounds(), spec="mine:Crowded")


MINE = """
import keras_tuner
from tf_keras import layers, Model, Sequential
from eexit_tf import Exit, attach_exits

def backbone(hp):
    width = hp.Choice("width", [4, 8])
    inputs = layers.Input((8, 8, 1))
    x = layers.Conv2D(width, 3, activation="relu", name="one")(inputs)
    return Model(inputs, layers.Conv2D(2 * width, 3, activation="relu", name="two")(x))

def unsearchable(hp):
    hp.Float("rate", 0.0, 1.0)
    return backbone(hp)

def deep(hp):
    inputs = x = layers.Input((8, 8, 1))
    for number in range(hp.Choice("depth", [1, 2, 3])):
        width = hp.Choice(f"width{number}", [4, 8])
        x = layers.Conv2D(width, 3, padding="same", activation="relu", name=f"c{number}")(x)
    return Model(inputs, x)

def odd(hp):
    if hp.Choice("depth", [1, 2, 3]) == 2:
        hp.Choice("late", [1, 2])
    return backbone(hp)

def taken(hp):
    hp.Choice("head_kernel", [1, 7])
    return backbone(hp)

def twice():
    inputs = layers.Input((8, 8, 1))
    again = layers.Conv2D(4, 3, padding="same", activation="relu", name="again")
    return Model(inputs, again(again(layers.Conv2D(4, 3, activation="relu", name="one")(inputs))))

def spaced():
    import keras
    inputs = keras.Input((8, 8, 1))
    return keras.Model(inputs, keras.layers.Conv2D(4, 3, activation="relu", name="a b")(inputs))

def unbuilt3():
    import keras
    return keras.Sequential([keras.layers.Conv2D(4, 3, activation="relu")])

def pooled_norm():
    inputs = layers.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, activation="relu", name="one")(inputs)
    x = layers.BatchNormalization()(layers.MaxPooling2D(2)(x))
    return Model(inputs, layers.Conv2D(4, 3, activation="relu", name="two")(x))

def unnamed(hp):
    width = hp.Choice("width", [4, 8])
    inputs = layers.Input((8, 8, 1))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(width, 3)(inputs)))
    x = layers.Conv2D(width, 3, 2, activation="relu")(x)
    return Model(inputs, layers.Dense(10, activation="softmax")(layers.Flatten()(x)))

KEPT = unnamed(keras_tuner.HyperParameters())

def kept():
    return KEPT

class Crowded(keras_tuner.HyperModel):
    def build(self, hp):
        inputs = layers.Input((8, 8, 1))
        x = layers.Flatten()(inputs)
        exits = [layers.Dense(10, activation="softmax")(x) for _ in range(65)]
        return Model(inputs, exits)

def joined():
    inputs = layers.Input((8, 8, 1))
    x = layers.Conv2D(6, 3, activation="relu", padding="same", name="one")(inputs)
    y = layers.DepthwiseConv2D(3, activation="relu", padding="same", name="aside")(x)
    x = layers.Concatenate(name="both")([x, y])
    return Model(inputs, layers.Conv2D(8, 3, 2, activation="relu", name="two")(x))

def logits():
    net = unnamed(keras_tuner.HyperParameters())
    return Model(net.input, layers.Dense(10)(net.layers[-2].output))

def two():
    net = unnamed(keras_tuner.HyperParameters())
    return Model(net.input, [net.output, net.layers[-2].output])

def unbuilt():
    return Sequential([layers.Conv2D(4, 3, activation="relu")])

def between(first, second):
    pass

def operation():
    import keras
    inputs = keras.Input((8, 8, 1))
    return keras.Model(inputs, keras.layers.ReLU()(inputs) + inputs)

class Space(keras_tuner.HyperModel):
    def build(self, hp):
        return attach_exits(backbone(hp), [Exit("one"), Exit("two", "grid_dense")], classes=10)

class Trained(Space):
    learning_rate = 1e-4

class Unlearning(Space):
    learning_rate = 0.0

class Logits(keras_tuner.HyperModel):
    def build(self, hp):
        return logits()
"""


@pytest.mark.parametrize(
    ("option", "exits"),
    [
        (["--backbone", "mine:backbone"], {"one", "two"}),
        (["--space", "mine:Space"], {"one", "two"}),
        (["--backbone", "mine:unnamed"], {"re_lu", "conv2d_1", "dense"}),
        (["--backbone", "mine:joined"], {"one", "both", "two"}),
        (["--backbone", "ready.h5", "--input-scale", "255"], {"first", "sum", "second", "scores"}),
    ],
)
def test_a_search_of_ones_own_resumes_and_converts(
    eexit_tf: Run, some_digits: Path, tmp_path: Path, option: list[str], exits: set[str]
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    if "ready.h5" in option:
        small(keras.layers, keras.Model).save(tmp_path / "ready.h5")
    command = ["search", "--dataset", some_digits, "--output", "out", "--max-trials", "1"]
    for _ in range(2):
        run = eexit_tf(*command, "--epochs", "1", *option, cwd=tmp_path)
        assert run.returncode == 0, run.stderr
    front = json.loads((tmp_path / "out" / "front.json").read_text())
    assert {use["at"] for point in front["points"] for use in point["exits"]} <= exits
    run = eexit_tf("convert", "out", "--output", "m.tflite", "--quantize", "ptq", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    run = eexit_tf(*command, "--epochs", "1", cwd=tmp_path)
    assert (run.returncode, "holds another search" in run.stderr) == (2, True)
    if option[1] == "mine:backbone":
        (tmp_path / "mine.py").write_text(MINE.replace('"width", [4, 8]', '"width", [4, 6]'))
        run = eexit_tf(*command, "--epochs", "1", *option, cwd=tmp_path)
        assert (run.returncode, "'width' is [4, 8] there, [4, 6] now" in run.stderr) == (2, True)


def test_wrong_options_are_explained(eexit_tf: Run, some_digits: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    for options, said in (
        (["--backbone", "mine:backbone", "--space", "mine:Space"], "not both"),
        (["--train", "heads"], "go with a backbone"),
        (["--backbone", "mine:unsearchable"], r"hp.Choice('rate', [...])"),
        (["--space", "mine:backbone"], "mine:backbone"),
        (["--backbone", "gone.keras"], "no such model file"),
        (["--backbone", "mine:logits"], "without a softmax; end it with a softmax"),
        (["--backbone", "mine:two"], "has 2 outputs; expected one"),
        (["--backbone", "mine:unbuilt"], "not a functional model with one input"),
        (["--backbone", "mine:between"], "takes first, second; expected hp or nothing"),
        (["--backbone", "mine:operation"], "'add' is a Add, which tf_keras does not have"),
        (["--backbone", "mine:taken"], "'head_kernel' of mine:taken is the search's own"),
        (["--backbone", "mine:twice"], "layer 'again' is called more than once"),
        (["--backbone", "mine:spaced"], "layer 'a b' cannot be converted from Keras 3"),
        (["--backbone", "mine:unbuilt3"], "its first layer must be an Input"),
        (["--backbone", "builtins:dict"], "builtins:dict is no function of yours"),
        (["--space", "mine:Space", "--max-params", "5"], "proposed keeps max_params 5: of the"),
        (["--backbone", "mine:unnamed", "--max-macs", "10"], "reading the 64 values of an input"),
        (["--space", "mine:Unlearning"], "of mine:Unlearning is 0.0; expected a float above 0"),
        (["--space", "mine:Logits"], "is not that of a softmax"),
    ):
        run = eexit_tf(
            *("search", "--dataset", some_digits, "--output", "out", *options), cwd=tmp_path
        )
        assert run.returncode == 2, run.stderr
        assert said in run.stderr, run.stderr
        assert "Traceback" not in run.stderr
