"""What every search space has in common: networks with candidate exits, held against bounds."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence

import keras_tuner

from eexit_tf.bounds import Bounds
from eexit_tf.costs import ExitCosts
from eexit_tf.errors import UserError
from eexit_tf.exits import keep_exits
from eexit_tf.keras import keras
from eexit_tf.training import LEARNING_RATE
from eexit_tf.tuners.evolution import Values
from eexit_tf.tuners.proposals import CANDIDATES
from eexit_tf.vocabulary import MOST_INT8_CLASSES

Check = Callable[[keras.Model], object]
"""Raises a `UserError` for a network that will not do."""


class CandidateSpace(keras_tuner.HyperModel):
    """Networks, each with all its candidate exits.

    Which of a network's exits are used, and with which thresholds, is not a hyperparameter: it
    is searched exactly once the network is trained.

    Args:
        input_shape: (height, width, channels).
        classes: how many there are to tell apart.
        bounds: exits that alone already break them are left out.

    Raises:
        UserError: more classes than an int8 network can tell apart.
    """

    learning_rate = LEARNING_RATE
    """The highest of each training."""
    candidates = CANDIDATES
    """Networks whose costs are counted before one is proposed."""

    def __init__(self, input_shape: Sequence[int], classes: int, bounds: Bounds) -> None:
        super().__init__(name="exits")
        if classes > MOST_INT8_CLASSES:
            raise UserError(
                f"the data has {classes} classes; what a search finds becomes int8, in which the "
                f"runtimes can tell at most {MOST_INT8_CLASSES} apart"
            )
        self.input_shape = tuple(input_shape)
        self.classes = classes
        self.bounds = bounds

    @abstractmethod
    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Register all hyperparameters, as choices; ordered ones go from cheap to costly."""

    @abstractmethod
    def full_network(self, values: Values) -> keras.Model:
        """The network with all candidate exits."""

    @abstractmethod
    def costs(self, values: Values) -> ExitCosts:
        """What the exits of `full_network` cost."""

    @abstractmethod
    def describe(self, values: Values) -> str:
        """A network in a few words."""

    def canonical(self, values: Values) -> Values:
        """The values that stand for all that build the same network."""
        return dict(values)

    def smallest(self) -> Iterable[Values]:
        """The cheapest networks of the space, if they are known."""
        return ()

    @abstractmethod
    def largest_macs(self) -> float:
        """What one sample may cost on the largest networks of the space."""

    def ends(self, costs: ExitCosts) -> Sequence[int]:
        """Exits of which one at least has to keep the bounds."""
        return range(len(costs))

    def to_train(self, net: keras.Model) -> keras.Model:
        """What to train of a network, sharing its layers."""
        return net

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The network with all candidate exits that can keep the bounds.

        Raises:
            UserError: not one of them can.
        """
        self.declare_hyperparameters(hp)
        return self.network(hp.values)

    def network(self, values: Values) -> keras.Model:
        """As `build`, from plain values."""
        costs = self.costs(values)
        fit = self._fitting(costs)
        if not fit:
            raise UserError(f"no exit of {self.describe(values)} keeps {self.bounds}")
        return keep_exits(self.full_network(values), [costs.exits[index] for index in fit])

    def rejected(self, values: Values) -> bool:
        """Whether no policy on this network can keep the bounds, known without training."""
        return not self._fitting(self.costs(values))

    def doubt(self, check: Check) -> str:
        """What to tell before a search of networks that may not be converted; empty if nothing.

        Args:
            check: refuses those.
        """
        return ""

    def never_met(self) -> str:
        """What to tell of bounds that none of the proposed networks keeps."""
        hp = keras_tuner.HyperParameters()
        self.declare_hyperparameters(hp)
        few = list(self.smallest())
        which = "the smallest ones need" if few else "the first one needs"
        return (
            f"no network that was proposed keeps {self.bounds}; {which} "
            f"{self._least(few or [hp.values])}; loosen the bounds, with another --output or "
            f"--overwrite"
        )

    def check_bounds(self) -> None:
        """Refuse bounds that nothing in the space can meet.

        Raises:
            UserError: says what the smallest networks need.
        """
        smallest = list(self.smallest())
        if smallest and all(map(self.rejected, smallest)):
            raise UserError(
                f"nothing in the search space keeps {self.bounds}: whole networks for inputs "
                f"of {' x '.join(map(str, self.input_shape))} need {self._least(smallest)}"
            )
        low, high = self.reference_macs()
        if high <= low:
            raise UserError(
                f"nothing in the search space keeps {self.bounds}: reading the {low:,.0f} values "
                f"of an input takes more"
            )

    def reference_macs(self) -> tuple[float, float]:
        """From where to where hypervolumes count: one MAC an input value, and the largest bound.

        Without a bound, the costliest network of the space.
        """
        height, width, channels = self.input_shape
        bound = self.bounds.max_mean_macs or self.bounds.max_macs or self.largest_macs()
        return float(height * width * channels), float(bound)

    def _fitting(self, costs: ExitCosts) -> list[int]:
        """The exits that some policy within the bounds can use; none if there is no such policy.

        Alone, an exit is the cheapest policy that ends with it. On average a policy costs at
        least its first exit alone, so that one exit must be within the mean too, but the others
        need not be.
        """
        bounds = self.bounds
        fit = [index for index in range(len(costs)) if costs.keep([index], bounds)]
        cheapest = min((costs.alone_macs(index) for index in fit), default=0)
        return fit if bounds.max_mean_macs is None or cheapest <= bounds.max_mean_macs else []

    def _least(self, networks: Iterable[Values]) -> str:
        """The least that networks need, of each kind."""
        described = [self.costs(values) for values in networks]
        alone = [(costs, index) for costs in described for index in self.ends(costs)]
        macs = min(costs.alone_macs(index) for costs, index in alone)
        params = min(costs.params([index]) for costs, index in alone)
        flash = min(costs.flash_bytes([index]) or 0 for costs, index in alone)
        arena = min(costs.arena_bytes([index]) or 0 for costs, index in alone)
        return (
            f"at least {macs:,} MACs, {params:,} parameters, {flash:,} bytes of flash and "
            f"{arena:,} bytes of arena"
        )
