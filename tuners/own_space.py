"""Search spaces around what the user brings: a backbone, or a whole `HyperModel`."""

from abc import abstractmethod
from typing import Any

import keras_tuner

from eexit_tf.blueprints import Unit
from eexit_tf.costs import ExitCosts
from eexit_tf.errors import UserError
from eexit_tf.exits import attach_exits, freeze_backbone, keep_exits
from eexit_tf.heads import head
from eexit_tf.keras import keras
from eexit_tf.network_costs import (
    ancestors,
    described_costs,
    exit_costs,
    has_softmax,
    layer_macs,
    layer_params,
)
from eexit_tf.own_models import OwnModel, functional, restart_names
from eexit_tf.policy_search.bits import MOST_EXITS
from eexit_tf.sources import import_function, parameters
from eexit_tf.taps import clean_taps
from eexit_tf.tuners import head_choices
from eexit_tf.tuners.candidates import CandidateSpace, Values
from eexit_tf.tuners.networks import Part
from eexit_tf.vocabulary import Bounds, Exit

FINE_TUNING_RATE = 1e-3
"""Of a ready model that is trained on: an eighth of what new weights are trained with."""
CANDIDATES_BUILT = 30
"""To build a network takes far longer than to describe one."""


class OwnSpace(CandidateSpace):
    """A space whose networks the user's code makes; a network is built to know what it costs."""

    candidates = CANDIDATES_BUILT

    def __init__(self, input_shape: tuple[int, int, int], classes: int, bounds: Bounds) -> None:
        super().__init__(input_shape, classes, bounds)
        self._hyperparameters = keras_tuner.HyperParameters()
        self._costs: dict[tuple[Any, ...], ExitCosts] = {}

    @abstractmethod
    def _make(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The user's model, which may declare hyperparameters."""

    def discover(self) -> None:
        """Run the user's code, to see its hyperparameters.

        Once with their defaults, and then with their last values for as long as that shows more:
        some are declared only when others are large.

        Raises:
            UserError: some that are not choices.
        """
        hp, seen = self._hyperparameters, -1
        while seen < len(hp.space):
            seen = len(hp.space)
            self._make(hp)
            for parameter in hp.space:
                if not isinstance(parameter, keras_tuner.engine.hyperparameters.Choice):
                    raise UserError(
                        f"hyperparameter {parameter.name!r} is a {type(parameter).__name__}; the "
                        f"search takes choices alone: hp.Choice({parameter.name!r}, [...])"
                    )
            hp.values = {parameter.name: parameter.values[-1] for parameter in hp.space}
        hp.values = {parameter.name: parameter.default for parameter in hp.space}

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        hp.merge(self._hyperparameters, overwrite=False)

    def costs(self, values: Values) -> ExitCosts:
        key = tuple(sorted(self.canonical(values).items()))
        if key not in self._costs:
            self._costs[key] = exit_costs(self.full_network(values))
        return self._costs[key]

    def largest_macs(self) -> float:
        """From the default network on, each choice in turn is set to what costs most."""
        values = {choice.name: choice.default for choice in self._hyperparameters.space}
        for choice in self._hyperparameters.space:
            others = [values | {choice.name: value} for value in choice.values]
            values = max(others, key=self._dearest)
        return self._dearest(values)

    def _dearest(self, values: Values) -> int:
        costs = self.costs(values)
        return max(costs.alone_macs(index) for index in range(len(costs)))

    def doubt(self) -> str:
        """That TFMOT cannot quantise the default network, if so."""
        from eexit_tf.tflite.quantization import quantizable

        try:
            quantizable(self._made(self._hyperparameters.values))
        except UserError as error:
            return f"{error}. To convert what is found, give --quantize ptq"
        return ""

    def _made(self, values: Values) -> keras.Model:
        """As `_make`, from plain values.

        Raises:
            UserError: a hyperparameter turns up that `discover` did not see.
        """
        hp = self._hyperparameters.copy()
        hp.values = dict(values)
        model = self._make(hp)
        known = {parameter.name for parameter in self._hyperparameters.space}
        if late := [parameter.name for parameter in hp.space if parameter.name not in known]:
            raise UserError(
                f"hyperparameter {late[0]!r} is there for some values of others only, such as "
                f"{values}; declare all of them whatever the values are"
            )
        return model


class BackboneSpace(OwnSpace):
    """The user's own backbone, with heads at its clean taps.

    Args:
        model: what the user brought.
        train: the heads on a frozen backbone, or everything.
        input_shape, classes, bounds: see `CandidateSpace`.

    Raises:
        UserError: the model does not fit the data, or has nowhere to attach exits.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        classes: int,
        bounds: Bounds,
        *,
        model: OwnModel,
        train: Part,
    ) -> None:
        super().__init__(input_shape, classes, bounds)
        self._model = model
        self._train = train
        if train == "all" and not model.tunable:
            self.learning_rate = FINE_TUNING_RATE
        self.discover()
        self._own_choices = list(self._hyperparameters.space)
        if not self._own_choices:  # one backbone for all
            self.candidates = CandidateSpace.candidates
        self._backbones: dict[tuple[Any, ...], tuple[list[Unit], Unit | None]] = {}
        for choice in self._own_choices:
            if choice.name in head_choices.NAMES:
                raise UserError(
                    f"hyperparameter {choice.name!r} of {model.spec} is the search's own; give it "
                    f"another name"
                )
        head_choices.declare(self._hyperparameters)

    def _make(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = self._model.make(hp) if self._model.tunable else self._model.make()
        takes = tuple(model.input_shape[1:])
        if takes != self.input_shape:
            raise UserError(
                f"{self._model.spec} takes inputs of {takes}, but the data's are {self.input_shape}"
            )
        if len(model.outputs) != 1:
            raise UserError(f"{self._model.spec} has {len(model.outputs)} outputs; expected one")
        classifies = len(model.output_shape) == 2
        if classifies and not has_softmax(model.layers[-1]):
            raise UserError(
                f"{self._model.spec} ends in {model.layers[-1].name!r}, which gives "
                f"{model.output_shape} without a softmax; end it with a softmax over the classes "
                f"or with a feature map"
            )
        if classifies and model.output_shape[1] != self.classes:
            raise UserError(
                f"{self._model.spec} knows {model.output_shape[1]} classes, but the data has "
                f"{self.classes}"
            )
        if not clean_taps(model):
            raise UserError(
                f"{self._model.spec} has no place for an early exit: no feature map behind a "
                f"ReLU or an addition that everything after it goes through"
            )
        return model

    def canonical(self, values: Values) -> Values:
        return head_choices.canonical(values)

    def describe(self, values: Values) -> str:
        own = [f"{choice.name} {values[choice.name]}" for choice in self._own_choices]
        return ", ".join([*own, head_choices.kinds(values)[-1]])

    def full_network(self, values: Values) -> keras.Model:
        backbone = self._made(values)
        kinds = head_choices.kinds(values)
        exits = [Exit(tap, kind) for tap in clean_taps(backbone) for kind in kinds]
        return attach_exits(backbone, exits, classes=self.classes)

    def costs(self, values: Values) -> ExitCosts:
        """Without building heads: of one backbone there are many with other heads."""
        chosen = {p.name: values[p.name] for p in self._own_choices}
        key = tuple(sorted(chosen.items()))
        if key not in self._backbones:
            self._backbones[key] = _described(self._made(values))
        taps, own = self._backbones[key]
        exits = {
            (exit_ := Exit(tap.name, kind)): head(tap, kind, self.classes, exit_.name)
            for tap in taps
            for kind in head_choices.kinds(values)
        }
        return described_costs(exits if own is None else exits | {Exit.parse(own.name): own})

    def to_train(self, net: keras.Model) -> keras.Model:
        return freeze_backbone(net) if self._train == "heads" else net


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
        taken = parameters(function, spec)
        if any(p.default is p.empty and p.kind < p.VAR_POSITIONAL for p in taken):
            raise UserError(
                f"{spec} needs arguments; expected a class or function without any that returns a "
                f"keras_tuner.HyperModel (a function of hp is a --backbone)"
            )
        made = function()
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
        net = functional(self._hypermodel.build(hp), self._spec)
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
        for output in net.outputs:
            if not has_softmax(output.node.layer):
                raise UserError(
                    f"{self._spec} built a network whose output {output.node.layer.name!r} is not "
                    f"that of a softmax; each exit must end in one"
                )
        return net

    def describe(self, values: Values) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.canonical(values).items())

    def full_network(self, values: Values) -> keras.Model:
        net = self._made(values)
        return keep_exits(net, exit_costs(net).exits)


def _described(backbone: keras.Model) -> tuple[list[Unit], Unit | None]:
    """A backbone's taps and its own classifier, each a unit that costs what lies before it."""
    loads = {layer.name: (layer_macs(layer), layer_params(layer)) for layer in backbone.layers}
    units: list[Unit] = []
    known: set[str] = set()
    layers = [backbone.get_layer(tap) for tap in clean_taps(backbone)]
    for name, tensor in [(layer.name, layer.output) for layer in layers] + [
        (name, output)
        for name, output in zip(backbone.output_names, backbone.outputs, strict=True)
        if len(output.shape) == 2
    ]:
        new = ancestors(tensor) - known
        known |= new
        height, width, channels = (1, 1, *tensor.shape[1:])[-3:]
        macs, params = (sum(loads[layer][i] for layer in new) for i in (0, 1))
        before = tuple(units[-1:])
        units.append(Unit("layers", name, before, (height, width, channels), macs, params))
    return units[: len(layers)], next(iter(units[len(layers) :]), None)
