"""Which operators this project handles, and what is checked of each.

A check yields what is wrong, as a sentence. An operator without a check is refused: what has
not been thought through does not reach native code.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType, NoneType

from ai_edge_litert import schema_py_generated as fb

from eexit_tf.tflite import schema
from eexit_tf.tflite.checks import layers, parts, tensors
from eexit_tf.tflite.checks.place import Place

_FUSABLE = {
    fb.ActivationFunctionType.NONE,
    fb.ActivationFunctionType.RELU,
    fb.ActivationFunctionType.RELU_N1_TO_1,
    fb.ActivationFunctionType.RELU6,
}


def check_operator(
    model: fb.ModelT, graph: fb.SubGraphT, operator: fb.OperatorT, number: int, called: set[int]
) -> Iterator[str]:
    """What is wrong with an operator; graphs that it calls are added to `called`."""
    name = schema.op_name(model, operator)
    if name == "CUSTOM":  # other operators may have a custom name as well, which says nothing
        custom = schema.text(model.operatorCodes[operator.opcodeIndex].customCode)
        advice = "; convert the network without SELECT_TF_OPS" * custom.startswith("Flex")
        yield f"custom operator {custom!r} is not supported{advice}"
        return
    rule = RULES.get(name)
    if rule is None:
        hint = _hint(model, name in ("PACK", "SHAPE"))
        yield f"{name} is not supported{hint}; supported are {', '.join(sorted(RULES))}"
        return
    place = Place(model, graph, number, operator, called)
    fewest, most, writes, options, check = rule
    reads = len(operator.inputs)
    if not fewest <= reads <= most or any(i == -1 for i in operator.inputs[:fewest]):
        yield f"{name} has {reads} inputs, expected {fewest} to {most}"
    if writes and len(operator.outputs) != writes:
        yield f"{name} has {len(operator.outputs)} outputs, expected {writes}"
    if options is not None and not isinstance(place.options, options):
        yield f"{name} has no options of its own kind"
    if options is None and place.options is not None:
        operator.builtinOptions, operator.builtinOptionsType = None, 0
    if getattr(place.options, "fusedActivationFunction", 0) not in _FUSABLE:
        yield f"{name} has an activation that is not supported"
    for problem in check(place):
        shapes = [schema.shape(t) for t in place.inputs if t is not None]
        outputs = [schema.shape(t) for t in place.outputs]
        yield f"{name}: {problem} (inputs {shapes}, outputs {outputs}){_hint(model)}"


def _hint(model: fb.ModelT, surely_open: bool = False) -> str:
    """What to do about a file whose batch was left open, see `open_batch`."""
    main = model.subgraphs[0]
    signatures = [main.tensors[index].shapeSignature for index in main.inputs]
    if surely_open or any(found is not None and -1 in found for found in signatures):
        return "; convert with a batch of 1: one that is left open brings operators of its own"
    return ""


Rule = tuple[int, int, int, type | tuple[type, ...] | None, Callable[[Place], Iterable[str]]]

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        # inputs at least and at most, outputs (0: any), options, check
        "ADD": (2, 2, 1, fb.AddOptionsT, tensors.add),
        "ARG_MAX": (2, 2, 1, fb.ArgMaxOptionsT, tensors.arg_max),
        "AVERAGE_POOL_2D": (1, 1, 1, fb.Pool2DOptionsT, layers.pool),
        "CONCATENATION": (1, 64, 1, fb.ConcatenationOptionsT, tensors.concatenate),
        "CONV_2D": (2, 3, 1, fb.Conv2DOptionsT, lambda p: layers.convolution(p, False)),
        "DEPTHWISE_CONV_2D": (
            2,
            3,
            1,
            fb.DepthwiseConv2DOptionsT,
            lambda p: layers.convolution(p, True),
        ),
        "DEQUANTIZE": (1, 1, 1, None, tensors.dequantise),
        "EQUAL": (2, 2, 1, None, tensors.compare),
        "FULLY_CONNECTED": (2, 3, 1, fb.FullyConnectedOptionsT, layers.dense),
        "GREATER_EQUAL": (2, 2, 1, None, tensors.compare),
        "HARD_SWISH": (1, 1, 1, None, layers.hard_swish),
        "IF": (1, 256, 0, fb.IfOptionsT, tensors.branch),
        "LEAKY_RELU": (1, 1, 1, fb.LeakyReluOptionsT, layers.leaky_relu),
        "LOGISTIC": (1, 1, 1, None, layers.logistic),
        "LOG_SOFTMAX": (1, 1, 1, (fb.LogSoftmaxOptionsT, NoneType), layers.log_softmax),
        "MAXIMUM": (2, 2, 1, None, tensors.largest_or_smallest),
        "MAX_POOL_2D": (1, 1, 1, fb.Pool2DOptionsT, layers.pool),
        "MEAN": (2, 2, 1, fb.ReducerOptionsT, tensors.reduce),
        "MINIMUM": (2, 2, 1, None, tensors.largest_or_smallest),
        "MUL": (2, 2, 1, fb.MulOptionsT, tensors.elementwise),
        "PAD": (2, 2, 1, None, tensors.pad),
        "PRELU": (2, 2, 1, None, tensors.elementwise),
        "QUANTIZE": (1, 1, 1, None, tensors.quantise),
        "REDUCE_MAX": (2, 2, 1, fb.ReducerOptionsT, tensors.maximum),
        "RELU": (1, 1, 1, None, layers.same_shape),
        "RELU6": (1, 1, 1, None, layers.same_shape),
        "RESHAPE": (1, 2, 1, (fb.ReshapeOptionsT, NoneType), tensors.reshape),
        "SELECT_V2": (3, 3, 1, None, tensors.select),
        "SLICE": (3, 3, 1, None, parts.cut_out),
        "SOFTMAX": (1, 1, 1, fb.SoftmaxOptionsT, layers.softmax),
        "SPLIT": (2, 2, 0, fb.SplitOptionsT, parts.split),
        "SPLIT_V": (3, 3, 0, fb.SplitVOptionsT, parts.split_by_sizes),
        "STRIDED_SLICE": (4, 4, 1, fb.StridedSliceOptionsT, parts.cut_with_strides),
        "SUB": (2, 2, 1, fb.SubOptionsT, tensors.add),
        "TANH": (1, 1, 1, None, layers.tanh),
        "TRANSPOSE": (2, 2, 1, None, tensors.transpose),
    }
)
