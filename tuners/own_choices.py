"""The user's own hyperparameters as the search takes them: choices that are always there.

KerasTuner removes from a trial the values whose `conditional_scope` is closed, and hands the user's
code `None` for them. To learn from trials, all must have values of the same names. So scopes open
and close here alone: outside of the user's code, what is in a closed one counts as its default.
"""

from collections.abc import Sequence

from keras_tuner.engine.hyperparameters import Choice, HyperParameter

from eexit_tf.errors import UserError
from eexit_tf.tuners.evolution import Values


def checked(space: Sequence[HyperParameter]) -> None:
    """Refuse what the search cannot take.

    Raises:
        UserError: one is not a choice, or is declared in two scopes.
    """
    names: set[str] = set()
    for parameter in space:
        if not isinstance(parameter, Choice):
            raise UserError(
                f"hyperparameter {parameter.name!r} is a {type(parameter).__name__}; the "
                f"search takes choices alone: hp.Choice({parameter.name!r}, [...])"
            )
        if parameter.name in names:
            raise UserError(
                f"hyperparameter {parameter.name!r} is declared in two scopes; expected one of a "
                f"name: give it another name in each"
            )
        names.add(parameter.name)


def choices(space: Sequence[HyperParameter]) -> list[Choice]:
    """The same without conditions."""
    return [Choice.from_config(choice.get_config() | {"conditions": []}) for choice in space]


def active(space: Sequence[HyperParameter], values: Values) -> Values:
    """The values in open scopes, as KerasTuner has them when it runs the user's code.

    Args:
        space: the hyperparameters as the user declared them.
        values: of all of them.
    """
    found: Values = {}
    for choice in space:  # what a condition asks for comes first
        if all(condition.is_active(found) for condition in choice.conditions):
            found[choice.name] = values[choice.name]
    return found
