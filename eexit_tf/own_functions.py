"""Functions that the user brings as `module:function`: found, called, their failures explained."""

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eexit_tf.errors import UserError


class OwnFunctionError(Exception):
    """A function of the user's failed with an `OSError`, which is the cause.

    Those of our own are about a path or a disk, and told in one line; of this one the user wants
    the traceback.
    """


def is_function(name: str) -> bool:
    """Whether a name has the form `module:function`."""
    module, colon, function = name.partition(":")
    return bool(colon) and all(part.isidentifier() for part in [*module.split("."), function])


def import_function(what: str, name: str) -> Callable[..., Any]:
    """The user's own function that `module:function` names.

    Args:
        what: it is for; begins every message.
        name: `module:function`.

    Raises:
        UserError: there is none, or importing it fails.
    """
    if not is_function(name):
        raise UserError(f"{what}: expected module:function")
    module_name, _, function_name = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # the user's own module, beside which the command is typed
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        lacking = error.name if isinstance(error, ModuleNotFoundError) else None
        if lacking is not None and f"{module_name}.".startswith(f"{lacking}."):
            raise UserError(
                f"{what}: there is no module {lacking}, neither in {Path.cwd()} nor "
                f"among what is installed"
            ) from error
        raise _error_of_the_user(f"{what}: {module_name} cannot be imported", error) from error
    place = f"{module_name} ({getattr(module, '__file__', 'built in')})"
    if not hasattr(module, function_name):
        raise UserError(f"{what}: {place} has no function {function_name}")
    function = getattr(module, function_name)
    if not callable(function):
        raise UserError(
            f"{what}: {function_name} in {place} is a {type(function).__name__}; expected a "
            f"function, such as one that returns it"
        )
    found: Callable[..., Any] = function
    return found


def parameters(function: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    """What the user's own function takes, without `*args` and `**kwargs`: they need nothing.

    Raises:
        UserError: Python cannot tell.
    """
    try:
        taken = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} is no function of yours: {error}") from error
    return [p for p in taken if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def call(what: str, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """What a function of the user's returns; `sys.exit` in it does not end the command unexplained.

    Args:
        what: it is for; begins the message.
        function: any other exception of it is passed on.
        given, named: what it takes.

    Raises:
        UserError: it wants to end the process.
        OwnFunctionError: it fails with an `OSError`.
    """
    try:
        return function(*given, **named)
    except SystemExit as error:
        raise _error_of_the_user(f"{what} wants to end the command", error) from error
    except OSError as error:
        raise OwnFunctionError(f"{what} failed: {error}") from error


def call_explained(what: str, function: Callable[..., Any]) -> Any:
    """As `call`, but every exception is told with the lines of the user's code that led to it.

    Raises:
        UserError: the function fails, or wants to end the process.
    """
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise _error_of_the_user(f"{what} failed", error) from error


def _error_of_the_user(what: str, error: BaseException) -> UserError:
    """An error in the user's own code: what it says, and the lines of that code that led to it."""
    ours = (__file__, importlib.__file__)
    lines = [
        f"  {frame.filename}, line {frame.lineno}, in {frame.name}: {frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in ours and not frame.filename.startswith("<frozen ")
    ]
    said = "".join(traceback.format_exception_only(error)).strip()
    return UserError("\n".join([f"{what}: {said}", *lines[-8:]]))
