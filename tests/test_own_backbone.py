"""Backbones and spaces that the user brings: from a file, a function, Keras 3, a HyperModel."""

from collections.abc import Callable
from pathlib import Path

import keras as keras3
import keras_tuner
import numpy as np
import pytest

from eexit_tf.bounds import Bounds
from eexit_tf.data import Samples
from eexit_tf.errors import UserError
from eexit_tf.exits import attach_exits, exits_of, freeze_backbone
from eexit_tf.keras import keras, seed_everything
from eexit_tf.keras3 import from_keras3
from eexit_tf.network_costs import exit_costs
from eexit_tf.own_models import functional, load_own_model, scale_input
from eexit_tf.taps import MOST, apart, clean_taps
from eexit_tf.training import fit
from eexit_tf.tuners.backbone_space import BackboneSpace
from eexit_tf.vocabulary import Exit

CLASSES = 10


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
    x = layers.SpatialDropout2D(0.1, name="drop_maps")(x)
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
    assert apart([100, 200, 400]) == [0, 1, 2]
    assert apart([100]) == [0]


def test_taps_are_maps_of_more_than_one_position() -> None:
    make = keras.layers
    inputs = make.Input((8, 8, 1))
    x = make.Conv2D(4, 3, activation="relu", name="tap")(inputs)
    x = make.Conv2D(8, 6, activation="relu", name="one_position")(x)
    x = make.Dense(200, activation="relu", name="vector")(make.Flatten()(x))
    scores = make.Dense(3, activation="softmax")(x)
    assert clean_taps(keras.Model(inputs, scores)) == ["tap"]
    flat = make.Dense(3, activation="softmax")(make.Flatten()(inputs))
    assert clean_taps(keras.Model(inputs, flat)) == []


def test_a_keras3_model_computes_the_same_in_tf_keras() -> None:
    model = small(keras3.layers, keras3.Model)
    rng = np.random.default_rng(0)
    model.get_layer("norm").set_weights([rng.uniform(0.5, 2, 6) for _ in range(4)])
    rebuilt = from_keras3(model)
    x = rng.normal(size=(5, 8, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(rebuilt(x), np.asarray(model(x)), atol=1e-5)
    assert clean_taps(rebuilt) == ["first", "sum", "second"]


def test_a_keras3_model_keeps_how_it_is_to_be_trained() -> None:
    """What its author froze stays frozen, and what keeps weights small does."""
    make = keras3.layers
    inputs = keras3.Input((8, 8, 1))
    both = {"depthwise_regularizer": "l2", "pointwise_regularizer": keras3.regularizers.L1(0.1)}
    x = make.Conv2D(4, 3, name="still", trainable=False)(inputs)
    x = make.BatchNormalization(gamma_regularizer=keras3.regularizers.L1L2(0.1, 0.2))(x)
    model = keras3.Model(inputs, make.SeparableConv2D(4, 3, **both)(x))
    rebuilt = functional(model, "mine")
    frozen = [layer.name for layer in rebuilt.layers if not layer.trainable]
    assert frozen == ["still"]
    assert len(rebuilt.losses) == len(model.losses) == 3
    np.testing.assert_allclose(sum(rebuilt.losses), float(sum(model.losses)), rtol=1e-5)


def test_a_keras3_model_may_name_its_outputs() -> None:
    inputs = keras3.Input((8, 8, 1))
    x = keras3.layers.Conv2D(4, 3, name="first")(inputs)
    late = keras3.layers.Flatten(name="second")(x)
    rebuilt = functional(keras3.Model(inputs, {"late": late, "early": x}), "mine")
    assert rebuilt.output_names == ["first", "second"]


def test_an_input_may_have_a_name_of_its_own() -> None:
    image = keras.Input((8, 8, 1), name="pixels")
    model = keras.Model({"pixels": image}, keras.layers.Conv2D(4, 3)(image))
    assert functional(model, "mine").input_shape == (None, 8, 8, 1)


def test_convolutions_in_groups_are_refused_before_they_are_trained() -> None:
    image = keras.Input((8, 8, 4))
    features = keras.layers.Conv2D(8, 3, groups=2, activation="relu", name="own")(image)
    with pytest.raises(UserError, match=r"convolution in 2 groups, .* use a plain or a depthwise"):
        attach_exits(keras.Model(image, features), [Exit("own")], classes=3)


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
