"""Backbones that the user brings: a file of Keras's, or a function of theirs."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eexit_tf.errors import UserError
from eexit_tf.foreign_keras import is_keras3
from eexit_tf.keras import keras
from eexit_tf.keras3 import from_keras3
from eexit_tf.network_costs import readers
from eexit_tf.own_functions import call, import_function, is_function, parameters
from eexit_tf.precision import check_float32

FILES = (".h5", ".hdf5", ".keras")
LINEAR = ("ZeroPadding2D", "AveragePooling2D", "MaxPooling2D", "Flatten", "Reshape")
"""Layers without weights that may stand before the first one with weights."""


@dataclass(frozen=True)
class OwnModel:
    """A model that the user brought.

    Attributes:
        spec: as the user typed it.
        sha256: of the file; empty of a function.
        make: builds it anew, from hyperparameters if `tunable`.
        tunable: whether it takes hyperparameters.
    """

    spec: str
    sha256: str
    make: Callable[..., keras.Model]
    tunable: bool


def load_own_model(spec: str, input_scale: float = 1.0) -> OwnModel:
    """A model from its file, or from a function.

    Args:
        spec: the path of a Keras file (`.h5`, or `.keras` of `tf_keras` or Keras 3), or
            `module:function`. The function takes KerasTuner's `hp` and returns a backbone, or
            takes nothing and returns a ready model, of `tf_keras` or Keras 3. What has a default
            keeps it, unless it is called `hp`.
        input_scale: how many times larger than the data set's the inputs are that the model
            was made for; 255 if it takes raw bytes as floats. See `scale_input`.

    Raises:
        UserError: there is no such model, or not one that can be used.
    """

    def usable(model: Any) -> keras.Model:
        model = functional(model, spec)
        if input_scale != 1:
            scale_input(model, input_scale)
        return model

    if spec.endswith(FILES):
        path = Path(spec).resolve()
        if not path.is_file():
            raise UserError(f"no such model file: {spec}")
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        return OwnModel(spec, sha256, lambda: usable(_load_file(path)), tunable=False)
    if not is_function(spec):
        raise UserError(
            f"unknown backbone {spec!r}: expected a Keras file ({', '.join(FILES)}) or "
            f"module:function"
        )
    function = import_function(f"backbone {spec}", spec)
    takes = parameters(function, spec)
    needed = [p for p in takes if p.default is p.empty]
    if len(needed) > 1:
        raise UserError(f"{spec} takes {', '.join(p.name for p in takes)}; expected hp or nothing")

    wanted = needed or [p for p in takes if p.name == "hp"]
    by_name = [p.name for p in wanted if p.kind == p.KEYWORD_ONLY or not needed]

    def make(hp: Any = None) -> keras.Model:
        restart_names()
        given = [] if hp is None or by_name else [hp]
        named = dict.fromkeys(by_name, hp)
        made = functional(call(f"backbone {spec}", function, *given, **named), spec)
        return usable(copy_of(made))  # the user may give the same model each time

    return OwnModel(spec, "", make, tunable=bool(wanted))


def restart_names() -> None:
    """Let layers that the user does not name get the same names whenever they are made anew.

    Exits are named after layers, in files that other processes read.
    """
    from keras.src.utils.naming import reset_uids  # Keras 3's, which it does not export

    reset_uids()
    keras.backend.reset_uids()


def copy_of(model: keras.Model) -> keras.Model:
    """The same layers and weights once more."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def functional(model: Any, spec: str) -> keras.Model:
    """A `tf_keras` functional model of what the user's code or file gave.

    Raises:
        UserError: it cannot be made one; `spec` says where it came from.
    """
    if is_keras3(model, "models"):
        return from_keras3(model)
    if not isinstance(model, keras.Model):
        raise UserError(
            f"{spec} gave a {type(model).__name__}; expected a functional model of tf_keras or "
            f"Keras 3"
        )
    if isinstance(model, keras.Sequential):
        if not model.inputs:
            raise UserError(f"{model.name} has not been built: its first layer must be an Input")
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    if not getattr(model, "_is_graph_network", False) or len(model.inputs) != 1:
        raise UserError(f"{model.name} from {spec} is not a functional model with one input")
    if isinstance(model.input, dict):
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    check_float32(model, f"{model.name} from {spec}")
    for weights in model.weights:
        if not np.isfinite(weights.numpy()).all():
            raise UserError(f"{model.name} from {spec}: the weights {weights.name} are not finite")
    return model


def scale_input(model: keras.Model, factor: float) -> None:
    """Let a model take inputs that are smaller by this factor, in place.

    A batch normalisation behind the first weights makes up for the factor, so that they keep their
    size: multiplied by 255 they would hardly learn any more, and a regulariser of theirs would
    outweigh the loss. Where there is none, the weights are multiplied.

    Raises:
        UserError: its first weights are not those of a convolution or a dense layer.
    """
    waiting = [node.layer for node in model.layers[0].outbound_nodes]
    while waiting:
        layer = waiting.pop()
        kind = type(layer).__name__
        if kind in ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense"):
            if norm := _only_normalisation(model, layer):
                _scale_output(layer, norm, 1 / factor)
            else:
                first, *others = layer.get_weights()
                layer.set_weights([first * factor, *others])
        elif kind in LINEAR:
            waiting += [node.layer for node in layer.outbound_nodes]
        else:
            raise UserError(
                f"the input of {model.name} cannot be scaled: it goes into {layer.name!r}, a "
                f"{kind}, where a convolution or a dense layer was expected"
            )


def _only_normalisation(model: keras.Model, layer: keras.layers.Layer) -> Any | None:
    """The batch normalisation that alone reads what the layer gives, if that can be scaled."""
    if getattr(layer.activation, "__name__", "") not in ("linear", "relu"):
        return None
    behind = readers(model, layer)
    behind += [layer for output in model.outputs if output.node.layer is layer]
    if len(behind) != 1 or not isinstance(behind[0], keras.layers.BatchNormalization):
        return None
    return behind[0] if behind[0].scale and behind[0].center else None


def _scale_output(
    layer: keras.layers.Layer, norm: keras.layers.BatchNormalization, factor: float
) -> None:
    """What a layer gives is this many times as much; what its normalisation gives is the same."""
    if layer.use_bias:
        *weights, bias = layer.get_weights()
        layer.set_weights([*weights, bias * factor])
    gamma, beta, mean, variance = norm.get_weights()
    scaled = variance * factor**2
    gamma = gamma * np.sqrt((scaled + norm.epsilon) / (scaled + norm.epsilon * factor**2))
    norm.set_weights([gamma, beta, mean * factor, scaled])


def _load_file(path: Path) -> Any:
    """A model of `tf_keras` or Keras 3, whichever wrote the file."""
    try:
        if _keras_version(path).startswith("3"):
            from keras.models import load_model  # Keras 3

            return load_model(path, compile=False)
        return keras.models.load_model(path, compile=False)
    # Keras's readers fail on a damaged or foreign file in any way that HDF5, zip and JSON have.
    except Exception as error:
        raise UserError(f"{path} cannot be loaded as a Keras model: {error}") from error


def _keras_version(path: Path) -> str:
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            return str(json.loads(archive.read("metadata.json"))["keras_version"])
    import h5py

    with h5py.File(path) as file:
        return str(file.attrs.get("keras_version", "2"))
