"""From a trained float network to a static int8 `.tflite` with one output an exit.

The only module of this room that needs TensorFlow.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Any, get_args

import numpy as np

from eexit_tf.augmentation import Augmentation
from eexit_tf.data import Samples
from eexit_tf.errors import UserError
from eexit_tf.exits import exits_of
from eexit_tf.keras import keras, tf
from eexit_tf.network_costs import readers
from eexit_tf.precision import BITS, check_bits, check_float32
from eexit_tf.stderr import captured_stderr
from eexit_tf.tflite.model import Method, MultiExit
from eexit_tf.training import checked, fit
from eexit_tf.vocabulary import NAME_SEPARATOR

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
    backbone_bits: int = 8,
    head_bits: int = 8,
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
        backbone_bits, head_bits: of weights, 8 or 4. Fewer than 8 need `qat`: how a network takes
            them is known only once it was trained with them.

    Raises:
        UserError: an unknown method or number of bits, a layer that TFMOT cannot quantise or not
            to so few bits, one that does not compute in float32, or samples that do not fit the
            network.
    """
    if method not in get_args(Method):
        known = " or ".join(get_args(Method))
        raise UserError(f"unknown quantisation {method!r}; expected {known}")
    check_bits(method, backbone_bits, head_bits)
    train = checked(net, train)
    check_float32(net, net.name)
    exits, names = tuple(exits_of(net)), net.output_names
    if method == "qat":
        net = quantizable(_fused(net))
        _set_bits(net, backbone_bits, head_bits)
        fit(
            net,
            train,
            epochs=epochs,
            learning_rate=LEARNING_RATE,
            augmentation=augmentation,
            callbacks=callbacks,
        )
        # TFMOT put `quant_` before them, which an output's own name may begin with as well.
        net.output_names = names
    return MultiExit(_convert(net, train), exits, method)


def _set_bits(net: keras.Model, backbone_bits: int, head_bits: int) -> None:
    """Give the weights' quantisers their bits.

    The layers of a head that `attach_exits` made begin with its output's name; of any other exit
    the last layer is its head.

    TFMOT shares a quantiser among layers of a kind, so that each layer gets its own. Setting it on
    the layer before would keep TFMOT from folding the layer's batch norm.
    """
    heads = tuple(name for name in net.output_names if NAME_SEPARATOR in name)
    for layer in net.layers:
        of_head = layer.name in net.output_names or layer.name.startswith(heads)
        bits = head_bits if of_head else backbone_bits
        weights = getattr(layer, "_weight_vars", None)
        inner = getattr(layer, "layer", None)
        if inner is None or isinstance(inner, keras.layers.DepthwiseConv2D):
            continue
        if bits < max(BITS) and not weights and hasattr(inner, "kernel"):
            raise UserError(f"TFMOT does not quantise the weights of {inner.name!r} to {bits} bits")
        if weights:
            layer._weight_vars = [
                (w, _with_bits(quantizer, bits), v) for w, quantizer, v in weights
            ]


def _fused(net: keras.Model) -> keras.Model:
    """Let layers apply the ReLU behind them themselves, if there is no batch norm between.

    TFMOT would leave the weights of such a layer alone: its transform that keeps a quantiser from
    between a layer and its ReLU takes away all quantisers of the layer.
    """
    before = {
        layer.name: node.layer.name
        for layer in net.layers
        if _is_relu(layer) and len(layer.inbound_nodes) == 1
        for node in layer.inbound_nodes[0].parent_nodes
        if _applies_one(node.layer) and readers(net, node.layer) == [layer]
    }
    if not before:
        return net

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if layer.name in before:
            return keras.layers.Activation("linear", name=layer.name)
        config = layer.get_config()
        if layer.name in before.values():
            config["activation"] = "relu"
        return type(layer).from_config(config)

    fused = keras.models.clone_model(net, clone_function=clone)
    fused.set_weights(net.get_weights())
    return fused


def _is_relu(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, keras.layers.Activation):
        return layer.activation is keras.activations.relu
    plain = {"max_value": None, "negative_slope": 0, "threshold": 0}
    return isinstance(layer, keras.layers.ReLU) and plain.items() <= layer.get_config().items()


def _applies_one(layer: keras.layers.Layer) -> bool:
    known = type(layer).__name__ in ("Conv2D", "DepthwiseConv2D", "Dense")
    return known and layer.activation is keras.activations.linear


def _with_bits(quantizer: Any, bits: int) -> Any:
    quantizer = copy(quantizer)
    quantizer.num_bits = bits
    return quantizer


def quantizable(net: keras.Model) -> keras.Model:
    """The network as quantisation-aware training takes it.

    Raises:
        UserError: TFMOT does not take one of its layers.
    """
    try:
        return quantize_model(_renamed(net))
    except (ValueError, RuntimeError) as error:
        raise UserError(f"TFMOT cannot quantise {net.name}: {error}") from error


def _convert(net: keras.Model, train: Samples) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(_of_one(net) if _dilates(net) else net)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = _representative(train)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    with captured_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content: bytes = converter.convert()
    return content


def _renamed(net: keras.Model) -> keras.Model:
    """Other names for layers that have Keras's, if TFMOT is going to make more layers.

    It splits a `SeparableConv2D` in two, which Keras names without knowing a file's layers; with
    two of one name TFMOT gives up, or never ends.
    """
    if not any(isinstance(layer, keras.layers.SeparableConv2D) for layer in net.layers):
        return net

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if config["name"].startswith(("conv2d", "depthwise_conv2d")):
            config["name"] = f"own_{layer.name}"
        return type(layer).from_config(config)

    renamed = keras.models.clone_model(net, clone_function=clone)
    renamed.set_weights(net.get_weights())
    return renamed


def _dilates(net: keras.Model) -> bool:
    layers = (getattr(layer, "layer", layer) for layer in net.layers)  # in TFMOT's wrapper
    return any(max(getattr(layer, "dilation_rate", (1,))) > 1 for layer in layers)


def _of_one(net: keras.Model) -> keras.Model:
    """The network for one sample: while their number is open, dilations become operators."""
    image = keras.layers.Input(net.input_shape[1:], batch_size=1, name=net.input_names[0])
    one = keras.Model(image, net(image), name=net.name)
    one.output_names = net.output_names
    return one


def _representative(train: Samples) -> Callable[[], Iterator[list[Any]]]:
    picked = np.linspace(0, len(train.x) - 1, min(len(train.x), REPRESENTATIVE_SAMPLES)).astype(int)

    def samples() -> Iterator[list[Any]]:
        for index in picked:
            yield [train.x[index : index + 1]]

    return samples
