"""The card of a compiled network, `M.json` beside `M.tflite`: finding and checking it."""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eexit_tf.errors import UserError
from eexit_tf.tflite.splicing import spliced


def card_path(model: Path) -> Path:
    """Where the card of a `.tflite` file is: beside it, or beside what a link leads to."""
    beside = model.with_suffix(".json")
    if model.is_symlink() and not os.path.lexists(beside):
        return Path(os.path.realpath(model)).with_suffix(".json")
    return beside


def read_card(path: Path) -> Mapping[str, Any] | None:
    """A card; nothing if there is no such file or it is something else."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and "sha256" in value else None


def check_card_place(model: Path) -> None:
    """Refuse a name for a `.tflite` file whose card would replace something else.

    Raises:
        UserError: says what is there, or that the name is not that of a `.tflite` file.
    """
    if model.suffix != ".tflite":
        raise UserError(f"{model} must end in .tflite")
    beside = card_path(model)
    if beside.exists() and read_card(beside) is None:
        raise UserError(
            f"{beside} is not the card of a network, which {model} needs there; choose another name"
        )


def card_of(path: Path, content: bytes) -> Mapping[str, Any] | None:
    """The card beside a self-exiting file.

    Args:
        path: of the `.tflite` file.
        content: what is in it. A card of the same network with other thresholds is its card as
            well: one that was left behind when a retuning was interrupted.

    Raises:
        UserError: the card is another file's, or damaged.
    """
    beside = card_path(path)
    card = read_card(beside)
    if card is None:
        if beside.exists() and not _is_json(beside):
            raise UserError(f"{beside} is not JSON (truncated or damaged?); move it away")
        return None
    if card["sha256"] not in (_sha256(content), _sha256(_as_on(card, content))):
        raise UserError(
            f"{beside} is the card of another file than {path}; compile again, or move the card "
            f"away"
        )
    input_divisor(card, beside)
    return card


def input_divisor(card: Mapping[str, Any], path: Path) -> float:
    """What a network's raw inputs are divided by, as its card or manifest at the path says.

    Raises:
        UserError: it does not say so.
    """
    taken = card.get("input")
    divisor = taken.get("divisor") if isinstance(taken, dict) else None
    if isinstance(divisor, bool) or not isinstance(divisor, int | float):
        divisor = 0
    if not 0 < divisor <= sys.float_info.max:
        raise UserError(f"{path} has no divisor above 0 of the input")
    return float(divisor)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return True


def _as_on(card: Mapping[str, Any], content: bytes) -> bytes:
    """The file with the card's thresholds, if they fit it."""
    try:
        return spliced.retune(content, [exit_["threshold_int8"] for exit_ in card["exits"]])
    except (KeyError, TypeError, ValueError):
        return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
