"""A network that takes bytes as they are gets them so, without being told."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from networks import convert, keras_network

from eexit_tf.cli import cli
from eexit_tf.data import load
from eexit_tf.tflite.compiler import compile_file
from eexit_tf.tflite.units import in_units_of

CLASSES = 5


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "bytes.npz"
    x = (rng.random((120, 1, 1, 3)) * rng.integers(0, 256, (120, 8, 8, 3))).astype(np.uint8)
    np.savez(path, x_train=x, y_train=rng.permutation(np.arange(120) % CLASSES))
    return path


def compiled(path: Path, dataset: Path, factor: float) -> Path:
    """A network that takes the data times a factor, and says the same of it for every factor."""
    net = keras_network(4, 2, classes=CLASSES)
    stem = next(layer for layer in net.layers if layer.get_weights())
    kernel, bias = stem.get_weights()
    stem.set_weights([kernel / factor, bias])
    path.write_bytes(convert(net, samples=load(str(dataset)).train.x[:32] * factor))
    compile_file(path, [0.8]).save(path)
    return path


def test_bytes_are_recognised_by_the_reach_of_the_input(tmp_path: Path, dataset: Path) -> None:
    data, said = load(str(dataset)), {}
    for factor in (1, 255):
        path = compiled(tmp_path / f"{factor}.tflite", dataset, factor)
        assert in_units_of(path, data).test.x.max() == pytest.approx(factor * data.test.x.max())
        json_path = tmp_path / f"{factor}.result.json"
        args = ["evaluate", path, "--dataset", dataset, "--json", json_path, "--quiet"]
        result = CliRunner().invoke(cli, list(map(str, args)))
        assert result.exit_code == 0, result.output
        said[factor] = json.loads(json_path.read_text())
    assert said[255] == said[1]
    assert 0 < said[1]["exits"][0]["share"] < 1
