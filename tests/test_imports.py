"""What is imported when: the rooms keep to themselves, and running needs no TensorFlow."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("tensorflow", "tf_keras", "keras", "keras_tuner", "sklearn", "matplotlib")


def imported_by(code: str) -> set[str]:
    """Top-level modules that a fresh process has loaded after running the code."""
    say = f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", say], capture_output=True, text=True, check=True, cwd=ROOT / "tests"
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import eexit_tf, eexit_tf.tflite",
        "import eexit_tf.cli; import eexit_tf.cli.search, eexit_tf.cli.evaluate",
        "import eexit_tf.policies, eexit_tf.pareto, eexit_tf.costs, eexit_tf.network_costs",
        "import eexit_tf.tflite.evaluation, eexit_tf.tflite.compiler",
        "from eexit_tf.tflite import EarlyExitInterpreter, evaluate, compile",
    ],
)
def test_imports_nothing_heavy(code: str) -> None:
    assert imported_by(code).isdisjoint(HEAVY)


@pytest.mark.parametrize(
    ("room", "others"),
    [("eexit_tf", ("tuners", "tflite")), ("tuners", ("tflite",)), ("tflite", ("tuners",))],
)
def test_rooms_keep_to_themselves(room: str, others: tuple[str, ...]) -> None:
    files = [path for path in (ROOT / room).rglob("*.py") if path.name != "pipeline.py"]
    assert len(files) > 20
    for path in files:
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            # The command line imports the other rooms when it needs them.
            if (line if room == "eexit_tf" else line.strip()).startswith(("import ", "from ")):
                for other in others:
                    away = rf"eexit_tf(\.| import .*\b){other}\b"
                    assert not re.search(away, line), f"{path.name}:{number} {line}"
