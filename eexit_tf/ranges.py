"""Numbers that must lie in a range."""

import math

from eexit_tf.errors import UserError


def check_part(what: str, value: float) -> None:
    """Refuse what is no part of a whole.

    Raises:
        UserError: it is not from 0 to 1.
    """
    if not 0 <= value <= 1:
        raise UserError(f"{what} must be from 0 to 1, but is {value}")


def check_above_0(what: str, value: float) -> None:
    """Refuse what must be more than nothing.

    Raises:
        UserError: it is not above 0, or not finite.
    """
    if not 0 < value < math.inf:
        raise UserError(f"{what} must be above 0 and finite, but is {value}")


def check_not_negative(what: str, value: float) -> None:
    """Refuse what must not be less than nothing.

    Raises:
        UserError: it is below 0, or not finite.
    """
    if not 0 <= value < math.inf:
        raise UserError(f"{what} must be 0 or more and finite, but is {value}")


def check_count(what: str, value: int) -> None:
    """Refuse what is no number of things to be done.

    Raises:
        UserError: it is below 1.
    """
    if value < 1:
        raise UserError(f"{what} must be 1 or more, but is {value}")
