"""The examples run, as a user would run them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("script", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_example(script: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), "model.tflite"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    litert, tflm = (line for line in done.stdout.splitlines() if " samples in " in line)
    assert litert.replace("litert", "tflm") == tflm
    card = json.loads((tmp_path / "model.json").read_text())
    assert card["flash_bytes"] == (tmp_path / "model.tflite").stat().st_size
    accuracy = re.match(r"([\d.]+)%", litert)
    assert accuracy is not None
    assert float(accuracy[1]) > 90
