"""What numbers a network computes in: int8 is made of float32."""

from typing import Any

from eexit_tf.errors import UserError


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
