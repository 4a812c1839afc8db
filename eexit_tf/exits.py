"""Attaching exits to a backbone, and cutting a network down to some of its exits."""

from collections.abc import Sequence
from typing import Any

from eexit_tf.blueprints import image
from eexit_tf.building import extend
from eexit_tf.errors import UserError
from eexit_tf.heads import check_head, head
from eexit_tf.keras import keras
from eexit_tf.network_costs import exit_costs, has_softmax
from eexit_tf.vocabulary import Exit


def attach_exits(
    backbone: keras.Model, exits: Sequence[Exit], *, classes: int | None = None
) -> keras.Model:
    """An ordinary functional model with one softmax output an exit.

    Args:
        backbone: a `tf_keras` functional model with one input. If it ends in a softmax
            classifier of its own, that stays as an exit: the last one unless a head at the last
            tap costs more than what is left of the backbone.
        exits: where to attach which heads, in any order.
        classes: needed only where the backbone has no classifier.

    Returns:
        A model whose outputs are in the order of execution, each (batch, classes); an output's
        name is its `Exit.name`.

    Raises:
        UserError: no such layer or head, an exit twice, no classes, or taps none of which comes
            first.
    """
    own = _own_classifier(backbone)
    if classes is None:
        if own is None:
            raise UserError(
                f"{backbone.name} ends in {backbone.output_shape} without a softmax classifier, "
                f"so attach_exits needs classes=…"
            )
        classes = int(own.shape[-1])
    if len(set(exits)) < len(exits):
        raise UserError(f"an exit is given twice: {', '.join(exit_.name for exit_ in exits)}")
    names = [layer.name for layer in backbone.layers]
    outputs = []
    for exit_ in exits:
        if exit_.at not in names:
            raise UserError(
                f"no layer {exit_.at!r} in {backbone.name} to attach an exit to; "
                f"it has {', '.join(names)}"
            )
        check_head(exit_.head)
        tap = backbone.get_layer(exit_.at).output
        if len(tap.shape) != 4:
            raise UserError(
                f"an exit needs a feature map (batch, height, width, channels), but "
                f"{exit_.at!r} gives {tuple(tap.shape)}"
            )
        source = image(tap.shape[1:], exit_.at)
        outputs += extend({source: tap}, [head(source, exit_.head, classes, exit_.name)])
    if own is not None:
        outputs.append(own)
    if not outputs:
        raise UserError(f"no exits given for {backbone.name}, which has no classifier of its own")
    return _in_order(keras.Model(backbone.input, outputs, name=backbone.name))


def keep_exits(net: keras.Model, exits: Sequence[Exit]) -> keras.Model:
    """The part of a network that these exits need, sharing its weights.

    Raises:
        UserError: the network has no such exit.
    """
    by_exit = dict(zip(exits_of(net), net.outputs, strict=True))
    missing = [exit_.name for exit_ in exits if exit_ not in by_exit]
    if missing:
        raise UserError(f"{net.name} has no exit {missing[0]}; it has {_names(by_exit)}")
    return keras.Model(net.input, [by_exit[exit_] for exit_ in exits], name=net.name)


def freeze_backbone(net: keras.Model) -> keras.Model:
    """The same network with only its heads trainable: `fit` of it trains those of `net`.

    The backbone computes as it does when deployed, batch norms with their running statistics and
    without dropout, and no gradient goes through it. Its maps live for a batch only.

    Args:
        net: from `attach_exits`; its backbone's layers stay frozen.
    """
    exits = exits_of(net)
    heads = {
        exit_: _chain(output, exit_.at)
        for exit_, output in zip(exits, net.outputs, strict=True)
        if exit_.head != "own"
    }
    taps = list(dict.fromkeys(exit_.at for exit_ in heads))
    own = [out for exit_, out in zip(exits, net.outputs, strict=True) if exit_.head == "own"]
    trunk = keras.Model(net.input, [*(net.get_layer(tap).output for tap in taps), *own])
    trunk.trainable = False
    said = trunk(net.input, training=False)
    frozen = dict(zip([*taps, "own"], said if isinstance(said, list) else [said], strict=False))
    outputs = []
    for exit_ in exits:
        x = frozen[exit_.at if exit_ in heads else "own"]
        for layer in heads.get(exit_, ()):
            x = layer(x)
        outputs.append(x)
    return keras.Model(net.input, outputs, name=net.name)


def _chain(output: Any, tap: str) -> list[Any]:
    """A head's layers, from its tap to its output."""
    found, node = [], output.node
    while node.layer.name != tap:
        found.append(node.layer)
        node = node.parent_nodes[0]
    return found[::-1]


def exits_of(net: keras.Model) -> list[Exit]:
    """The exits of a network, in the order of its outputs."""
    return [Exit.parse(name) for name in net.output_names]


def _names(exits: Sequence[Exit] | dict[Exit, object]) -> str:
    return ", ".join(exit_.name for exit_ in exits)


def _in_order(net: keras.Model) -> keras.Model:
    return keep_exits(net, exit_costs(net).exits)


def _own_classifier(backbone: keras.Model) -> Any | None:
    if len(backbone.outputs) != 1 or len(backbone.output_shape) != 2:
        return None
    return backbone.output if has_softmax(backbone.layers[-1]) else None
