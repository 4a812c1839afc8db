"""Exits for a network that is trained already: MLPerf Tiny's ResNet-8 on CIFAR-10.

    python examples/resnet8_cifar10.py pretrainedResnet.h5 cifar10 [model.tflite [epochs [models]]]

The first argument is the reference model of github.com/mlcommons/tiny (image classification),
the second a data set as for `eexit-tf --dataset`. The backbone stays as it is; heads are trained
at five taps, the last one included, the best exits and thresholds within 9.4 M mean MACs are chosen
on validation data, and all test images run through the compiled int8 file. If the folder `models`
has the weights that `cifar10.py` makes of `small-taught`, `large` and `wide`, these are the heads'
teachers. 20 epochs with them take about an hour on one core.

The backbone itself was trained on the validation images, so that on them it is surer than on
others: accuracies promise too much there, and a sample costs 0.5 % more on test data.
"""

import sys
from pathlib import Path

import cifar10

import eexit_tf as ee
from eexit_tf import tflite
from eexit_tf.keras import keras
from eexit_tf.losses import Distillation
from eexit_tf.own_models import scale_input

EXITS = [
    ee.Exit("activation_2", "separable5x2_separable3x2_dense"),  # block 1
    ee.Exit("activation_2", "conv3x2_separable3x2_dense"),
    ee.Exit("activation_3", "separable3x2_separable3x2_dense"),  # inside block 2
    ee.Exit("activation_4", "separable3x2_separable3x2_dense"),  # block 2
    ee.Exit("activation_4", "conv3x2_dense"),
    ee.Exit("activation_5", "separable3x2_dense"),  # inside block 3
    ee.Exit("activation_6", "separable3x2_dense"),  # block 3
]
TEACHERS = ("small-taught", "large", "wide")
MAX_MEAN_MACS = 9.4e6


def main(
    backbone: str,
    dataset: str,
    output: str = "resnet8.tflite",
    epochs: str = "20",
    models: str = "",
) -> None:
    ee.seed_everything(0)
    data = ee.load(dataset)
    teachers = [cifar10.trained(name, data, Path(models)) for name in TEACHERS if models]

    frozen = keras.models.load_model(backbone, compile=False)
    scale_input(frozen, data.divisor)  # it was trained on bytes that were not divided
    frozen.trainable = False
    net = ee.attach_exits(frozen, EXITS)
    ee.fit(
        ee.keep_exits(net, EXITS),  # without the classifier that it came with
        data.train,
        validation=data.validation,
        epochs=int(epochs),
        loss=Distillation(teacher=True) if teachers else None,
        teacher=teachers,
        augmentation=cifar10.AUGMENTATION,
        callbacks=[keras.callbacks.CSVLogger(f"{output}.csv")],
    )

    front = ee.policy_front(net, data.validation)
    point = front.best(max_mean_macs=MAX_MEAN_MACS)
    print(f"{point.val_accuracy:.2%} at {point.mean_macs:,.0f} mean MACs, validation data")
    chosen = ee.keep_exits(net, [use.exit for use in point.exits])
    multi = tflite.quantize(chosen, data.train, method="ptq")
    model = tflite.compile(
        multi,
        point,
        calibrate_on=data.validation,
        bounds=ee.Bounds(max_mean_macs=MAX_MEAN_MACS),
        class_names=data.class_names,
        divisor=data.divisor,
    )
    model.save(output)
    print(tflite.evaluate(model, data.test))


if __name__ == "__main__":
    main(*sys.argv[1:6])
