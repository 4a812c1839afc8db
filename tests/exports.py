"""A self-exiting network that tests export, and a look at what was exported."""

import json
import os
from pathlib import Path

import pytest
from networks import multi_exit, order_of

from eexit_tf.tflite import flatbuffer
from eexit_tf.tflite.exporting import cpp
from eexit_tf.tflite.exporting.exporter import load
from eexit_tf.tflite.splicing import splice

STAND_IN = Path(__file__).parent / "tflm_stand_in"
LABELS = ("cat", 'a "dog"', "Kröte \\ ??/", "12", "line\nend")
DIVISOR = 1.7

real = pytest.mark.skipif("EEXIT_TFLM_DIR" not in os.environ, reason="no EEXIT_TFLM_DIR")


def write_network(folder: Path) -> Path:
    """A self-exiting file with three exits and its card."""
    multi = multi_exit(12, 5, True)
    order = order_of(multi)[1:4]
    path = folder / "net.tflite"
    path.write_bytes(splice.splice(multi, order, [55, -3, 0], labels=LABELS))
    card = {"sha256": cpp.values(load(path), flatbuffer.read(path.read_bytes()), "net")["sha256"]}
    path.with_suffix(".json").write_text(json.dumps({**card, "input": {"divisor": DIVISOR}}))
    return path


def everything(folder: Path) -> dict[str, bytes]:
    """All files in a folder, by path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def network_folder(project: Path) -> Path:
    (header,) = project.rglob("eexit.h")
    return header.parent
