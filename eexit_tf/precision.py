"""What numbers a network computes in: int8 is made of float32."""

from typing import Any

from eexit_tf.errors import UserError

BITS = (8, 4)
"""That weights may have; two of 4 bits make a byte of flash. Activations have 8, and depthwise
weights too, which LiteRT cannot take with fewer, and which are few."""


def check_float32(net: Any, what: str) -> None:
    """Refuse a network that cannot become int8, as neither TFMOT nor the converter takes it.

    Args:
        net: a functional model.
        what: it is, for the message.

    Raises:
        UserError: a layer does not compute in float32.
    """
    for layer in net.layers:
        if type(layer).__name__ != "InputLayer" and layer.compute_dtype != "float32":
            raise UserError(
                f"layer {layer.name!r} of {what} computes in {layer.compute_dtype}, where int8 is "
                f"made of float32; build it without another dtype or a policy of mixed precision"
            )


def check_bits(method: str, *bits: int) -> None:
    """Refuse numbers of bits, or fewer than 8 that are not trained.

    Raises:
        UserError: says what goes.
    """
    if not set(bits) <= set(BITS):
        raise UserError(f"weights may have 8 or 4 bits, not {' and '.join(map(str, bits))}")
    if method == "ptq" and min(bits) < max(BITS):
        raise UserError("weights of 4 bits are trained as such: quantise with qat, not ptq")
