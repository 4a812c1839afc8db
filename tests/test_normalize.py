"""Exits of files from anywhere, brought to one form, give what they gave before."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as fb
from networks import convert, inputs_for, order_of
from static_cuts import check_equal, three_exits, with_exits

from eexit_tf.errors import UserError
from eexit_tf.keras import keras, tf
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.lineage import producer
from eexit_tf.tflite.runtimes import LiteRT, Tflm
from eexit_tf.tflite.splicing import splice, spliced
from eexit_tf.tflite.splicing.normalize import normalize


def _with_outputs(content: bytes, change: Callable[[fb.ModelT, int], int]) -> bytes:
    """The file with each output replaced by what `change` makes of it."""
    model = flatbuffer.read(content)
    main = model.subgraphs[0]
    for entry in model.signatureDefs[0].outputs:
        entry.tensorIndex = change(model, entry.tensorIndex)
    main.outputs = np.array([e.tensorIndex for e in model.signatureDefs[0].outputs], np.int32)
    return flatbuffer.write(model)


def _before(model: fb.ModelT, index: int) -> int:
    return int(producer(model.subgraphs[0], index).inputs[0])


def test_logits_get_a_softmax() -> None:
    multi = three_exits()
    logits = _with_outputs(multi, _before)
    order = order_of(multi)
    assert spliced.inspect(splice.splice(logits, order, [5, 5, 0])).exits == tuple(order)
    check_equal(splice.splice(logits, order, [5, 5, 0]), normalize(multi), order, [5, 5, 0])
    assert normalize(normalize(logits)) == normalize(logits)


@pytest.mark.parametrize("back", [False, True])
def test_a_float_softmax_of_int8_logits_becomes_int8(back: bool) -> None:
    model = flatbuffer.read(three_exits())
    for op in model.subgraphs[0].operators:
        if schema.op_name(model, op) == "SOFTMAX":
            op.builtinOptions.beta = 0.5
    multi = flatbuffer.write(model)

    def in_float(model: fb.ModelT, index: int) -> int:
        main, builtin = model.subgraphs[0], fb.BuiltinOperator
        softmax = copy.copy(producer(main, index))
        for _ in range(2):
            main.tensors.append(copy.copy(main.tensors[softmax.inputs[0]]))
            main.tensors[-1].type = fb.TensorType.FLOAT32
            main.tensors[-1].quantization = fb.QuantizationParametersT()
        scores = len(main.tensors) - 1
        main.operators.append(
            _operator(model, builtin.DEQUANTIZE, list(softmax.inputs), scores - 1)
        )
        softmax.inputs, softmax.outputs = np.int32([scores - 1]), np.int32([scores])
        main.operators.append(softmax)
        if back:
            main.tensors.append(copy.copy(main.tensors[index]))
            main.operators.append(_operator(model, builtin.QUANTIZE, [scores], scores + 1))
        return len(main.tensors) - 1

    order = order_of(multi)
    content = splice.splice(_with_outputs(multi, in_float), order, [5, 5, 0])
    graphs = flatbuffer.read(content).subgraphs
    assert all(t.type != fb.TensorType.FLOAT32 for graph in graphs for t in graph.tensors)
    check_equal(content, normalize(multi), order, [5, 5, 0])


def test_float_inputs_and_outputs_of_an_int8_network_are_taken_off() -> None:
    import networks

    network = networks.keras_network(10, 2)
    as_int8 = networks.convert(network, 10)
    as_float = networks.convert(network, 10, float_io=True)
    order = order_of(as_int8)
    content = splice.splice(as_float, order, [20, 0])
    graphs = flatbuffer.read(content).subgraphs
    assert all(t.type != fb.TensorType.FLOAT32 for graph in graphs for t in graph.tensors)
    check_equal(content, normalize(as_int8), order, [20, 0])


def test_a_float_input_that_is_read_twice_stays() -> None:
    import networks

    model = flatbuffer.read(networks.convert(networks.keras_network(10, 2), 10, float_io=True))
    main, builtin = model.subgraphs[0], fb.BuiltinOperator
    (given,) = main.inputs
    quantize = next(op for op in main.operators if given in op.inputs)
    main.tensors += [copy.copy(main.tensors[quantize.outputs[0]]) for _ in range(2)]
    again = len(main.tensors) - 1
    larger = _operator(model, builtin.MAXIMUM, [again - 1, again], int(quantize.outputs[0]))
    quantize.outputs = np.int32([again - 1])
    twice = _operator(model, builtin.QUANTIZE, [int(given)], again)
    main.operators[:1] = [quantize, twice, larger]
    content = flatbuffer.write(model)
    x = inputs_for(content, 20).astype(np.float32) / 30
    found = Tflm(normalize(content)).run(x)
    for name, scores in Tflm(content).run(x).items():
        np.testing.assert_array_equal((found[name] + np.float32(128)) / 256, scores)


def test_activations() -> None:
    layers = keras.layers
    keras.utils.set_random_seed(1)
    image = layers.Input((8, 8, 2), batch_size=1)
    slopes = keras.initializers.RandomUniform(-1, 1, seed=2)
    x = layers.PReLU(slopes, shared_axes=[1, 2])(layers.Conv2D(4, 3)(image))
    sharp = keras.initializers.RandomNormal(stddev=2.0, seed=3)
    early = layers.Dense(5, "softmax", kernel_initializer=sharp, name="early")(layers.Flatten()(x))
    x = layers.LeakyReLU(0.2)(layers.Conv2D(6, 3)(x))
    x = layers.Activation("tanh")(layers.Conv2D(6, 1)(x))
    x = layers.Conv2D(6, 1)(x)
    x = layers.Lambda(lambda y: y * tf.nn.relu6(y + 3.0) / 6.0)(x)
    late = layers.Dense(5, "softmax", kernel_initializer=sharp, name="late")(layers.Flatten()(x))
    multi = convert(keras.Model(image, [early, late]))
    model = flatbuffer.read(multi)
    names = {schema.op_name(model, op) for op in model.subgraphs[0].operators}
    assert names >= {"PRELU", "LEAKY_RELU", "TANH", "HARD_SWISH"}
    content = splice.splice(multi, ["early", "late"], [60, 0])
    assert check_equal(content, normalize(multi), ["early", "late"], [60, 0]) == {0, 1}


@pytest.mark.parametrize("limited", [False, True])
def test_a_relu6_of_its_own_is_the_same_in_both_runtimes(limited: bool) -> None:
    layers = keras.layers
    keras.utils.set_random_seed(1)
    spread = keras.initializers.RandomNormal(stddev=2.0, seed=3)
    x = image = layers.Input((8, 8, 2), batch_size=1)
    outputs = []
    for name in ("early", "late"):
        x = layers.Conv2D(4, 3, kernel_initializer=spread)(x)
        y = layers.ReLU(6.0)(x)
        # Quantised for a sum with numbers beyond 6, int8 has room beyond 6.
        y = y if limited else layers.Conv2D(4, 1)(y)
        x = layers.Add()([x, y])
        z = layers.Conv2D(5, x.shape[1])(x)
        outputs.append(layers.Softmax(name=name)(layers.Reshape((5,))(z)))
    multi = convert(keras.Model(image, outputs))
    before, after = flatbuffer.read(multi), flatbuffer.read(normalize(multi))
    names = [[schema.op_name(m, op) for op in m.subgraphs[0].operators] for m in (before, after)]
    assert names[0].count("RELU6") == names[1].count("RELU") == 2
    assert names[1].count("MINIMUM") == 2 * limited
    assert "RELU6" not in names[1]
    x = inputs_for(multi, 60)
    for name, scores in LiteRT(multi).run(x).items():
        for runtime in (LiteRT, Tflm):
            np.testing.assert_array_equal(runtime(normalize(multi)).run(x)[name], scores)
    assert check_equal(
        splice.splice(multi, ["early", "late"], [60, 0]),
        normalize(multi),
        ["early", "late"],
        [60, 0],
    ) == {0, 1}


def test_uint8_inputs_and_outputs_are_taken_off() -> None:
    multi = three_exits()
    order = order_of(multi)
    model = flatbuffer.read(
        _with_outputs(multi, lambda m, index: _quantize(m, index, inward=False))
    )
    main = model.subgraphs[0]
    main.inputs = np.array([_quantize(model, int(main.inputs[0]), inward=True)], np.int32)
    model.signatureDefs[0].inputs[0].tensorIndex = int(main.inputs[0])
    content = splice.splice(flatbuffer.write(model), order, [5, 5, 0])
    graphs = flatbuffer.read(content).subgraphs
    assert all(t.type != fb.TensorType.UINT8 for graph in graphs for t in graph.tensors)
    check_equal(content, normalize(multi), order, [5, 5, 0])


def test_an_int8_input_that_is_quantised_anew_keeps_its_meaning() -> None:
    multi = three_exits()
    order = order_of(multi)
    model = flatbuffer.read(multi)
    main = model.subgraphs[0]
    read = int(main.inputs[0])
    wide = copy.copy(main.tensors[read])
    wide.quantization = fb.QuantizationParametersT(
        scale=2 * wide.quantization.scale, zeroPoint=np.zeros(1, np.int64)
    )
    main.tensors.append(wide)
    given = len(main.tensors) - 1
    main.operators.insert(0, _operator(model, fb.BuiltinOperator.QUANTIZE, [given], read))
    main.inputs = np.array([given], np.int32)
    model.signatureDefs[0].inputs[0].tensorIndex = given
    content = flatbuffer.write(model)
    main = flatbuffer.read(normalize(content)).subgraphs[0]
    assert schema.quantization(main.tensors[main.inputs[0]]) == schema.quantization(wide)
    x = inputs_for(multi, 20)
    for name, scores in Tflm(content).run(x).items():
        np.testing.assert_array_equal(Tflm(normalize(content)).run(x)[name], scores)
    levels = [5, 5, -128]
    check_equal(splice.splice(content, order, levels), normalize(content), order, levels)


def _quantize(model: fb.ModelT, index: int, inward: bool) -> int:
    """A uint8 tensor from or to which an int8 one is converted."""
    main = model.subgraphs[0]
    tensor = copy.copy(main.tensors[index])
    tensor.type, tensor.quantization = fb.TensorType.UINT8, copy.copy(tensor.quantization)
    tensor.quantization.zeroPoint = tensor.quantization.zeroPoint + 128
    main.tensors.append(tensor)
    op = _operator(model, fb.BuiltinOperator.QUANTIZE, [index], len(main.tensors) - 1)
    if inward:
        op.inputs, op.outputs = op.outputs, op.inputs
    main.operators.insert(0 if inward else len(main.operators), op)
    return len(main.tensors) - 1


def _operator(model: fb.ModelT, builtin: int, inputs: list[int], output: int) -> fb.OperatorT:
    model.operatorCodes.append(fb.OperatorCodeT(builtin, None, 1, builtin))
    op = fb.OperatorT(len(model.operatorCodes) - 1)
    op.inputs, op.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
    return op


@pytest.mark.parametrize("int8", [True, False])
def test_softmaxes_over_groups_are_no_scores_of_classes(int8: bool) -> None:
    layers = keras.layers
    outputs, x = [], (image := layers.Input((8, 8, 2), batch_size=1))
    for shape in ((2, 3), (1, 6)):
        x = layers.Conv2D(4, 3)(x)
        grouped = layers.Reshape(shape)(layers.Dense(6)(layers.Flatten()(x)))
        outputs.append(layers.Reshape((6,), name=f"by{shape[-1]}")(layers.Softmax()(grouped)))
    content = convert(keras.Model(image, outputs), int8=int8)
    with pytest.raises(UserError, match="output by3 holds 2 softmaxes over 3 scores each"):
        normalize(content)
    assert spliced.inspect(splice.splice(content, ["by6"], [-128])).exits == ("by6",)


OF_SCORES: dict[str, Callable] = {
    "AVERAGE_POOL_2D": lambda x: keras.layers.AveragePooling2D(4)(x),
    "MAX_POOL_2D": lambda x: keras.layers.MaxPooling2D(4)(x),
    "MAXIMUM": lambda x: keras.layers.Lambda(lambda y: tf.maximum(y, 0.25))(x),
    "PAD": lambda x: keras.layers.Lambda(lambda y: tf.pad(y, [[0, 0]] * 3 + [[1, 0]]))(x),
    "SLICE": lambda x: keras.layers.Lambda(lambda y: tf.slice(y, [0, 1, 1, 1], [1, 1, 1, 4]))(x),
}


@pytest.mark.parametrize("operator", OF_SCORES)
def test_what_is_made_of_scores_gets_no_second_softmax(operator: str) -> None:
    layers = keras.layers
    image = layers.Input((8, 8, 2), batch_size=1)
    x = layers.Conv2D(4, 3)(image)
    places = layers.Softmax()(layers.Conv2D(5, 3)(x))
    made = layers.Flatten(name="early")(OF_SCORES[operator](places))
    late = layers.Dense(made.shape[1], "softmax", name="late")(layers.Flatten()(x))
    multi = convert(keras.Model(image, [made, late]))
    with pytest.raises(UserError, match=f"comes from {operator}, with softmax"):
        normalize(multi)


@pytest.mark.parametrize("layer", ["Conv2D", "DepthwiseConv2D"])
def test_what_weighs_scores_gives_logits(layer: str) -> None:
    layers = keras.layers
    image = layers.Input((8, 8, 2), batch_size=1)
    places = layers.Softmax()(layers.Conv2D(5, 3)(image))
    weigh = layers.Conv2D(5, 6) if layer == "Conv2D" else layers.DepthwiseConv2D(6)
    multi = convert(keras.Model(image, layers.Flatten(name="weighed")(weigh(places))))
    assert spliced.inspect(splice.splice(multi, ["weighed"], [0])).exits == ("weighed",)


def test_other_outputs_are_refused() -> None:
    def maps(model: fb.ModelT, index: int) -> int:
        del index
        return next(
            i for i, t in enumerate(model.subgraphs[0].tensors) if schema.shape(t)[1:2] == (8,)
        )

    def sigmoid(model: fb.ModelT, index: int) -> int:
        op = producer(model.subgraphs[0], index)
        logistic = fb.BuiltinOperator.LOGISTIC
        model.operatorCodes.append(fb.OperatorCodeT(logistic, None, 2, logistic))
        op.opcodeIndex = len(model.operatorCodes) - 1
        op.builtinOptions, op.builtinOptionsType = None, 0
        return index

    def doubled(model: fb.ModelT, index: int) -> int:
        main = model.subgraphs[0]
        main.tensors.append(copy.copy(main.tensors[index]))
        added = _operator(model, fb.BuiltinOperator.ADD, [index, index], len(main.tensors) - 1)
        added.builtinOptions = fb.AddOptionsT()
        added.builtinOptionsType = fb.BuiltinOptions.AddOptions
        main.operators.append(added)
        return len(main.tensors) - 1

    multi = three_exits()
    order = order_of(multi)
    with pytest.raises(UserError, match="comes from ADD, with softmax or sigmoid scores behind it"):
        splice.splice(_with_outputs(multi, doubled), order, [5, 5, 0])
    doubled_logits = _with_outputs(_with_outputs(multi, _before), doubled)
    assert spliced.inspect(splice.splice(doubled_logits, order, [5, 5, 0])).exits == tuple(order)
    with pytest.raises(UserError, match="comes from LOGISTIC"):
        splice.splice(_with_outputs(multi, sigmoid), order, [5, 5, 0])
    with pytest.raises(UserError, match=r"expected \(1, classes\)"):
        splice.splice(_with_outputs(with_exits(multi, order[:1]), maps), order[:1], [0])
