"""A self-exiting network said in C++: the literals that the templates in `sources/` take."""

import hashlib
import re
from collections.abc import Iterable
from math import prod

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.tflite import schema
from eexit_tf.tflite.model import CompiledModel
from eexit_tf.tflite.splicing import spliced
from eexit_tf.version import __version__

_BYTES_A_LINE = 16
_NAME_LENGTH = 40


def identifier(name: str) -> str:
    """A name that C++, CMake and every build system here takes: a-z, A-Z, 0-9 and _.

    Other characters become `_`; what is left empty becomes `model`, and a name that starts with
    a digit or `_` gets `model_` before it.
    """
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name)[:_NAME_LENGTH].rstrip("_")
    if not plain.strip("_"):
        return "model"
    return plain if plain[0].isalpha() else f"model_{plain.lstrip('_')}"


def operators(model: fb.ModelT) -> list[str]:
    """The names of the operators in the file, each once, sorted."""
    return sorted(
        {schema.op_name(model, op) for graph in model.subgraphs for op in graph.operators}
    )


def adder(operator: str) -> str:
    """The method of TFLM's `MicroMutableOpResolver` that adds an operator.

    TFLM names it after the operator: `AddConv2D` adds `CONV_2D`.
    """
    return f"Add{operator.title().replace('_', '')}"


def values(card: CompiledModel, model: fb.ModelT, name: str) -> dict[str, str]:
    """What the templates of every format ask for, except for memory.

    Args:
        card: the network and what is known of it.
        model: its content, checked.
        name: an `identifier`.
    """
    main, outputs = model.subgraphs[0], schema.outputs_by_name(model)
    order = [int(index) for index in main.outputs]
    needed = operators(model)
    return {
        "version": __version__,
        "library_version": re.sub(r"\.?[^0-9.].*", "", __version__),
        "name": name,
        "sha256": hashlib.sha256(card.content).hexdigest(),
        "bytes": array(card.content),
        "size": str(len(card.content)),
        "classes": str(len(card.classes)),
        "exits": str(len(card.exits)),
        "shape": " x ".join(map(str, card.input.shape)),
        "input_size": str(prod(card.input.shape)),
        "divisor": real(card.input.divisor),
        "scale": real(schema.quantization(main.tensors[main.inputs[0]])[0]),
        "zero_point": str(card.input.zero_point),
        "scores_output": str(order.index(outputs[spliced.SCORES])),
        "exit_output": str(order.index(outputs[spliced.EXIT])),
        "thresholds_input": str(thresholds_input(model)),
        "labels": _lines(card.classes),
        "exit_names": _lines(exit_.at for exit_ in card.exits),
        "thresholds": ", ".join(str(exit_.threshold_int8) for exit_ in card.exits),
        "operator_count": str(len(needed)),
        "operators": " &&\n           ".join(
            f"resolver.{adder(operator)}() == kTfLiteOk" for operator in needed
        ),
    }


def thresholds_input(model: fb.ModelT) -> int:
    """Which of the network's inputs takes its thresholds; -1 if they are constants."""
    index = schema.inputs_by_name(model).get(spliced.THRESHOLDS)
    inputs = [int(i) for i in model.subgraphs[0].inputs]
    return inputs.index(index) if index is not None and len(inputs) > 1 else -1


def array(content: bytes) -> str:
    """The bytes of an array's initialiser."""
    return "\n".join(
        "    " + " ".join(f"0x{byte:02x}," for byte in content[start : start + _BYTES_A_LINE])
        for start in range(0, len(content), _BYTES_A_LINE)
    )


def real(value: float) -> str:
    """A float literal that reads back as the same float32."""
    digits = f"{np.float32(value):.9g}"
    return f"{digits}f" if set(digits) & set(".e") else f"{digits}.0f"


def string(text: str) -> str:
    """A string literal of the text in UTF-8."""
    return '"' + "".join(_character(byte) for byte in text.encode()) + '"'


def _character(byte: int) -> str:
    # Octal escapes end after three digits, so that a digit may follow; ? could form a trigraph.
    return chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"


def _lines(texts: Iterable[str]) -> str:
    return "\n".join(f"        {string(text)}," for text in texts)
