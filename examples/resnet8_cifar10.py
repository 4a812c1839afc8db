"""Exits for a network that is trained already: MLPerf Tiny's ResNet-8 on CIFAR-10.

    python examples/resnet8_cifar10.py pretrainedResnet.h5 cifar10 [r8.tflite [epochs [models]]]
    python examples/resnet8_cifar10.py pretrainedResnet.h5 cifar10 r8.tflite 16 models tuned
    python examples/resnet8_cifar10.py pretrainedResnet.h5 cifar10 r8.tflite 8 models grafted

The first argument is the reference model of github.com/mlcommons/tiny (image classification),
the second a data set as for `eexit-tf --dataset`. Heads are trained at several taps, the last one
included, the best exits and thresholds within a bound on mean MACs are chosen on validation data,
and all test images run through the compiled int8 file.

    frozen     the backbone stays as it is, within 9.4 M mean MACs: if the folder `models` has the
               weights that `cifar10.py` makes of `small-taught`, `large` and `wide`, these are the
               heads' teachers; 20 epochs with them take about an hour on one core
    grafted    it stays as it is, but the exit behind its stem is a network of its own, which begins
               with the weights of `small-taught`; within 6.4 M
    tuned      the same, and it is trained with its heads

The last two are taught by `small-taught` and `large-taught`, of `models` or as they are kept in
`examples/models`, and go on where they were stopped.

The backbone itself was trained on the validation images, so that on them it is surer than on
others: accuracies promise too much there, and a sample costs 0.5 % more on test data.
"""

import sys
from pathlib import Path

import cifar10
from growth import begin_with

import eexit_tf as ee
from eexit_tf import tflite
from eexit_tf.backbones import blueprint
from eexit_tf.building import extend
from eexit_tf.keras import keras
from eexit_tf.losses import Distillation
from eexit_tf.own_models import scale_input

FROZEN_EXITS = [
    ee.Exit("activation_2", "separable5x2_separable3x2_dense"),  # block 1
    ee.Exit("activation_2", "conv3x2_separable3x2_dense"),
    ee.Exit("activation_3", "separable3x2_separable3x2_dense"),  # inside block 2
    ee.Exit("activation_4", "separable3x2_separable3x2_dense"),  # block 2
    ee.Exit("activation_4", "conv3x2_dense"),
    ee.Exit("activation_5", "separable3x2_dense"),  # inside block 3
    ee.Exit("activation_6", "separable3x2_dense"),  # block 3
]


def frozen(
    ready: keras.Model, data: ee.Dataset, epochs: int, output: str, models: str
) -> keras.Model:
    """Train heads behind the backbone."""
    ready.trainable = False
    net = with_exits(ready, FROZEN_EXITS)
    names = ("small-taught", "large", "wide") if models else ()
    teachers = [cifar10.trained(name, data, Path(models)) for name in names]
    ee.fit(
        net,
        data.train,
        validation=data.validation,
        epochs=epochs,
        loss=Distillation(teacher=True) if teachers else None,
        teacher=teachers,
        augmentation=cifar10.AUGMENTATION,
        callbacks=[keras.callbacks.CSVLogger(f"{output}.csv")],
    )
    return net


def grafted(
    ready: keras.Model, data: ee.Dataset, epochs: int, output: str, models: str
) -> keras.Model:
    """Train heads, the first of which is a network of its own: `small-taught` up to block 3."""
    ready.trainable = False
    return tuned(ready, data, epochs, output, models)


def tuned(
    ready: keras.Model, data: ee.Dataset, epochs: int, output: str, models: str
) -> keras.Model:
    """Train the same heads and what of the backbone is trainable."""
    small = cifar10.DESIGNS["small-taught"]
    tap = ready.get_layer("activation").output
    branch = blueprint("inverted_residual", tap.shape[1:], small.stem, small.stages[:2])
    maps = extend({branch.input: tap}, branch.taps)[-1]
    graft = [ee.Exit("block3", small.heads["block3"])]
    first = ee.attach_exits(keras.Model(ready.input, maps), graft, classes=data.classes)
    begin_with(first, cifar10.trained("small-taught", data, Path(models)))
    rest = with_exits(ready, FROZEN_EXITS[-3:])
    net = keras.Model(ready.input, first.outputs + rest.outputs)
    names = ("small-taught", "large-taught")
    cifar10.descend(
        net,
        data,
        epochs,
        Path(output).with_suffix(""),
        rate=0.05,
        weight_decay=1e-3,
        teachers=[cifar10.trained(name, data, Path(models)) for name in names],
    )
    return net


def with_exits(ready: keras.Model, exits: list[ee.Exit]) -> keras.Model:
    """The backbone with these exits, without the classifier that it came with."""
    return ee.keep_exits(ee.attach_exits(ready, exits), exits)


HOW = {"frozen": (frozen, 9.4e6), "grafted": (grafted, 6.4e6), "tuned": (tuned, 6.4e6)}
"""Ways to train, and the bounds on mean MACs that are kept."""


def main(
    backbone: str,
    dataset: str,
    output: str = "resnet8.tflite",
    epochs: str = "20",
    models: str = "",
    how: str = "frozen",
) -> None:
    ee.seed_everything(0)
    data = ee.load(dataset)
    ready = keras.models.load_model(backbone, compile=False)
    scale_input(ready, data.divisor)  # it was trained on bytes that were not divided
    train, most = HOW[how]
    net = train(ready, data, int(epochs), output, models)

    front = ee.policy_front(net, data.validation)
    point = front.best(max_mean_macs=most)
    print(f"{point.val_accuracy:.2%} at {point.mean_macs:,.0f} mean MACs, validation data")
    chosen = ee.keep_exits(net, [use.exit for use in point.exits])
    multi = tflite.quantize(chosen, data.train, method="ptq")
    model = tflite.compile(
        multi,
        point,
        calibrate_on=data.validation,
        bounds=ee.Bounds(max_mean_macs=most),
        class_names=data.class_names,
        divisor=data.divisor,
    )
    model.save(output)
    print(tflite.evaluate(model, data.test))


if __name__ == "__main__":
    main(*sys.argv[1:7])
