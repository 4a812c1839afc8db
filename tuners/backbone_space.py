"""The search space around a backbone that the user brings: its exits and their heads."""

import keras_tuner

from eexit_tf.blueprints import Unit
from eexit_tf.bounds import Bounds
from eexit_tf.costs import ExitCosts
from eexit_tf.errors import UserError
from eexit_tf.exits import attach_exits, freeze_backbone
from eexit_tf.heads import head
from eexit_tf.keras import keras
from eexit_tf.network_costs import described_costs, layer_units
from eexit_tf.own_models import OwnModel
from eexit_tf.softmaxes import has_softmax
from eexit_tf.taps import clean_taps
from eexit_tf.tuners import head_choices
from eexit_tf.tuners.candidates import CandidateSpace, Values
from eexit_tf.tuners.networks import Part
from eexit_tf.tuners.own_space import FINE_TUNING_RATE, Key, OwnSpace
from eexit_tf.vocabulary import NAME_SEPARATOR, Exit


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
        if not self._own_choices:  # one backbone for all
            self.candidates = CandidateSpace.candidates
        self._backbones: dict[Key, tuple[list[Unit], dict[Exit, Unit]]] = {}
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
        taps = clean_taps(model)
        if not taps:
            raise UserError(
                f"{self._model.spec} has no place for an early exit: no feature map behind a "
                f"ReLU or an addition that everything after it goes through"
            )
        for name in [*taps, *(model.output_names if classifies else ())]:
            if NAME_SEPARATOR in name:
                raise UserError(
                    f"layer {name!r} of {self._model.spec} cannot have an exit: {NAME_SEPARATOR!r} "
                    f"stands between the layer and the head in an exit's name; rename the layer"
                )
        return model

    def canonical(self, values: Values) -> Values:
        return head_choices.canonical(super().canonical(values))

    def describe(self, values: Values) -> str:
        active = self.active(values)
        names = [choice.name for choice in self._own_choices if choice.name in active]
        own = [f"{name} {values[name]}" for name in names]
        return ", ".join([*own, head_choices.kinds(values)[-1]])

    def full_network(self, values: Values) -> keras.Model:
        backbone = self._made(values)
        kinds = head_choices.kinds(values)
        exits = [Exit(tap, kind) for tap in clean_taps(backbone) for kind in kinds]
        return attach_exits(backbone, exits, classes=self.classes)

    def costs(self, values: Values) -> ExitCosts:
        """Without building heads: of one backbone there are many with other heads."""
        key = self._key(values)
        if key not in self._backbones:
            self._backbones[key] = _described(self._made(values))
        taps, own = self._backbones[key]
        exits = {
            (exit_ := Exit(tap.name, kind)): head(tap, kind, self.classes, exit_.name)
            for tap in taps
            for kind in head_choices.kinds(values)
        }
        return described_costs(exits | own)

    def to_train(self, net: keras.Model) -> keras.Model:
        return freeze_backbone(net) if self._train == "heads" else net


def _described(backbone: keras.Model) -> tuple[list[Unit], dict[Exit, Unit]]:
    """A backbone's taps, and its own classifier if it has one."""
    units = layer_units(backbone)
    own = {
        Exit.parse(name): units[output.node.layer.name]
        for name, output in zip(backbone.output_names, backbone.outputs, strict=True)
        if len(output.shape) == 2
    }
    return [units[tap] for tap in clean_taps(backbone)], own
