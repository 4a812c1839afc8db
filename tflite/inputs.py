"""Samples as an int8 network takes them: the same for every runtime, because it happens here."""

import math

import numpy as np
from ai_edge_litert import schema_py_generated as fb
from numpy.typing import NDArray

from eexit_tf.errors import UserError
from eexit_tf.tflite import schema


def quantise(model: fb.ModelT, x: NDArray) -> NDArray:
    """Samples in the type of the network's input.

    Samples of the input's size get its shape where that is clear, see `_in_shape`.
    Floats become ``rint(x / scale) + zero_point``, ties to even, clipped to int8. Samples that
    have the input's type already stay as they are.

    Raises:
        UserError: values that are not finite, or of a type that does not fit.
    """
    tensor = model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]]
    x, wanted = _in_shape(np.asarray(x), schema.shape(tensor)[1:]), schema.dtype(tensor)
    if x.dtype == wanted and wanted != np.float32:
        return x
    if x.dtype.kind != "f":
        kinds = "float" if wanted == np.float32 else f"float or {wanted}"
        raise UserError(f"expected {kinds} samples, got {x.dtype}")
    with np.errstate(over="ignore"):
        x = x.astype(np.float32, copy=False)
        if not np.isfinite(x).all():
            raise UserError("the samples hold values that are not finite numbers in float32")
        if wanted == np.float32:
            return x
        scale, zero = schema.quantization(tensor)
        steps = np.rint(x / np.float32(scale)) + zero
    return np.clip(steps, -128, 127).astype(np.int8)


def _in_shape(x: NDArray, shape: tuple[int, ...]) -> NDArray:
    """`x` as (samples, *shape), where the two differ only in dimensions of 1 or one is flat.

    Other shapes of the same size stay as they are, to be refused: with height and width swapped,
    or with channels first, the samples would be scrambled.
    """
    given, wanted = ([size for size in sizes if size != 1] for sizes in (x.shape[1:], shape))
    same_size = math.prod(given) == math.prod(wanted)
    if x.ndim and (given == wanted or (same_size and min(len(given), len(wanted)) == 1)):
        return x.reshape(len(x), *shape)
    return x
