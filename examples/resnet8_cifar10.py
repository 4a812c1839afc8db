"""Exits for a network that is trained already: MLPerf Tiny's ResNet-8 on CIFAR-10.

    python examples/resnet8_cifar10.py pretrainedResnet.h5 cifar10 [model.tflite [epochs]]

The first argument is the reference model of github.com/mlcommons/tiny (image classification),
the second a data set as for `eexit-tf --dataset`. The backbone stays as it is; heads are trained
at three taps, the best exits and thresholds within 9.5 M mean MACs are chosen on validation data,
and all test images run through the compiled int8 file. Half an hour on two cores.

The backbone itself was trained on the validation images, so that accuracies on them promise too
much; what holds is the last line, on test data.
"""

import sys

import eexit_tf as ee
from eexit_tf import tflite
from eexit_tf.heads import HEADS
from eexit_tf.keras import keras

TAPS = ("activation_2", "activation_3", "activation_4")  # block 1, inside block 2, block 2


def main(backbone: str, dataset: str, output: str = "resnet8.tflite", epochs: str = "12") -> None:
    ee.seed_everything(0)
    data = ee.load(dataset)
    # This network was trained on bytes, 0 to 255.
    parts = (data.train, data.validation, data.test)
    train, validation, test = (ee.Samples(part.x * data.divisor, part.y) for part in parts)

    frozen = keras.models.load_model(backbone, compile=False)
    frozen.trainable = False
    exits = [ee.Exit(at=tap, head=head) for tap in TAPS for head in HEADS]
    net = ee.attach_exits(frozen, exits)
    ee.fit(
        ee.keep_exits(net, exits),  # without what lies behind the last head
        train,
        validation=validation,
        epochs=int(epochs),
        callbacks=[keras.callbacks.CSVLogger(f"{output}.csv")],
    )

    front = ee.policy_front(net, validation)
    point = front.best(max_mean_macs=9.5e6)
    print(f"{point.val_accuracy:.2%} at {point.mean_macs:,.0f} mean MACs, validation data")
    chosen = ee.keep_exits(net, [use.exit for use in point.exits])
    multi = tflite.quantize(chosen, train, method="ptq")
    model = tflite.compile(multi, point, calibrate_on=validation, class_names=data.class_names)
    model.save(output)
    print(tflite.evaluate(model, test))


if __name__ == "__main__":
    main(*sys.argv[1:5])
