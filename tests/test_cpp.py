"""Names, numbers and operators as exported C++ writes them."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from exports import STAND_IN, real

from eexit_tf.tflite.checks.operators import RULES
from eexit_tf.tflite.exporting import cpp


def test_tflm_adds_every_operator_that_a_file_may_have() -> None:
    """The stand-in's list was written from TFLM's own header."""
    header = STAND_IN / "tensorflow/lite/micro/micro_mutable_op_resolver.h"
    known = set(re.findall(r"TfLiteStatus (Add\w+)\(", header.read_text()))
    assert {cpp.adder(name) for name in RULES} <= known


@real
def test_the_real_tflm_adds_every_operator_that_a_file_may_have() -> None:
    tflm = Path(os.environ["EEXIT_TFLM_DIR"])
    header = (tflm / "tensorflow/lite/micro/micro_mutable_op_resolver.h").read_text()
    for name in RULES:
        assert re.search(
            rf"{cpp.adder(name)}\([^{{]*\{{\s*return AddBuiltin\(BuiltinOperator_{name},", header
        )


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("net", "net"),
        ("my-net.v2", "my_net_v2"),
        ("2nd", "model_2nd"),
        ("_x_", "model_x"),
        ("", "model"),
        ("ÄÖ", "model"),
        ("a" * 99, "a" * 40),
        ("a" * 39 + "-b", "a" * 39),
        ("../evil", "model_evil"),
    ],
)
def test_names_become_identifiers(given: str, made: str) -> None:
    assert cpp.identifier(given) == made
    assert cpp.identifier(made) == made


@pytest.mark.parametrize("value", [1.0, 0.1, 255.0, 1e-9, 0.104042605, 123456789.0, 1e20])
def test_floats_read_back(value: float) -> None:
    literal = cpp.real(value)
    assert re.fullmatch(r"(\d+\.\d+|\d+(\.\d+)?e[+-]?\d+)f", literal)
    assert np.float32(literal[:-1]) == np.float32(value)


def test_strings_have_no_character_that_means_something_else() -> None:
    assert cpp.string('a "1" ?? \\ ø \x7f') == r'"a \0421\042 \077\077 \134 \303\270 \177"'
