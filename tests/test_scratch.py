"""Scratch memory that kernels ask for, against formulas worked out by hand."""

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.tflite.exporting import scratch


def test_scratch_of_known_layers() -> None:
    """Against CMSIS-NN's and ESP-NN's own formulas, worked out by hand for one layer each."""

    def one_layer(kind: str, *shapes: tuple[int, ...]) -> fb.ModelT:
        code = getattr(fb.BuiltinOperator, kind)
        tensors = [fb.TensorT(shape=np.array(shape, np.int32)) for shape in shapes]
        last = len(shapes) - 1
        op = fb.OperatorT(opcodeIndex=0, inputs=list(range(last)), outputs=[last])
        graph = fb.SubGraphT(tensors=tensors, operators=[op])
        return fb.ModelT(operatorCodes=[fb.OperatorCodeT(code, None, 1, code)], subgraphs=[graph])

    image, same = (1, 32, 32, 16), (1, 32, 32, 16)
    convolution = one_layer("CONV_2D", image, (16, 3, 3, 16), same)
    assert scratch.cmsis_nn_bytes(convolution) == 4 * 144
    # On an ESP32-S3: the padded image twice (to the sides, then to the lower right), the
    # weights twice, sums a channel, alignment.
    s3 = 34 * 34 * 16 + 34 * 34 * 16 + 2 * 16 * 9 * 16 + 4 * 16 + 64
    assert s3 <= scratch.esp_nn_bytes(convolution) <= 1.5 * s3
    depthwise = one_layer("DEPTHWISE_CONV_2D", image, (1, 3, 3, 16), same)
    assert scratch.cmsis_nn_bytes(depthwise) == 4 * 124 * 9
    assert scratch.esp_nn_bytes(depthwise) >= 9 * 16 + 34 * 34 * 16 + 16
    few = one_layer("DEPTHWISE_CONV_2D", (1, 32, 32, 5), (1, 3, 3, 5), (1, 32, 32, 5))
    assert scratch.esp_nn_bytes(few) >= 2 * 72 + 2 * 8192 + 8192 + 3 * 32 + 16
    # What has few weights for its image, or few positions for its weights, needs room for both.
    point = one_layer("DEPTHWISE_CONV_2D", image, (1, 1, 1, 16), same)
    assert scratch.esp_nn_bytes(point) >= 2 * 32 * 32 * 16 + 32 * 32 * 16
    deep = one_layer("CONV_2D", (1, 4, 4, 64), (128, 3, 3, 64), (1, 4, 4, 128))
    assert scratch.esp_nn_bytes(deep) >= 2 * 6 * 6 * 64 + 2 * 128 * 9 * 64 + 4 * 128 + 64
    odd = one_layer("CONV_2D", (1, 8, 8, 3), (4, 3, 3, 3), (1, 8, 8, 4))
    assert scratch.cmsis_nn_bytes(odd) == 4 * 32
    wide = one_layer("DEPTHWISE_CONV_2D", (1, 8, 8, 300), (1, 3, 3, 300), (1, 8, 8, 300))
    assert scratch.cmsis_nn_bytes(wide) == 2 * 300 * 9
    dense = one_layer("FULLY_CONNECTED", (1, 64), (10, 64), (1, 10))
    assert scratch.cmsis_nn_bytes(dense) == 8 * 10 + 4 * 64
    pool = one_layer("AVERAGE_POOL_2D", image, (1, 16, 16, 16))
    assert scratch.cmsis_nn_bytes(pool) == 4 * 16
    assert scratch.esp_nn_bytes(one_layer("SOFTMAX", (1, 10), (1, 10))) == 4 * 10
    assert scratch.cmsis_nn_bytes(one_layer("RELU", image, same)) == 0
    convolution.subgraphs += dense.subgraphs
    convolution.operatorCodes += dense.operatorCodes
    convolution.subgraphs[1].operators[0].opcodeIndex = 1
    assert scratch.cmsis_nn_bytes(convolution) == 4 * 144  # one operator runs at a time
