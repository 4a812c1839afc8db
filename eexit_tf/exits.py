"""Attaching exits to a backbone, and cutting a network down to some of its exits."""

from collections.abc import Sequence
from typing import Any

from eexit_tf.blueprints import image
from eexit_tf.building import extend
from eexit_tf.errors import UserError
from eexit_tf.foreign_keras import refuse_keras3
from eexit_tf.heads import check_head, head
from eexit_tf.keras import keras
from eexit_tf.network_costs import exit_costs
from eexit_tf.softmaxes import has_softmax
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
        classes: needed only where the backbone has no classifier; of one it must be the same.

    Returns:
        A model whose outputs are in the order of execution, each (batch, classes); an output's
        name is its `Exit.name`.

    Raises:
        UserError: no such layer or head, an exit twice, no, other or fewer than two classes, taps
            none of which comes first, or a backbone of Keras 3.
    """
    refuse_keras3(backbone)
    own = _own_classifier(backbone)
    if classes is None:
        if own is None:
            raise UserError(
                f"{backbone.name} ends in {backbone.output_shape} without a softmax classifier, "
                f"so attach_exits needs classes=…"
            )
        classes = int(own.shape[-1])
    if classes < 2:
        raise UserError(f"exits tell two classes or more apart, but classes is {classes}")
    if own is not None and classes != own.shape[-1]:
        raise UserError(
            f"{backbone.name} ends in a classifier of {own.shape[-1]} classes, where {classes} "
            f"were asked for; attach exits to its last feature map alone: keras.Model("
            f"backbone.input, backbone.get_layer(…).output)"
        )
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
        UserError: the network has no such exit, or none is named.
    """
    if not exits:
        raise UserError(f"no exit of {net.name} is named; expected one or more to keep")
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
        net: from `attach_exits`; its backbone's layers stay frozen, with its own classifier.

    Raises:
        UserError: see `head_layers`.
    """
    heads = head_layers(net)
    outputs = dict(zip(net.output_names, net.outputs, strict=True))
    taps = {name: Exit.parse(name).at for name in heads}
    sources = {tap: net.get_layer(tap).output for tap in taps.values()}
    sources |= {name: output for name, output in outputs.items() if name not in heads}
    trunk = keras.Model(net.input, list(sources.values()))
    trunk.trainable = False
    said = trunk(net.input, training=False)
    frozen = dict(zip(sources, said if isinstance(said, list) else [said], strict=True))
    ends = []
    for name in outputs:
        x = frozen[taps[name] if name in heads else name]
        for layer in heads.get(name, ()):
            x = layer(x)
        ends.append(x)
    return keras.Model(net.input, ends, name=net.name)


def head_layers(net: keras.Model) -> dict[str, list[keras.layers.Layer]]:
    """The layers of each head that `attach_exits` made, in their order, by the output's name.

    Other outputs are the backbone's own.

    Raises:
        UserError: there is none, as in a network whose exits are all its own, or one that
            `freeze_backbone` or `gates.add_gates` gave.
    """
    named = zip(net.output_names, exits_of(net), net.outputs, strict=True)
    heads = {name: _chain(output, exit_.at) for name, exit_, output in named if exit_.head != "own"}
    found = {name: layers for name, layers in heads.items() if layers}
    if not found:
        raise UserError(
            f"no output of {net.name} ({', '.join(net.output_names)}) is a head on a layer of it, "
            f"so heads cannot be told from the backbone; give the very network that attach_exits "
            f"gave (what freezes a backbone or adds gates comes after)"
        )
    return found


def _chain(output: Any, tap: str) -> list[keras.layers.Layer]:
    """A head's layers, from its tap to its output; none if they do not lead there one by one."""
    found, node = [], output.node
    while node.layer.name != tap:
        found.append(node.layer)
        if len(node.parent_nodes) != 1:
            return []
        node = node.parent_nodes[0]
    return found[::-1]


def exits_of(net: keras.Model) -> list[Exit]:
    """The exits of a network, in the order of its outputs."""
    refuse_keras3(net)
    return [Exit.parse(name) for name in net.output_names]


def _names(exits: Sequence[Exit] | dict[Exit, object]) -> str:
    return ", ".join(exit_.name for exit_ in exits)


def _in_order(net: keras.Model) -> keras.Model:
    return keep_exits(net, exit_costs(net).exits)


def _own_classifier(backbone: keras.Model) -> Any | None:
    if len(backbone.outputs) != 1 or len(backbone.output_shape) != 2:
        return None
    return backbone.output if has_softmax(backbone.layers[-1]) else None
