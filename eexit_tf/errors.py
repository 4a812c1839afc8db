"""The one exception that means "the input is wrong", as opposed to a bug of ours."""


class UserError(ValueError):
    """Wrong input or usage. The message says what was expected, what came and what to do.

    The command line prints the message without a traceback and exits with code 2.
    """
