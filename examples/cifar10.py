"""CIFAR-10 within five bounds on mean MACs: networks that are trained for long, a file a bound.

    python examples/cifar10.py small [cifar10 [models [epochs [seed]]]]

Others begin with the trained weights of one network and have others as their teachers, all of them
made before in the same folder, or kept in `examples/models`:

    small           for 2.44 M
    searched        for 2.44 M: what a search found, see cifar10_space.py, taught by large-taught
    large, wide     for 9.65 M and 17 M
    small-taught    for 3.1 M: small, taught by large
    large-taught    for 9.65 M and 17 M: large, taught by small-taught, large and wide together
    fine-taught     for 6.5 M: small-taught at twice the resolution behind its first stage, taught
                    by small-taught, large-taught and wide
    teacher         for no bound: it only teaches
    deep-taught     for 6.5 M and 9.65 M: fine-taught with two more blocks, taught by teacher and
                    large-taught
    grown           for 9.65 M and 17 M: what a search made of searched, see cifar10_growth.py,
                    taught by teacher and deep-taught
    grown-taught    for 9.65 M and 17 M: grown, trained on, taught by deep-taught, large-taught and
                    itself as it was
    grown-again     for 9.65 M and 17 M: grown-taught, trained on in the same way

The other arguments are a data set as for `eexit-tf --dataset`, the folder for what is made, the
epochs of training (60; 40 for those that are taught) and the seed. A training that was stopped goes
on, and one that has ended is not done again. 60 epochs take about an hour of two cores that do
nothing else. TF_ENABLE_ONEDNN_OPTS=1 saves a third of that on processors without AVX-512, and so
does training two seeds at once, each on a core of its own (`taskset -c 0`).
"""

import sys
from collections.abc import Sequence
from math import ceil
from pathlib import Path

from cifar10_designs import DESIGNS, Design
from growth import begin_with, grow
from kept_weights import restore

import eexit_tf as ee
from eexit_tf import tflite
from eexit_tf.augmentation import Augmentation
from eexit_tf.keras import keras
from eexit_tf.losses import Distillation, JointCrossEntropy
from eexit_tf.training import WarmUpCosine, save_weights

MODELS = Path(__file__).parent / "models"
AUGMENTATION = Augmentation(flip=True, shift=4)
BATCH = 128

KEPT = {
    "small-taught": "cifar10-3.1M.tflite",
    "large-taught": "cifar10-large.tflite",
    "fine-taught": "cifar10-fine.tflite",
    "deep-taught": "cifar10-9.65M.tflite",
    "searched": "cifar10-searched.tflite",
}
"""Files that stand in for a network's trained weights where those are not."""


def trained(name: str, data: ee.Dataset, folder: Path) -> keras.Model:
    """The network as trained in this folder, or as it was kept."""
    net = DESIGNS[name].build(data)
    weights = folder / f"{name}.weights.h5"
    if name in KEPT and not weights.exists():
        return restore(net, MODELS / KEPT[name], data.train.x[:2000])
    net.load_weights(weights)
    return net


def train(name: str, data: ee.Dataset, epochs: int, folder: Path) -> keras.Model:
    """The network, trained in this folder unless it was before."""
    design = DESIGNS[name]
    if not (folder / f"{name}.weights.h5").exists():
        net = design.build(data)
        if design.after:
            begin(net, design, trained(design.after, data, folder))
        teachers = [trained(teacher, data, folder) for teacher in design.teachers]
        descend(
            net,
            data,
            epochs,
            folder / name,
            rate=design.rate,
            weight_decay=design.weight_decay,
            weights=design.weights,
            teachers=teachers,
        )
    return trained(name, data, folder)


def begin(net: keras.Model, design: Design, source: keras.Model) -> None:
    """Give a network the weights that its design begins with."""
    if design.grown:
        grow(net, design.stages, source, DESIGNS[design.after].stages)
    else:
        begin_with(net, source)


def descend(
    net: keras.Model,
    data: ee.Dataset,
    epochs: int,
    path: Path,
    *,
    rate: float,
    weight_decay: float,
    weights: tuple[float, ...] | None = None,
    teachers: Sequence[keras.Model] = (),
) -> None:
    """Stochastic gradient descent with weight decay on kernels, under half a cosine.

    Args:
        path: what the trained weights, the history of training and its backup are named after.
        rate, weight_decay, weights: see `Design`.
        teachers: whose last exits teach together.
    """
    optimizer = keras.optimizers.SGD(
        WarmUpCosine(rate, epochs * ceil(len(data.train.x) / BATCH)),
        momentum=0.9,
        nesterov=True,
        weight_decay=weight_decay,
        jit_compile=False,
    )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    joint = JointCrossEntropy(weights)
    ee.fit(
        net,
        data.train,
        validation=data.validation,
        epochs=epochs,
        loss=Distillation(joint, teacher=True) if teachers else joint,
        teacher=teachers,
        augmentation=AUGMENTATION,
        optimizer=optimizer,
        batch_size=BATCH,
        backup=path.with_name(f"{path.name}.backup"),
        callbacks=[keras.callbacks.CSVLogger(f"{path}.csv", append=True)],
    )
    save_weights(net, path.with_name(f"{path.name}.weights.h5"))


def main(
    name: str = "small",
    dataset: str = "cifar10",
    output: str = "models",
    epochs: str = "",
    seed: str = "0",
) -> None:
    ee.seed_everything(int(seed))
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    data = ee.load(dataset)
    design = DESIGNS[name]
    net = train(name, data, int(epochs or (40 if design.teachers else 60)), folder)
    if not design.bounds:
        return
    front = ee.policy_front(net, data.validation)
    multi = tflite.quantize(net, data.train, method="ptq")  # loses nothing here
    for bound, most in design.bounds.items():
        point = front.best(max_mean_macs=most)
        model = tflite.compile(
            multi,
            point,
            calibrate_on=data.validation,
            bounds=ee.Bounds(max_mean_macs=most),
            class_names=data.class_names,
            divisor=data.divisor,
        )
        model.save(folder / f"cifar10-{bound}.tflite")
        print(
            f"{bound}: validation {point.val_accuracy:.2%} at {point.mean_macs:,.0f} mean MACs in "
            f"float32, {model.val_accuracy:.2%} at {model.mean_macs:,.0f} in int8; test"
        )
        print(tflite.evaluate(model, data.test))


if __name__ == "__main__":
    main(*sys.argv[1:6])
