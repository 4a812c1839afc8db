"""Search spaces that the user's code makes: what all have in common, and a whole `HyperModel`."""

import contextlib
from abc import abstractmethod
from typing import Any

import keras_tuner
from keras_tuner.engine.hyperparameters import Choice, HyperParameter

from eexit_tf.bounds import Bounds
from eexit_tf.costs import ExitCosts
from eexit_tf.errors import UserError
from eexit_tf.exits import keep_exits
from eexit_tf.keras import keras
from eexit_tf.network_costs import exit_costs
from eexit_tf.own_functions import call, import_function, parameters
from eexit_tf.own_models import copy_of, functional, restart_names
from eexit_tf.policy_search.bits import MOST_EXITS
from eexit_tf.softmaxes import has_softmax
from eexit_tf.tuners import own_choices
from eexit_tf.tuners.candidates import CandidateSpace, Check, Values
from eexit_tf.tuners.failures import InfeasibleError, infeasible_networks

FINE_TUNING_RATE = 1e-3
"""Of a ready model that is trained on: an eighth of what new weights are trained with."""
CANDIDATES_BUILT = 30
"""To build a network takes far longer than to describe one."""
BEYOND = 1.1
"""How many times what the costliest network costs a cost may be that counts."""
Key = tuple[tuple[str, Any], ...]
"""Names and values of hyperparameters."""


