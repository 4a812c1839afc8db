"""Networks as descriptions: what they are made of and cost, long before Keras builds them.

A unit is what the converter makes one operator of: a convolution comes with its batch norm and
its ReLU. So an exit, which attaches to a unit's output, can never sit between a convolution and
its batch norm, nor a batch norm behind anything but a convolution, which TFMOT cannot take. A
network is described in a fraction of a millisecond; `eexit_tf.building` makes Keras layers of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from operator import index
from typing import Literal

from eexit_tf import costs
from eexit_tf.errors import UserError

Shape = tuple[int, int, int]
"""(height, width, channels)."""
Sides = tuple[int, int]
"""(height, width)."""
Kind = Literal[
    "input", "conv", "depthwise", "add", "average", "maximum", "classify", "move", "folded"
]


@dataclass(frozen=True, eq=False, slots=True)
class Unit:
    """One operator of the deployed network, and the units whose outputs it reads.

    Attributes:
        kind: what it computes. Only networks that were not described here have units that move
            data (such as a concatenation; also batch norms that stay operators) or that are folded
            into the one before.
        name: of the Keras layer that gives its output; unique in a network.
        inputs: the units before it.
        shape: of its output; (1, 1, classes) of a classifier.
        macs: see `eexit_tf.costs`.
        params: weights and biases, the batch norm folded into them.
        kernel, stride: of convolutions and pooling.
        relu: whether a ReLU belongs to it.
    """

    kind: Kind
    name: str
    inputs: tuple["Unit", ...]
    shape: Shape
    macs: int = 0
    params: int = 0
    kernel: Sides = (1, 1)
    stride: Sides = (1, 1)
    relu: bool = False


@dataclass(frozen=True)
class Blueprint:
    """A backbone as a description.

    Attributes:
        name: of its family.
        input: the unit that holds the input.
        taps: the units where exits can attach, in the order of execution; the last one ends it.
    """

    name: str
    input: Unit
    taps: tuple[Unit, ...]


def image(shape: Sequence[int], name: str = "input") -> Unit:
    """An input, or a feature map that something else computes.

    Raises:
        UserError: not (height, width, channels).
    """
    try:
        height, width, channels = map(index, shape)
    except (TypeError, ValueError) as error:
        raise UserError(f"expected (height, width, channels), but got {shape}") from error
    if min(height, width, channels) < 1:
        raise UserError(f"height, width and channels must be 1 or more, but are {shape}")
    return Unit("input", name, (), (height, width, channels))


def conv(
    x: Unit,
    channels: int,
    kernel: int | Sides,
    stride: int = 1,
    *,
    name: str,
    relu: bool = True,
) -> Unit:
    """Convolution, batch norm and, if asked for, ReLU.

    A kernel is cut where it reaches beyond the map from every place in it: on a map of height 1
    a kernel of 3 is 1 x 3, and nothing else changes.
    """
    kernel = _kernel(x, kernel)
    shape = _strided(x, stride, channels)
    weights = prod(kernel) * x.shape[2] * channels
    macs = costs.conv_macs(shape, kernel, x.shape[2])
    return Unit("conv", name, (x,), shape, macs, weights + channels, kernel, (stride, stride), relu)


def depthwise(x: Unit, kernel: int | Sides, stride: int = 1, *, name: str) -> Unit:
    """Depthwise convolution, batch norm and ReLU; kernels are cut as in `conv`."""
    kernel = _kernel(x, kernel)
    channels = x.shape[2]
    shape = _strided(x, stride, channels)
    macs = costs.depthwise_macs(shape, kernel)
    params = prod(kernel) * channels + channels
    return Unit("depthwise", name, (x,), shape, macs, params, kernel, (stride, stride), True)


def add(x: Unit, y: Unit, *, name: str, relu: bool) -> Unit:
    """Sum of two maps of one shape and, if asked for, ReLU."""
    if x.shape != y.shape:
        raise ValueError(f"{name} adds {x.shape} and {y.shape}")
    return Unit("add", name, (x, y), x.shape, costs.elementwise_macs(x.shape), relu=relu)


def pool(x: Unit, window: Sides, *, name: str, kind: Literal["average", "maximum"]) -> Unit:
    """Pooling over windows side by side; a rest that fills no window is left out.

    Always over fixed windows, never a mean over the map: all runtimes round it alike.
    """
    height, width, channels = x.shape
    shape = (height // window[0], width // window[1], channels)
    return Unit(kind, name, (x,), shape, costs.pool_macs(shape, window), 0, window, window)


def classify(x: Unit, classes: int, *, name: str) -> Unit:
    """Dense softmax over all elements of a map."""
    inputs = prod(x.shape)
    macs = costs.dense_macs(inputs, classes) + costs.elementwise_macs((classes,))
    return Unit("classify", name, (x,), (1, 1, classes), macs, (inputs + 1) * classes)


def _kernel(x: Unit, kernel: int | Sides) -> Sides:
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    return min(height, 2 * x.shape[0] - 1), min(width, 2 * x.shape[1] - 1)


def _strided(x: Unit, stride: int, channels: int) -> Shape:
    return -(-x.shape[0] // stride), -(-x.shape[1] // stride), channels
