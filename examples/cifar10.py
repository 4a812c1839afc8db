"""CIFAR-10 within 2.44 M and 3.1 M mean MACs: one network, trained for long, and a file a bound.

    python examples/cifar10.py [cifar10 [models [epochs]]]

The arguments are a data set as for `eexit-tf --dataset`, the folder for what is made, and the
epochs of training. A training that was stopped goes on, and one that has ended is not done
again. Two cores that do nothing else take about an hour; TF_ENABLE_ONEDNN_OPTS=1 saves a third of
that on processors without AVX-512.
"""

import sys
from math import ceil
from pathlib import Path

import eexit_tf as ee
from eexit_tf import tflite
from eexit_tf.augmentation import Augmentation
from eexit_tf.backbones import Stage, Stem, inverted_residual
from eexit_tf.keras import keras
from eexit_tf.training import WarmUpCosine

BOUNDS = {"cifar10-2.44M": 2.44e6, "cifar10-3.1M": 3.1e6}
AUGMENTATION = Augmentation(flip=True, shift=4)
BATCH = 128
HEADS = {
    "block1": "separable5x2_separable3x2_dense",
    "block2": "separable3x2_dense",
    "block3": "separable3x2_dense",
    "block4": "separable3x2_dense",
    "block6": "separable3x2_dense",
}


def network(data: ee.Dataset) -> keras.Model:
    """Inverted residuals, 4 M MACs to the last exit; the first exit costs 1.1 M."""
    stages = [
        Stage(24, 1, stride=1, expansion=2),
        Stage(40, 2, expansion=3),
        Stage(80, 3, expansion=3),
    ]
    backbone = inverted_residual(data.input_shape, stem=Stem(24, stride=2), stages=stages)
    exits = [ee.Exit(at=at, head=head) for at, head in HEADS.items()]
    return ee.attach_exits(backbone, exits, classes=data.classes)


def train(net: keras.Model, data: ee.Dataset, epochs: int, folder: Path) -> None:
    """Stochastic gradient descent with weight decay on kernels, under half a cosine."""
    weights = folder / "cifar10.weights.h5"
    if not weights.exists():
        optimizer = keras.optimizers.SGD(
            WarmUpCosine(0.1, epochs * ceil(len(data.train.x) / BATCH)),
            momentum=0.9,
            nesterov=True,
            weight_decay=2e-3,
            jit_compile=False,
        )
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        ee.fit(
            net,
            data.train,
            validation=data.validation,
            epochs=epochs,
            augmentation=AUGMENTATION,
            optimizer=optimizer,
            batch_size=BATCH,
            backup=folder / "backup",
            callbacks=[keras.callbacks.CSVLogger(str(folder / "training.csv"), append=True)],
        )
        net.save_weights(weights)
    net.load_weights(weights)


def main(dataset: str = "cifar10", output: str = "models", epochs: str = "60") -> None:
    ee.seed_everything(0)
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    data = ee.load(dataset)
    net = network(data)
    train(net, data, int(epochs), folder)
    front = ee.policy_front(net, data.validation)
    multi = tflite.quantize(net, data.train, method="ptq")  # loses nothing here
    for name, most in BOUNDS.items():
        point = front.best(max_mean_macs=most)
        model = tflite.compile(
            multi,
            point,
            calibrate_on=data.validation,
            bounds=ee.Bounds(max_mean_macs=most),
            class_names=data.class_names,
            divisor=data.divisor,
        )
        model.save(folder / f"{name}.tflite")
        print(f"{name}: validation {point.val_accuracy:.2%} at {point.mean_macs:,.0f} mean MACs in")
        print(f"float32, {model.val_accuracy:.2%} at {model.mean_macs:,.0f} in int8; test")
        print(tflite.evaluate(model, data.test))


if __name__ == "__main__":
    main(*sys.argv[1:4])
