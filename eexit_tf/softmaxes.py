"""Whether a Keras network's outputs are softmaxes.

Layers are known by their class's name, so that this needs no TensorFlow to be imported.
"""

from typing import Any

from eexit_tf.errors import UserError

SCORES = ("Dense", "Activation")
"""Layers that classifiers end in."""
NO_SOFTMAX = ("linear", "relu", "sigmoid", "tanh")
"""Keras's activations that are seen behind classifiers and make no probabilities of classes."""


def has_softmax(layer: Any) -> bool:
    """Whether a Keras layer ends in a softmax."""
    return type(layer).__name__ == "Softmax" or activation_name(layer) == "softmax"


def check_softmax(net: Any) -> None:
    """Refuse a network with an output that is seen to be no softmax.

    What a nested network, a layer of someone's own or an activation of theirs gives is not seen.

    Raises:
        UserError: says which output.
    """
    for name, output in zip(net.output_names, net.outputs, strict=True):
        node = output.node
        while passes_on(node.layer):
            node = node.parent_nodes[0]
        activation = activation_name(node.layer)
        if type(node.layer).__name__ in SCORES and activation in NO_SOFTMAX:
            raise UserError(
                f"output {name!r} of {net.name} ends in {node.layer.name!r} without a softmax "
                f"(its activation is {activation}), where each exit must give a softmax over the "
                f"classes; end it with one"
            )


def passes_on(layer: Any) -> bool:
    """Whether a layer gives what it takes, as those do that name an output or set its type."""
    return type(layer).__name__ == "Activation" and activation_name(layer) == "linear"


def activation_name(layer: Any) -> str:
    """Of a Keras layer; empty if it has none."""
    return getattr(getattr(layer, "activation", None), "__name__", "")