class OwnSpace(CandidateSpace):
    """A space whose networks the user's code makes; a network is built to know what it costs."""

    candidates = CANDIDATES_BUILT

    def __init__(self, input_shape: tuple[int, int, int], classes: int, bounds: Bounds) -> None:
        super().__init__(input_shape, classes, bounds)
        self._hyperparameters = keras_tuner.HyperParameters()
        self._own_choices: list[HyperParameter] = []
        self._costs: dict[Key, ExitCosts] = {}
        self._infeasible: dict[Key, str] = {}

    @abstractmethod
    def _make(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The user's model, which may declare hyperparameters."""

    def _run(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """As `_make`.

        Raises:
            InfeasibleError: the model cannot be built.
        """
        with infeasible_networks():
            return self._make(hp)

    def discover(self) -> None:
        """Run the user's code, to see its hyperparameters.

        Once with their defaults, and then with their last values for as long as that shows more:
        some are declared only when others are large. Then with each value that a scope may ask
        for, as KerasTuner's examples declare only what the open scope needs. None of these networks
        has to be feasible.

        Raises:
            UserError: some that the search cannot take.
        """
        hp, seen = self._hyperparameters, -1
        while seen < len(hp.space):
            seen = len(hp.space)
            self._look()
            last = {choice.name: choice.values[-1] for choice in self._choices()}
            hp.values = self.active(last)
        asked = {condition.name for parameter in hp.space for condition in parameter.conditions}
        for choice in self._choices():
            for value in choice.values if choice.name in asked else ():
                hp.values = self.active(self._defaults() | {choice.name: value})
                self._look()
        hp.values = self._defaults()
        self._own_choices = list(hp.space)

    def _look(self) -> None:
        with contextlib.suppress(InfeasibleError):
            self._run(self._hyperparameters)
        own_choices.checked(self._hyperparameters.space)

    def _defaults(self) -> Values:
        return {choice.name: choice.default for choice in self._choices()}

    def _choices(self) -> list[Choice]:
        return own_choices.choices(self._hyperparameters.space)

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        hp.merge(self._choices(), overwrite=False)

    def canonical(self, values: Values) -> Values:
        """What is in a closed `conditional_scope` is set to its default."""
        return self._defaults() | self.active(values)

    def active(self, values: Values) -> Values:
        """The values without those in closed scopes."""
        return own_choices.active(self._hyperparameters.space, values)

    def costs(self, values: Values) -> ExitCosts:
        key = self._key(values)
        if key not in self._costs:
            self._costs[key] = exit_costs(self.full_network(values))
        return self._costs[key]

    def largest_macs(self) -> float:
        """From the default network on, each choice in turn is set to what costs most.

        A little more than that, as what costs the most would otherwise count nothing.

        Raises:
            UserError: none of these can be built.
        """
        values = self._defaults()
        for choice in self._choices():
            others = [values | {choice.name: value} for value in choice.values]
            values = max(others, key=self._dearest)
        try:
            self.costs(values)
        except InfeasibleError as error:
            raise UserError(f"no network can be built: {self.describe(values)}: {error}") from error
        return BEYOND * self._dearest(values)

    def _dearest(self, values: Values) -> int:
        """What a sample costs that goes through all exits."""
        try:
            costs = self.costs(values)
        except InfeasibleError:
            return 0
        return costs.leave_macs(range(len(costs)))[-1]

    def rejected(self, values: Values) -> bool:
        """Also what cannot be built."""
        try:
            return super().rejected(values)
        except InfeasibleError:
            return True

    def never_met(self) -> str:
        try:
            return super().never_met()
        except InfeasibleError as error:
            return (
                f"no network that was proposed can be built and keeps {self.bounds}; the first "
                f"one: {error}"
            )

    def doubt(self, check: Check) -> str:
        """That the default network cannot, if so."""
        try:
            check(self._made(self._hyperparameters.values))
        except InfeasibleError:
            return ""  # others may be feasible
        except UserError as error:
            return f"{error}. To convert what is found, give --quantize ptq"
        return ""

    def _made(self, values: Values) -> keras.Model:
        """As `_make`, from plain values.

        Raises:
            InfeasibleError: the model cannot be built; not tried again, as TensorFlow waits for
                seconds before it says that there is no memory.
            UserError: a hyperparameter turns up that `discover` did not see.
        """
        key = self._key(values)
        if key in self._infeasible:
            raise InfeasibleError(self._infeasible[key])
        hp = self._hyperparameters.copy()
        hp.values = self.active(values)
        try:
            model = self._run(hp)
        except InfeasibleError as error:
            self._infeasible[key] = str(error)
            raise
        if late := hp.space[len(self._hyperparameters.space) :]:
            raise UserError(
                f"hyperparameter {late[0].name!r} is there for some values of others only, such as "
                f"{values}; declare all of them whatever the values are"
            )
        return model

    def _key(self, values: Values) -> Key:
        """What tells models of the user's code apart."""
        canonical = self.canonical(values)
        return tuple((choice.name, canonical[choice.name]) for choice in self._own_choices)


class HyperModelSpace(OwnSpace):
    """The user's own `HyperModel`, whose networks have one softmax output an exit.

    An attribute `learning_rate` of it is the highest of the trainings: networks that come with
    trained weights want less than new ones.

    Args:
        spec: `module:function`, which returns it.
        input_shape, classes, bounds: see `CandidateSpace`.

    Raises:
        UserError: no such function, or not such networks.
    """

    def __init__(
        self, input_shape: tuple[int, int, int], classes: int, bounds: Bounds, *, spec: str
    ) -> None:
        super().__init__(input_shape, classes, bounds)
        self._spec = spec
        function = import_function(f"space {spec}", spec)
        if any(p.default is p.empty for p in parameters(function, spec)):
            raise UserError(
                f"{spec} needs arguments; expected a class or function without any that returns a "
                f"keras_tuner.HyperModel (a function of hp is a --backbone)"
            )
        made = call(f"space {spec}", function)
        if not isinstance(made, keras_tuner.HyperModel):
            raise UserError(
                f"{spec} returned a {type(made).__name__}; expected a keras_tuner.HyperModel"
            )
        rate = getattr(made, "learning_rate", self.learning_rate)
        if not isinstance(rate, float) or not rate > 0:
            raise UserError(
                f"the learning_rate of {spec} is {rate!r}; expected a float above 0, such as "
                f"{FINE_TUNING_RATE}"
            )
        self.learning_rate = rate
        self._hypermodel = made
        self.discover()

    def _make(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        restart_names()
        net = functional(call(f"space {self._spec}", self._hypermodel.build, hp), self._spec)
        expected = (None, self.classes)
        if tuple(net.input_shape[1:]) != self.input_shape or any(
            tuple(output.shape) != expected for output in net.outputs
        ):
            shapes = [tuple(output.shape) for output in net.outputs]
            raise UserError(
                f"{self._spec} built a network from {net.input_shape} to {shapes}; expected one "
                f"from {(None, *self.input_shape)} with outputs of {expected}, one for each exit"
            )
        if len(net.outputs) > MOST_EXITS:
            raise UserError(
                f"{self._spec} built a network with {len(net.outputs)} exits; expected "
                f"{MOST_EXITS} at most"
            )
        if len({id(output) for output in net.outputs}) < len(net.outputs):
            raise UserError(f"{self._spec} built a network that gives one output twice")
        for output in net.outputs:
            if not has_softmax(output.node.layer):
                raise UserError(
                    f"{self._spec} built a network whose output {output.node.layer.name!r} is not "
                    f"that of a softmax; each exit must end in one"
                )
        return net

    def describe(self, values: Values) -> str:
        said = ", ".join(f"{name} {value}" for name, value in self.active(values).items())
        return said or "the only network"

    def full_network(self, values: Values) -> keras.Model:
        net = self._made(values)
        return keep_exits(net, exit_costs(net).exits)

    def network(self, values: Values) -> keras.Model:
        return copy_of(super().network(values))  # the user may give the same model each time
