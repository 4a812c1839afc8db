"""Keras 3 functional models as `tf_keras` ones, the only ones that TFMOT takes."""

import inspect
import re
from typing import Any

import numpy as np

from eexit_tf.errors import UserError
from eexit_tf.keras import keras

SCOPE = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")
"""Names that TensorFlow takes for what a layer does."""
TOLERANCE = 1e-3
"""By how much outputs may differ after the conversion, relative to the largest."""
KEPT = ("name", "trainable")
"""Of a layer's configuration, what each takes without its signature saying so."""


def from_keras3(model: Any) -> keras.Model:
    """Rebuild a Keras 3 functional (or sequential) model layer by layer, with its weights.

    Raises:
        UserError: a layer has no counterpart, or the rebuilt model computes something else.
    """
    if type(model).__name__ == "Sequential":
        from keras import Model  # Keras 3, which made it

        if not model.built:
            raise UserError(f"{model.name} has not been built: its first layer must be an Input")
        model = Model(model.inputs[0], model.outputs[0], name=model.name)
    if type(model).__name__ != "Functional" or len(model.inputs) != 1:
        raise UserError(
            f"{model.name} is a {type(model).__name__} of Keras 3; expected a functional model "
            f"with one input"
        )
    operations = {operation.name: operation for operation in model.operations}
    tensors: dict[tuple[str, int], Any] = {}
    for described in model.get_config()["layers"]:
        original = operations[described["name"]]
        if type(original).__name__ == "InputLayer":
            shape = tuple(original.output.shape[1:])
            tensors[original.name, 0] = keras.Input(shape, name=original.name)
            continue
        layer = _counterpart(original)
        for number, call in enumerate(described["inbound_nodes"]):
            given = _with_tensors(call["args"], tensors)
            tensors[original.name, number] = layer(*given)
        layer.set_weights(original.get_weights())
    outputs = [
        tensors[operation.name, index]
        for operation, index, _ in (tensor._keras_history for tensor in model.outputs)
    ]
    (source,) = (tensor._keras_history[0].name for tensor in model.inputs)
    rebuilt = keras.Model(tensors[source, 0], outputs, name=model.name)
    _check_same(model, rebuilt)
    return rebuilt


def _counterpart(original: Any) -> Any:
    kind = type(original).__name__
    if not SCOPE.fullmatch(original.name):
        raise UserError(
            f"layer {original.name!r} cannot be converted from Keras 3: TensorFlow takes names of "
            f"letters, digits and ._/>- alone"
        )
    made = getattr(keras.layers, kind, None)
    if made is None or not type(original).__module__.startswith("keras.src.layers"):
        raise UserError(f"layer {original.name!r} is a {kind}, which tf_keras does not have")
    taken = inspect.signature(made.__init__).parameters
    config = {
        key: value
        for key, value in original.get_config().items()
        if (key in taken or key in KEPT)
        and key != "dtype"  # which Keras 3 describes in its own way
        and not key.endswith(("_initializer", "_regularizer", "_constraint"))
    }
    regularizers = {
        key: _regularizer(value)
        for key, value in original.get_config().items()
        if key in taken and key.endswith("_regularizer") and value
    }
    try:
        return made(**config, **regularizers)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"layer {original.name!r}, a {kind}, cannot be converted from Keras 3: {error}"
        ) from error


def _regularizer(described: dict[str, Any]) -> Any | None:
    """One of Keras's own; of another kind none, as a layer computes the same without it."""
    kind = getattr(keras.regularizers, described["class_name"], None)
    return kind(**described["config"]) if kind else None


def _with_tensors(value: Any, tensors: dict[tuple[str, int], Any]) -> Any:
    """A call's arguments with tensors in the place of their descriptions."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        name, number, _ = value["config"]["keras_history"]
        return tensors[name, number]
    if isinstance(value, list | tuple):
        return [_with_tensors(entry, tensors) for entry in value]
    return value


def _check_same(model: Any, rebuilt: keras.Model) -> None:
    shape = [side or 16 for side in rebuilt.input_shape[1:]]
    x = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    pairs = zip(*(_as_arrays(net(x, training=False)) for net in (model, rebuilt)), strict=True)
    for expected, found in pairs:
        if not np.allclose(found, expected, atol=TOLERANCE * max(1e-6, np.abs(expected).max())):
            raise UserError(
                f"{model.name} computes something else after its conversion from Keras 3"
            )


def _as_arrays(outputs: Any) -> list[Any]:
    """In the order of the model's `outputs`, be they one, several, or named."""
    from keras import tree  # Keras 3, which made the model

    return [np.asarray(output) for output in tree.flatten(outputs)]
