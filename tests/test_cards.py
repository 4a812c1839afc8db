"""Which JSON beside a network is its card, and what is read of it."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from networks import multi_exit

from eexit_tf.errors import UserError
from eexit_tf.tflite.cards import card_of, card_path, check_card_place, input_divisor, read_card
from eexit_tf.tflite.compiler import compile_file
from eexit_tf.tflite.splicing import spliced

HERE = Path("m.json")


@pytest.mark.parametrize("divisor", [1, 0.5, 255.0, 1e-300, 1e308])
def test_divisors_are_numbers_above_0(divisor: float) -> None:
    found = input_divisor({"input": {"divisor": divisor}}, HERE)
    assert (type(found), found) == (float, float(divisor))


@pytest.mark.parametrize(
    "taken",
    [None, 3, {}, *({"divisor": d} for d in (None, "1", True, 0, -1, math.nan, math.inf, 10**400))],
)
def test_other_divisors_are_refused(taken: Any) -> None:
    for card in ({}, {"input": taken}):
        with pytest.raises(UserError, match=r"m\.json has no divisor above 0 of the input"):
            input_divisor(card, HERE)


@pytest.fixture
def network(early_file: Path, tmp_path: Path) -> Path:
    """A self-exiting file with three exits, without a card."""
    path = tmp_path / "m.tflite"
    path.write_bytes(early_file.read_bytes())
    return path


def write_card(network: Path, content: bytes, **changes: Any) -> dict[str, Any]:
    card = {"sha256": hashlib.sha256(content).hexdigest(), "input": {"divisor": 2}, **changes}
    card_path(network).write_text(json.dumps(card))
    return card


def test_a_card_is_that_of_the_file(network: Path) -> None:
    content = network.read_bytes()
    assert card_of(network, content) is None
    assert card_of(network, content) == read_card(card_path(network))
    card = write_card(network, content)
    assert card_of(network, content) == card
    with pytest.raises(UserError, match=r"m\.json is the card of another file than .*m\.tflite"):
        card_of(network, content + b" ")
    write_card(network, content, input={"divisor": 0})
    with pytest.raises(UserError, match="no divisor above 0"):
        card_of(network, content)


def test_a_card_may_know_other_thresholds_of_the_file(network: Path) -> None:
    content = network.read_bytes()
    other = spliced.retune(content, [1, 2, -128])
    assert other != content
    card = write_card(network, other, exits=[{"threshold_int8": n} for n in (1, 2, -128)])
    assert card_of(network, content) == card
    for exits in (3, [3], [{}], [{"threshold_int8": "1"}] * 3, [{"threshold_int8": 999}] * 3):
        write_card(network, other, exits=exits)
        with pytest.raises(UserError, match="is the card of another file"):
            card_of(network, content)


def test_a_link_has_the_card_of_what_it_leads_to_unless_it_has_its_own(
    network: Path, tmp_path: Path
) -> None:
    link = tmp_path / "links" / "now.tflite"
    link.parent.mkdir()
    link.symlink_to(network)
    assert card_path(link) == card_path(network)
    link.with_suffix(".json").symlink_to(card_path(network))
    assert card_path(link) == link.with_suffix(".json")


@pytest.mark.parametrize("said", ["[]", "3", "null", '{"mine": true}'])
def test_something_else_is_no_card_and_not_replaced(network: Path, said: str) -> None:
    check_card_place(network)
    card_path(network).write_text(said)
    assert read_card(card_path(network)) is None
    assert card_of(network, network.read_bytes()) is None
    with pytest.raises(UserError, match=r"m\.json is not the card of a network, which .*m\.tfl"):
        check_card_place(network)
    write_card(network, b"anything")
    check_card_place(network)


def test_what_is_no_json_is_refused(network: Path) -> None:
    for said in ('{"sha256"', "[" * 100_000, "\x00"):
        card_path(network).write_text(said)
        with pytest.raises(UserError, match=r"is not JSON \(truncated or damaged\?\)"):
            card_of(network, network.read_bytes())


def test_a_card_replaces_nothing_but_a_card(tmp_path: Path) -> None:
    (tmp_path / "multi.tflite").write_bytes(multi_exit(11, 2))
    (tmp_path / "front.json").write_text("{}")
    model = compile_file(tmp_path / "multi.tflite", [0.9])
    with pytest.raises(UserError, match=r"front.json is not the card .*choose another name"):
        model.save(tmp_path / "front.tflite")
    assert not (tmp_path / "front.tflite").exists()
    assert (tmp_path / "front.json").read_text() == "{}"
    for _ in range(2):
        model.save(tmp_path / "M.tflite")


@pytest.mark.parametrize("name", ["m.json", "m.bin", "m"])
def test_only_a_tflite_file_has_a_card(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"{name} must end in .tflite"):
        check_card_place(tmp_path / name)
