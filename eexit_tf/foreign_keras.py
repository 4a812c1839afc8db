"""Objects of Keras 3, told from those of `tf_keras` by where their classes come from.

So neither Keras is imported to tell.
"""

from typing import Any

from eexit_tf.errors import UserError


def is_keras3(thing: Any, part: str = "") -> bool:
    """Whether this is an object of Keras 3, or of that part of it (`models`)."""
    home = f"keras.src.{part}"
    return any(base.__module__.startswith(home) for base in type(thing).__mro__)


def refuse_keras3(*things: Any) -> None:
    """Refuse objects of Keras 3 where those of `tf_keras` are needed.

    Raises:
        UserError: says how to come by one of `tf_keras`.
    """
    for thing in things:
        if is_keras3(thing):
            convert = ", or convert it: eexit_tf.keras3.from_keras3(model)"
            raise UserError(
                f"expected an object of tf_keras, got {type(thing).__name__} of Keras 3; make "
                f"it with `import tf_keras`{convert if is_keras3(thing, 'models') else ''}"
            )
