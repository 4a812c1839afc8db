"""The kept networks do what is said of them, the same in both runtimes."""

import json
from pathlib import Path

import numpy as np
import pytest
from space_networks import data_path

from eexit_tf.data import Samples, load
from eexit_tf.tflite import evaluate
from eexit_tf.tflite.interpreter import EarlyExitInterpreter

MODELS = Path(__file__).parents[1] / "examples" / "models"
KEPT = {
    "cifar10-2.44M": "cifar10.npz",
    "cifar10-3.1M": "cifar10.npz",
    "cifar10-6.5M": "cifar10.npz",
    "cifar10-9.65M": "cifar10.npz",
    "cifar10-17M": "cifar10.npz",
    "cifar10-fine": "cifar10.npz",
    "cifar10-large": "cifar10.npz",
    "cifar10-searched": "cifar10.npz",
    "cifar10-grown": "cifar10.npz",
    "cifar10-commands": "cifar10.npz",
    "har": "har_smartwatch.npz",
    "kws": "kws12_mfcc.npz",
}
SAMPLES, IN_BOTH = 400, 50


def test_every_kept_network_is_tested_here_and_described() -> None:
    assert {path.stem for path in MODELS.glob("*.tflite")} == set(KEPT)
    described = (MODELS / "README.md").read_text()
    assert all(f"`{name}`" in described for name in KEPT)


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_network_keeps_its_promise(name: str) -> None:
    data = data_path(KEPT[name])
    if not data.is_file():
        pytest.skip(f"no {data}: set EEXIT_TF_DATA to the folder that holds {KEPT[name]}")
    model = MODELS / f"{name}.tflite"
    kept = json.loads((MODELS / f"{name}.test.json").read_text())
    test = load(str(data)).test
    some = Samples(test.x[:SAMPLES], test.y[:SAMPLES])
    found = evaluate(model, some)
    # Three standard deviations of what is measured on so many samples; nothing if it is on all.
    rest = 1 - len(some.x) / kept["samples"]
    allowed = 3 * np.sqrt(rest * kept["accuracy"] * (1 - kept["accuracy"]) / len(some.x))
    assert found.accuracy == pytest.approx(kept["accuracy"], abs=allowed + 1e-9)
    assert found.mean_macs == pytest.approx(kept["mean_macs"], rel=0.1 if rest else 1e-9)

    few = some.x[:IN_BOTH]
    litert = EarlyExitInterpreter(model, runtime="litert").predict(few)
    tflm = EarlyExitInterpreter(model, runtime="tflm").predict(few)
    assert np.array_equal(litert.exits, tflm.exits)
    assert np.array_equal(litert.scores, tflm.scores)
