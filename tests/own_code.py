"""What users bring: backbones and spaces that tests copy to a `mine.py`."""

import functools
import sys
from pathlib import Path
from typing import ClassVar

import keras_tuner
import numpy as np
import tensorflow as tf
from tf_keras import Model, Sequential, layers
from tf_keras.models import load_model

from eexit_tf import Exit, attach_exits


def backbone(hp):
    width = hp.Choice("width", [4, 8])
    inputs = layers.Input((8, 8, 1))
    x = layers.Conv2D(width, 3, activation="relu", name="one")(inputs)
    return Model(inputs, layers.Conv2D(2 * width, 3, activation="relu", name="two")(x))


def tiny():
    inputs = layers.Input((4, 6, 2))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="one")(inputs)
    return Model(inputs, layers.Conv2D(8, 3, activation="relu", name="two")(x))


def unsearchable(hp):
    hp.Float("rate", 0.0, 1.0)
    return backbone(hp)


def countless(hp):
    return sized(hp.Int("width", 4, 10**12))


def sized(width):
    inputs = layers.Input((8, 8, 1))
    x = layers.Conv2D(width, 3, activation="relu", name="one")(inputs)
    return Model(inputs, layers.Conv2D(8, 3, activation="relu", name="two")(x))


def scoped(hp):
    size = hp.Choice("size", ["small", "big"])
    with hp.conditional_scope("size", ["small"]):
        small = hp.Choice("small_width", [2, 4])
    with hp.conditional_scope("size", ["big"]):
        big = hp.Choice("big_width", [8, 12])
    return sized(big if size == "big" else small)


def three_scopes(hp):
    """As KerasTuner's examples have it: what a closed scope would need is not even declared."""
    kind = hp.Choice("kind", ["a", "b", "c"])
    for name in ("a", "b", "c"):
        with hp.conditional_scope("kind", [name]):
            if kind == name:
                width = hp.Choice(f"width_{name}", [4, 8])
    return sized(width)


def with_default(width=4):
    return sized(width)


def hp_by_name(width=4, hp=None):
    return sized(hp.Choice("width", [4, 8]))


def only_by_name(*, hp):
    return hp_by_name(hp=hp)


def _of_width(width, hp):
    return sized(width * hp.Choice("times", [1, 2]))


partial = functools.partial(_of_width, width=4)


def anything(*given, **named):
    assert not given
    assert not named
    return sized(4)


def hp_and_more(hp, **named):
    return hp_by_name(hp=hp)


def more_by_name(*, sizes):
    return Space()


def leaving():
    sys.exit(0)


def unreadable():
    return load_model("weights.h5")


def nested():
    inputs = layers.Input((8, 8, 1))
    base = sized(4)
    x = layers.Flatten()(Model(base.input, base.output, name="base")(inputs))
    return Model(inputs, layers.Dense(10, activation="softmax")(x))


def rescaled():
    inputs = layers.Input((8, 8, 1))
    x = layers.Rescaling(1 / 255, name="scale")(inputs)
    return Model(inputs, layers.Conv2D(4, 3, activation="relu", name="one")(x))


def half():
    return _precise("mixed_float16")


def double():
    return _precise("float64")


def _precise(dtype):
    inputs = layers.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, activation="relu", name="one")(inputs)
    return Model(inputs, layers.Conv2D(8, 3, activation="relu", name="two", dtype=dtype)(x))


class Half(keras_tuner.HyperModel):
    def build(self, hp):
        return attach_exits(half(), [Exit("one"), Exit("two")], classes=10)


def separated():
    inputs = layers.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, activation="relu", name="stage1__conv")(inputs)
    return Model(inputs, layers.Conv2D(8, 3, activation="relu", name="two")(x))


def separated_end():
    net = sized(4)
    scores = layers.Dense(10, activation="softmax", name="a__b")
    return Model(net.input, scores(layers.Flatten()(net.output)))


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


class OneTwice(keras_tuner.HyperModel):
    def build(self, hp):
        inputs = layers.Input((8, 8, 1))
        scores = layers.Dense(10, activation="softmax")(layers.Flatten()(inputs))
        return Model(inputs, [scores, scores])


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


class Single(keras_tuner.HyperModel):
    def build(self, hp):
        return unnamed(hp)


class Same(keras_tuner.HyperModel):
    net = None

    def build(self, hp):
        self.net = self.net or unnamed(hp)
        return self.net


class Tiny(keras_tuner.HyperModel):
    def build(self, hp):
        return attach_exits(tiny(), [Exit("one"), Exit("two")], classes=3)


INSTANCE = Space()


class Scoped(keras_tuner.HyperModel):
    def build(self, hp):
        return attach_exits(scoped(hp), [Exit("one"), Exit("two")], classes=10)


class AnyKind(keras_tuner.HyperModel):
    """Hyperparameters of every kind that has few values."""

    def build(self, hp):
        width = hp.Int("width", 4, 12, step=4, default=6)
        bias = hp.Boolean("bias")
        assert bias is True or bias is False
        kernel = hp.Fixed("kernel", 3)
        wide = hp.Int("wide", 2, 8, step=2, sampling="log")
        rate = hp.Float("rate", 0.1, 0.5, step=0.2)
        inputs = layers.Input((8, 8, 1))
        x = layers.Conv2D(width, kernel, use_bias=bias, activation="relu", name="one")(inputs)
        x = layers.Dropout(rate)(x)
        x = layers.Conv2D(wide, kernel, activation="relu", name="two")(x)
        return attach_exits(Model(inputs, x), [Exit("one"), Exit("two")], classes=10)


class Leaving(keras_tuner.HyperModel):
    def build(self, hp):
        sys.exit(0)


class SameName(keras_tuner.HyperModel):
    def build(self, hp):
        size = hp.Choice("size", ["small", "big"])
        with hp.conditional_scope("size", ["small"]):
            small = hp.Choice("width", [2, 4])
        with hp.conditional_scope("size", ["big"]):
            big = hp.Choice("width", [8, 12])
        net = sized(big if size == "big" else small)
        return attach_exits(net, [Exit("one"), Exit("two")], classes=10)


class Refusing(keras_tuner.HyperModel):
    """Some of its networks are infeasible, the last and the first one among them."""

    def build(self, hp):
        width = hp.Choice("width", [2, 4, 8, 12, 16])
        if width == 2:
            raise keras_tuner.errors.FailedTrialError("2 is no width")
        if width == 12:
            np.empty(2**50)
        if width == 16:
            tf.zeros([2**45])
        return attach_exits(sized(width), [Exit("one"), Exit("two")], classes=10)


class Infeasible(keras_tuner.HyperModel):
    tried: ClassVar[list[int]] = []

    def build(self, hp):
        self.tried.append(hp.Choice("width", [2, 4]))
        raise keras_tuner.errors.FailedTrialError("none will do")


class Unreadable(Space):
    """Wants a file that is not there as soon as there are trials."""

    def build(self, hp):
        if Path("out/trials/trial_0").exists():
            Path("weights.h5").read_bytes()
        return super().build(hp)


class Never(keras_tuner.HyperModel):
    def build(self, hp):
        raise keras_tuner.errors.FailedTrialError("never")


class Trained(Space):
    learning_rate = 1e-4


class Unlearning(Space):
    learning_rate = 0.0


class Logits(keras_tuner.HyperModel):
    def build(self, hp):
        return logits()
