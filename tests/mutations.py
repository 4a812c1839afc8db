"""Damaging a `.tflite` file at random: its bytes, and its objects before they are written."""

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from eexit_tf.tflite import flatbuffer

INTEGERS = (0, 1, -1, 2, 3, 127, -128, 128, 255, 256, 65_535, 1 << 20, 2**31 - 1, -(2**31))
FLOATS = (0.0, -1.0, 1e-38, 1e38, 1.0, 0.5, 1 / 256, float("nan"), float("inf"))
WORDS = (b"\xff\xff\xff\xff", bytes(4), b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\1\0\0\0")


def mutated(content: bytes, seed: int) -> bytes:
    """A damaged copy; the same seed gives the same damage."""
    chance = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    if kind is change_objects:
        for _ in range(100):
            try:
                return change_objects(content, chance)
            except Exception:  # what cannot be written is no file
                continue
    return bytes(kind(bytearray(content), chance))


def flip_bits(content: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return content


def truncate(content: bytearray, chance: random.Random) -> bytearray:
    cut = chance.randrange(len(content))
    return content[:cut] if chance.random() < 0.7 else content[cut:]


def swap_fields(content: bytearray, chance: random.Random) -> bytearray:
    size = chance.choice((1, 2, 4, 4, 8, 16))
    a, b = (size * chance.randrange(len(content) // size) for _ in range(2))
    content[a : a + size], content[b : b + size] = content[b : b + size], content[a : a + size]
    return content


def set_word(content: bytearray, chance: random.Random) -> bytearray:
    start = 4 * chance.randrange(len(content) // 4)
    content[start : start + 4] = chance.choice(WORDS)
    return content


def zero_range(content: bytearray, chance: random.Random) -> bytearray:
    start, size = chance.randrange(len(content)), chance.choice((2, 8, 32, 200))
    content[start : start + size] = bytes(len(content[start : start + size]))
    return content


def duplicate_range(content: bytearray, chance: random.Random) -> bytearray:
    size = chance.choice((4, 8, 16, 64, 256))
    source, target = (chance.randrange(len(content) - size) for _ in range(2))
    part = content[source : source + size]
    if chance.random() < 0.5:
        content[target : target + size] = part
    else:
        content[target:target] = part
    return content


def change_objects(content: bytes, chance: random.Random) -> bytes:
    """One or two fields of the file's objects get another value, and the file is written anew."""
    model = copy.deepcopy(flatbuffer.read(content))
    for _ in range(chance.choice((1, 1, 2))):
        thing = _pick(model, chance)
        name = chance.choice(sorted(vars(thing)))
        setattr(thing, name, _other(getattr(thing, name), thing, chance))
    return flatbuffer.write(model)


def _pick(model: Any, chance: random.Random) -> Any:
    """Some object of the file; each kind as likely as any other."""
    graph = chance.choice(model.subgraphs)
    tensor, operator = chance.choice(graph.tensors), chance.choice(graph.operators)
    things = [model, graph, tensor, tensor, tensor.quantization, operator, operator]
    things += [chance.choice(model.operatorCodes), chance.choice(model.signatureDefs)]
    things += [operator.builtinOptions] * 3 if operator.builtinOptions is not None else []
    things += [chance.choice(model.buffers), chance.choice(model.metadata or model.buffers)]
    signature = chance.choice(model.signatureDefs)
    things.append(chance.choice([*signature.inputs, *signature.outputs]))
    return chance.choice(things)


def _other(value: Any, thing: Any, chance: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return chance.choice((value + 1, value - 1, *INTEGERS))
    if isinstance(value, float):
        return chance.choice((2 * value, *FLOATS))
    if isinstance(value, np.ndarray):
        return _other_array(value.copy(), chance)
    if isinstance(value, list) and value:
        value, a, b = list(value), *(chance.randrange(len(value)) for _ in range(2))
        kind = chance.randrange(4)
        if kind == 0:
            value[a], value[b] = value[b], value[a]
        elif kind == 1:
            del value[a]
        elif kind == 2:
            value.insert(b, value[a])
        else:
            value[a] = value[b]
        return value
    if isinstance(value, bytes | str):
        return chance.choice((b"", b"scores", b"\xff\xfe", value + value[:3], None))
    return None


def _other_array(value: np.ndarray, chance: random.Random) -> np.ndarray:
    if not len(value) or chance.random() < 0.2:
        return np.append(value, np.array([1], value.dtype))
    index = chance.randrange(len(value))
    kind = chance.randrange(4)
    if kind == 0:
        return np.delete(value, index)
    if kind == 1:
        return value[::-1].copy()
    if kind == 2 and len(value) > 1:
        other = chance.randrange(len(value))
        value[index], value[other] = value[other], value[index]
        return value
    choices = FLOATS if value.dtype.kind == "f" else (int(value[index]) + 1, *INTEGERS)
    value[index] = np.array(chance.choice(choices)).astype(value.dtype)
    return value


KINDS: tuple[Callable[..., bytes | bytearray], ...] = (
    change_objects,
    flip_bits,
    change_objects,
    truncate,
    swap_fields,
    change_objects,
    set_word,
    zero_range,
    change_objects,
    duplicate_range,
)
"""Bytes at random mostly break what any reader sees; changed objects get further."""
