"""Training that goes on from a kept `.tflite`: its weights back in a network of Keras.

A compiled file names what a convolution gives after the last layer that is folded into it: its
normalisation or its ReLU, which `eexit_tf.building` calls what the convolution is called without an
ending. What int8 rounded away stays lost; training brings it back in a few steps.
"""

import re
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from eexit_tf.keras import keras

ENDINGS = {
    schema.BuiltinOperator.CONV_2D: "_conv",
    schema.BuiltinOperator.DEPTHWISE_CONV_2D: "_depthwise",
}
DENSE = re.compile(r"/(MatMul|BiasAdd)\b")
Weights = dict[str, tuple[np.ndarray, np.ndarray]]
BATCH = 250


def restore(net: keras.Model, file: Path, x: np.ndarray) -> keras.Model:
    """Give a network the weights of an int8 file, where their layers have the same names.

    Args:
        net: its other layers, such as heads that the file has not, stay as they are.
        x: samples over which the statistics of batch normalisation are taken.
    """
    weights = read(file)
    folded = []
    for layer in net.layers:
        if layer.name not in weights:
            continue
        kernel, bias = weights[layer.name]
        if isinstance(layer, keras.layers.Dense):
            layer.set_weights([kernel.reshape(len(kernel), -1).T, bias])
            continue
        layer.set_weights([kernel.transpose(1, 2, 3, 0).reshape(layer.weights[0].shape)])
        (behind,) = layer.outbound_nodes  # its normalisation
        unfold(behind.layer, bias, np.zeros_like(bias), np.ones_like(bias))
        folded.append(behind.layer)
    inputs = keras.Model(net.input, [layer.input for layer in folded])
    batches = [inputs.predict_on_batch(x[at : at + BATCH]) for at in range(0, len(x), BATCH)]
    for layer, maps in zip(folded, zip(*batches, strict=True), strict=True):
        mean = np.mean([a.mean((0, 1, 2)) for a in maps], axis=0)
        variance = np.mean([np.square(a - mean).mean((0, 1, 2)) for a in maps], axis=0)
        unfold(layer, layer.get_weights()[1], mean, variance)
    return net


def unfold(
    layer: keras.layers.BatchNormalization,
    bias: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
) -> None:
    """Let a normalisation by these statistics do no more than add a bias."""
    layer.set_weights([np.sqrt(variance + layer.epsilon), bias + mean, mean, variance])


def read(file: Path) -> Weights:
    """Kernel and bias of every layer, by its name, as float32."""
    model = schema.ModelT.InitFromPackedBuf(file.read_bytes(), 0)
    found: Weights = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            ending = ENDINGS.get(model.operatorCodes[operator.opcodeIndex].builtinCode)
            if ending is None:
                continue
            kernel, bias = (graph.tensors[index] for index in operator.inputs[1:3])
            given = graph.tensors[operator.outputs[0]].name.decode().split(";")[0]
            name = given.split("/")[1] + ("" if DENSE.search(given) else ending)
            found[name] = _real(model, kernel, np.int8), _real(model, bias, np.int32)
    return found


def _real(model: schema.ModelT, tensor: schema.TensorT, kind: type) -> np.ndarray:
    steps = np.frombuffer(bytes(model.buffers[tensor.buffer].data), kind).reshape(tensor.shape)
    scale = np.asarray(tensor.quantization.scale, np.float32)
    axes = np.ones(steps.ndim, int)
    axes[tensor.quantization.quantizedDimension] = -1
    return steps * scale.reshape(axes)
