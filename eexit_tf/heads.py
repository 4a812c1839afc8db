"""Heads: the small classifiers behind a tap, from the cheapest to the strongest.

A head's name says how it is made:

=======================  ====================================================================
`pool_dense`             global average pooling and a dense softmax
`grid_dense`             average pooling to a grid of about 4 x 4, which keeps where things are,
                         and a dense softmax; with maximum pooling it is the head of the
                         hardware-aware search (arXiv 2512.04705)
`conv3_dense`, …         one or two modules, then as `pool_dense` (AEBNAS, arXiv 2512.10671)
`nachos_dense`           three 3 x 3 convolutions of 32, 64 and 128 channels, then as
                         `pool_dense` (NACHOS, arXiv 2401.13330), each with stride 2, so that a
                         head on a large map does not cost more than the backbone
=======================  ====================================================================

A module is a convolution with stride 2: `conv` or, depthwise-separable, `separable`; its kernel,
`3` or `5`; `x2` where it doubles the channels; `max` where 2 x 2 maximum pooling follows. Two
modules are `conv3_conv3_dense` or `separable5x2_conv3max_dense`.
"""

import re
from functools import cache

from eexit_tf.blueprints import Unit, classify, conv, depthwise, pool
from eexit_tf.errors import UserError

POOLED = "pool_dense"
GRID = "grid_dense"
NACHOS = "nachos_dense"
NACHOS_WIDTHS = (32, 64, 128)
GRID_SIDE = 4
_MODULE = r"(conv|separable)(3|5)(x2)?(max)?"
_MODULES = re.compile(rf"{_MODULE}_(?:{_MODULE}_)?dense")
Module = tuple[str, int, int, bool]
"""Kind, kernel, how many times the channels, whether pooled."""


def head(x: Unit, kind: str, classes: int, name: str) -> Unit:
    """A head on a feature map.

    Args:
        x: the map.
        kind: see the table above.
        classes: how many there are.
        name: of the output; the head's other layers begin with it.

    Raises:
        UserError: no such kind.
    """
    check_head(kind)
    if kind == GRID:
        return classify(_pool_to(x, GRID_SIDE, name), classes, name=name)
    if kind == NACHOS:
        for number, width in enumerate(NACHOS_WIDTHS, 1):
            x = conv(x, width, 3, 2, name=f"{name}_{number}")
    else:
        for number, module in enumerate(_modules(kind), 1):
            x = _module(x, module, f"{name}_{number}")
    return classify(_pool_to(x, 1, name), classes, name=name)


def check_head(kind: str) -> None:
    """Refuse what is not a head.

    Raises:
        UserError: says what heads are called.
    """
    if kind not in (POOLED, GRID, NACHOS) and not _MODULES.fullmatch(kind):
        raise UserError(
            f"unknown head {kind!r}; expected {POOLED}, {GRID}, {NACHOS}, or one or two modules "
            f"such as conv3_dense, separable5x2_dense or conv3max_conv3_dense"
        )


def head_name(modules: list[Module]) -> str:
    """What a head of these modules is called."""
    said = [
        f"{kind}{kernel}{'x2' if growth == 2 else ''}{'max' if pooled else ''}_"
        for kind, kernel, growth, pooled in modules
    ]
    return "".join(said) + "dense" if said else POOLED


@cache
def _modules(kind: str) -> list[Module]:
    found = re.findall(_MODULE, kind)
    return [(k, int(side), 2 if growth else 1, bool(pooled)) for k, side, growth, pooled in found]


def _module(x: Unit, module: Module, name: str) -> Unit:
    kind, kernel, growth, pooled = module
    channels = growth * x.shape[2]
    if kind == "conv":
        x = conv(x, channels, kernel, 2, name=name)
    else:
        x = conv(depthwise(x, kernel, 2, name=f"{name}_spatial"), channels, 1, name=name)
    window = min(2, x.shape[0]), min(2, x.shape[1])
    if not pooled or window == (1, 1):
        return x
    return pool(x, window, name=f"{name}_max", kind="maximum")


def _pool_to(x: Unit, grid: int, name: str) -> Unit:
    height, width = x.shape[:2]
    window = max(1, height // grid), max(1, width // grid)
    return x if window == (1, 1) else pool(x, window, name=f"{name}_pool", kind="average")
