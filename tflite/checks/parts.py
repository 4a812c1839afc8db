"""Checks of the operators that take a tensor apart."""

from collections.abc import Iterator

from ai_edge_litert import schema_py_generated as fb

from eexit_tf.tflite import schema
from eexit_tf.tflite.checks.place import Place, same_quantisation, same_type

MOST_STRIDE = 1 << 12
"""TFLM counts in 32 bits, and runs over where a stride takes it beyond."""


def cut_out(place: Place) -> Iterator[str]:
    x, y = place.inputs[0], place.outputs[0]
    yield from same_type(x, y)
    rank = len(schema.shape(x))
    begin, size = (place.data(tensor) for tensor in place.inputs[1:])
    if begin is None or size is None or rank > 4:
        yield "begin and size are not constant, or there are more than four dimensions"
        return
    if not schema.shape(place.inputs[1]) == schema.shape(place.inputs[2]) == (rank,):
        yield f"begin and size are not of {rank} numbers"
        return
    begins, sizes = begin.tolist(), size.tolist()
    parts = zip(begins, sizes, schema.shape(x), strict=True)
    if any(b < 0 or s < 1 or b + s > whole for b, s, whole in parts):
        yield f"from {begins} on there are no {sizes}"
    if schema.shape(y) != tuple(sizes):
        yield f"the output should be {sizes}"


def cut_with_strides(place: Place) -> Iterator[str]:
    x, y, options = place.inputs[0], place.outputs[0], place.options
    yield from same_type(x, y)
    yield from same_quantisation(place)
    shape = schema.shape(x)
    given = [place.data(tensor) for tensor in place.inputs[1:]]
    limits = [numbers.tolist() for numbers in given if numbers is not None]
    if len(limits) < len(given) or not 0 < len(shape) <= 4:
        yield "begin, end and strides are not constant, or there are more than four dimensions"
        return
    if any(schema.shape(tensor) != (len(shape),) for tensor in place.inputs[1:]):
        yield f"begin, end and strides are not of {len(shape)} numbers"
        return
    if options.ellipsisMask or options.newAxisMask or options.offset:
        yield "an ellipsis, a new axis or an offset, which TFLM does not take"
    sizes = []
    for axis, (size, begin, end, stride) in enumerate(zip(shape, *limits, strict=True)):
        one, from_first, to_last = (
            mask >> axis & 1
            for mask in (options.shrinkAxisMask, options.beginMask, options.endMask)
        )
        if not 1 <= abs(stride) <= MOST_STRIDE:
            yield f"a stride of {stride}, where up to {MOST_STRIDE} either way are supported"
            return
        if one and (stride != 1 or from_first or not -size <= begin < size):
            yield f"of {size} there is no single one from {begin} on in steps of {stride}"
            return
        cut = slice(None if from_first else begin, None if to_last else end, stride)
        if not one:
            sizes.append(len(range(size)[cut]))
    if schema.shape(y) != tuple(sizes):
        yield f"the output should be {sizes}"


def split(place: Place) -> Iterator[str]:
    yield from _parts(place, place.inputs[1], place.inputs[0])
    if len({schema.shape(part) for part in place.outputs}) > 1:
        yield "the parts differ in size"


def split_by_sizes(place: Place) -> Iterator[str]:
    x, sizes, axis = place.inputs
    yield from _parts(place, x, axis)
    told, over = place.data(sizes), place.data(axis)
    parts = [schema.shape(part) for part in place.outputs]
    if told is None or over is None or schema.shape(sizes) != (len(parts),):
        yield f"the sizes are not {len(parts)} constant numbers"
        return
    wanted, there = told.tolist(), [part[over[0]] for part in parts]
    if wanted.count(-1) == 1:  # what the others leave
        wanted[wanted.index(-1)] = there[wanted.index(-1)]
    if wanted != there:
        yield f"the parts should be of {told.tolist()}"


def _parts(place: Place, x: fb.TensorT, axis: fb.TensorT) -> Iterator[str]:
    """What is wrong with outputs that together should be x."""
    yield from same_type(x, *place.outputs)
    yield from same_quantisation(place)
    if place.options.numSplits != len(place.outputs) or not place.outputs:
        yield f"{place.options.numSplits} parts are told, {len(place.outputs)} are there"
    whole, over = schema.shape(x), place.data(axis)
    if over is None or over.size != 1 or not -len(whole) <= over[0] < len(whole) <= 4:
        yield "the axis is not a constant one, or there are more than four dimensions"
        return
    at = int(over[0]) % len(whole)
    parts = [schema.shape(part) for part in place.outputs]
    around = (whole[:at], whole[at + 1 :])
    if any(len(part) != len(whole) or (part[:at], part[at + 1 :]) != around for part in parts):
        yield "the parts are not along one axis of the input"
        return
    if sum(part[at] for part in parts) != whole[at]:
        yield f"the parts are not {whole[at]} together"
