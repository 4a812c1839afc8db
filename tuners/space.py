"""The search space: backbone families with all their candidate exits."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras_tuner

from eexit_tf.backbones import FAMILIES, taps
from eexit_tf.costs import ExitCosts
from eexit_tf.errors import UserError
from eexit_tf.exits import attach_exits, keep_exits
from eexit_tf.heads import HEADS
from eexit_tf.keras import keras
from eexit_tf.network_costs import exit_costs
from eexit_tf.vocabulary import Bounds, Exit

WIDTHS = (8, 12, 16, 24, 32, 48)
DEPTHS = (1, 2)
KERNELS = (3, 5)
LARGEST_STAGES = 4
SMALLEST_MAP = 2
"""Side of the feature map below which no further stage halves the resolution."""


class ExitSpace(keras_tuner.HyperModel):
    """Backbones with every head kind attached to every block.

    One point of the space is a backbone; which of its exits are used, and with which thresholds,
    is not a hyperparameter: it is searched exactly once the network is trained.

    Args:
        input_shape: (height, width, channels).
        classes: how many there are to tell apart.
        bounds: exits that alone already break them are left out.
    """

    def __init__(self, input_shape: Sequence[int], classes: int, bounds: Bounds) -> None:
        super().__init__(name="exits")
        self.input_shape = tuple(input_shape)
        self.classes = classes
        self.bounds = bounds
        halvings = (min(self.input_shape[:2]) // SMALLEST_MAP).bit_length()
        self.stages = tuple(range(2, max(2, min(LARGEST_STAGES, halvings)) + 1))

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Register all hyperparameters; the order of choices is from cheap to costly."""
        hp.Choice("family", list(FAMILIES), ordered=False)
        hp.Choice("width", list(WIDTHS), ordered=True)
        hp.Choice("stages", list(self.stages), ordered=True)
        hp.Choice("depth", list(DEPTHS), ordered=True)
        hp.Choice("kernel", list(KERNELS), ordered=True)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The network with all candidate exits that can keep the bounds.

        Raises:
            UserError: not one of them can.
        """
        self.declare_hyperparameters(hp)
        return self.network(hp.values)

    def network(self, values: dict[str, Any]) -> keras.Model:
        """As `build`, from plain values."""
        full = self._full_network(values)
        costs = exit_costs(full)
        fit = self._fitting(costs)
        if not fit:
            raise UserError(f"no exit of {values} keeps {self.bounds}")
        return keep_exits(full, [costs.exits[index] for index in fit])

    def rejected(self, values: dict[str, Any]) -> bool:
        """Whether no policy on this network can keep the bounds, known without training."""
        return not self._fitting(exit_costs(self._full_network(values)))

    def check_bounds(self) -> None:
        """Refuse bounds that nothing in the space can meet.

        Raises:
            UserError: says what the smallest networks need.
        """
        smallest = [exit_costs(self._full_network(values)) for values in self._corners(0)]
        if not any(self._fitting(costs) for costs in smallest):
            macs = min(costs.alone_macs(i) for costs in smallest for i in range(len(costs)))
            params = min(costs.params([i]) for costs in smallest for i in range(len(costs)))
            raise UserError(
                f"nothing in the search space keeps {self.bounds}: the cheapest network for "
                f"inputs of {' x '.join(map(str, self.input_shape))} needs {macs:,} MACs, the "
                f"smallest has {params:,} parameters"
            )

    def reference_macs(self) -> tuple[float, float]:
        """From where to where hypervolumes count: one MAC an input value, and the largest bound.

        Without a bound, the costliest network of the space.
        """
        height, width, channels = self.input_shape
        bound = self.bounds.max_mean_macs or self.bounds.max_macs
        if bound is None:
            costs = [exit_costs(self._full_network(values)) for values in self._corners(-1)]
            bound = max(c.alone_macs(i) for c in costs for i in range(len(c)))
        return float(height * width * channels), float(bound)

    def _corners(self, end: int) -> Iterator[dict[str, Any]]:
        """The cheapest (0) or costliest (-1) values of each family."""
        hp = keras_tuner.HyperParameters()
        self.declare_hyperparameters(hp)
        for family in FAMILIES:
            yield {p.name: p.values[end] for p in hp.space} | {"family": family}

    def _full_network(self, values: dict[str, Any]) -> keras.Model:
        widths = [values["width"] * 2**stage for stage in range(values["stages"])]
        backbone = FAMILIES[values["family"]](
            self.input_shape, widths=widths, depth=values["depth"], kernel=values["kernel"]
        )
        exits = [Exit(tap, head) for tap in taps(backbone) for head in HEADS]
        return attach_exits(backbone, exits, classes=self.classes)

    def _fitting(self, costs: ExitCosts) -> list[int]:
        """The exits that some policy within the bounds can use; none if there is no such policy.

        Alone, an exit is the cheapest policy that ends with it. On average a policy costs at
        least its first exit alone, so that one exit must be within the mean too, but the others
        need not be.
        """
        bounds = self.bounds
        fit = [
            index
            for index in range(len(costs))
            if (bounds.max_macs is None or costs.alone_macs(index) <= bounds.max_macs)
            and (bounds.max_params is None or costs.params([index]) <= bounds.max_params)
        ]
        cheapest = min((costs.alone_macs(index) for index in fit), default=0)
        return fit if bounds.max_mean_macs is None or cheapest <= bounds.max_mean_macs else []
