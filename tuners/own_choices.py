"""The user's own hyperparameters as the search takes them: choices that are always there.

KerasTuner's other kinds of hyperparameters are choices, too, where they have few values.

It removes from a trial the values whose `conditional_scope` is closed, and hands the user's
code `None` for them. To learn from trials, all must have values of the same names. So scopes open
and close here alone: outside of the user's code, what is in a closed one counts as its default.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from keras_tuner.engine.hyperparameters import Boolean, Choice, Fixed, Float, HyperParameter, Int

from eexit_tf.errors import UserError
from eexit_tf.tuners.evolution import Values

MOST_VALUES = 64
"""Of a range in steps: before a search, a network is built with each, to see which costs most."""


def checked(space: Sequence[HyperParameter]) -> None:
    """Refuse what the search cannot take.

    Raises:
        UserError: one has any number of values, or is declared in two scopes.
    """
    names: set[str] = set()
    for parameter in space:
        if not 0 < len(values(parameter)) <= MOST_VALUES and not isinstance(parameter, Choice):
            raise UserError(
                f"hyperparameter {parameter.name!r} is a {type(parameter).__name__} without steps, "
                f"or with more than {MOST_VALUES}; the search takes few values, such as "
                f"hp.Choice({parameter.name!r}, [...])"
            )
        if parameter.name in names:
            raise UserError(
                f"hyperparameter {parameter.name!r} is declared in two scopes; expected one of a "
                f"name: give it another name in each"
            )
        names.add(parameter.name)


def values(parameter: HyperParameter) -> list[Any]:
    """What a hyperparameter can be, if that is few; from small to large unless it is a choice."""
    if isinstance(parameter, Choice):
        return list(parameter.values)
    if isinstance(parameter, Boolean | Fixed):
        return sorted(parameter.values)
    if isinstance(parameter, Int | Float) and parameter.step is not None:
        # There may be billions of them. Those of an Int are floats if its scale is logarithmic.
        kind = int if isinstance(parameter, Int) else float
        return sorted(map(kind, islice(parameter.values, MOST_VALUES + 1)))
    return []


def choices(space: Sequence[HyperParameter]) -> list[Choice]:
    """The same as choices, without conditions."""
    return [_choice(parameter) for parameter in space]


def _choice(parameter: HyperParameter) -> Choice:
    if isinstance(parameter, Choice):
        return Choice.from_config(parameter.get_config() | {"conditions": []})
    few = values(parameter)
    default = parameter.default
    if default not in few:  # between two steps
        default = min(few, key=lambda value: abs(value - default))
    return Choice(parameter.name, few, default=default)


def active(space: Sequence[HyperParameter], chosen: Values) -> Values:
    """The values in open scopes, as KerasTuner has them when it runs the user's code.

    Args:
        space: the hyperparameters as the user declared them.
        chosen: values of all `choices` of them.
    """
    found: Values = {}
    for parameter in space:  # what a condition asks for comes first
        if all(condition.is_active(found) for condition in parameter.conditions):
            few = values(parameter)
            found[parameter.name] = few[few.index(chosen[parameter.name])]  # True, not 1
    return found
