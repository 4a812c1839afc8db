"""Samples as an int8 network takes them: the same for every runtime, because it happens here."""

import numpy as np
from ai_edge_litert import schema_py_generated as fb
from numpy.typing import NDArray

from eexit_tf.errors import UserError
from eexit_tf.tflite import schema


def quantise(model: fb.ModelT, x: NDArray) -> NDArray:
    """Samples in the type of the network's input.

    Floats become ``rint(x / scale) + zero_point``, ties to even, clipped to int8. Samples that
    have the input's type already stay as they are.

    Raises:
        UserError: values that are not finite, or of a type that does not fit.
    """
    tensor = model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]]
    x, wanted = np.asarray(x), schema.dtype(tensor)
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
