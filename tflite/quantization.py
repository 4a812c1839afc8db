"""From a trained float network to a static int8 `.tflite` with one output an exit.

The only module of this room that needs TensorFlow.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

import numpy as np

from eexit_tf.augmentation import Augmentation
from eexit_tf.data import Samples
from eexit_tf.errors import UserError
from eexit_tf.exits import exits_of
from eexit_tf.keras import keras, tf
from eexit_tf.stderr import captured_stderr
from eexit_tf.tflite.model import Method, MultiExit
from eexit_tf.training import fit

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tensorflow_model_optimization.quantization.keras import quantize_model

EPOCHS = 10
LEARNING_RATE = 2e-3
"""A quarter of the training's: the weights are only to settle on the int8 grid."""
REPRESENTATIVE_SAMPLES = 256


def quantize(
    net: keras.Model,
    train: Samples,
    *,
    method: Method = "qat",
    epochs: int = EPOCHS,
    augmentation: Augmentation | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> MultiExit:
    """Bring a network with exits to int8, weights, activations, input and outputs.

    `qat` is quantisation-aware fine-tuning of all exits with the joint loss (Jacob et al. 2018,
    by TFMOT); `ptq` only measures ranges on some training samples.

    Args:
        net: a `tf_keras` functional model with one softmax output an exit.
        train: what to fine-tune and measure ranges on.
        method: `qat` or `ptq`.
        epochs, augmentation, callbacks: of fine-tuning, see `training.fit`; unused by `ptq`.

    Raises:
        UserError: an unknown method, or a layer that TFMOT cannot quantise.
    """
    if method not in get_args(Method):
        known = " or ".join(get_args(Method))
        raise UserError(f"unknown quantisation {method!r}; expected {known}")
    train = Samples(*train)
    exits = tuple(exits_of(net))
    if method == "qat":
        net = _quantizable(net)
        fit(
            net,
            train,
            epochs=epochs,
            learning_rate=LEARNING_RATE,
            augmentation=augmentation,
            callbacks=callbacks,
        )
    return MultiExit(_convert(net, train), exits, method)


def _quantizable(net: keras.Model) -> keras.Model:
    try:
        return quantize_model(net)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"TFMOT cannot quantise {net.name}: {error}") from error


def _convert(net: keras.Model, train: Samples) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(net)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = _representative(train)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    with captured_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content: bytes = converter.convert()
    return content


def _representative(train: Samples) -> Callable[[], Iterator[list[Any]]]:
    picked = np.linspace(0, len(train.x) - 1, min(len(train.x), REPRESENTATIVE_SAMPLES)).astype(int)

    def samples() -> Iterator[list[Any]]:
        for index in picked:
            yield [train.x[index : index + 1]]

    return samples
