"""Which kinds of heads a trial carries, as hyperparameters.

Every trial trains all its candidate exits at once, so it carries few kinds: the two cheap ones,
pooling and a dense layer, and at most one stronger kind.
"""

import keras_tuner

from eexit_tf.heads import GRID, NACHOS, POOLED, head_name
from eexit_tf.tuners.candidates import Values

FAMILIES = ("none", "conv", "separable", "nachos")
MODULE = {
    "head_modules": (1, 2),
    "head_kernel": (3, 5),
    "head_growth": (1, 2),
    "head_pool": (0, 1),
}
"""Of heads of modules; two modules are alike."""

NAMES = ("head", *MODULE)


def declare(hp: keras_tuner.HyperParameters) -> None:
    """Register the hyperparameters."""
    hp.Choice("head", list(FAMILIES), ordered=False)
    for name, choices in MODULE.items():
        hp.Choice(name, list(choices), ordered=True)


def canonical(values: Values) -> Values:
    """What a head has no use for is set to its first value."""
    if values["head"] in ("conv", "separable"):
        return dict(values)
    return values | {name: choices[0] for name, choices in MODULE.items()}


def kinds(values: Values) -> list[str]:
    """The kinds of heads, the two cheap ones first."""
    family = values["head"]
    if family == "none":
        return [POOLED, GRID]
    if family == "nachos":
        return [POOLED, GRID, NACHOS]
    pooled = bool(values["head_pool"])
    module = (family, values["head_kernel"], values["head_growth"], pooled)
    return [POOLED, GRID, head_name([module] * values["head_modules"])]
