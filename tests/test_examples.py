"""The examples run, as a user would run them."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from networks import multi_exit, order_of
from space_networks import RESNET8, data_path

from eexit_tf.backbones import Stage, Stem, inverted_residual
from eexit_tf.bounds import Bounds
from eexit_tf.data import load
from eexit_tf.exits import attach_exits, exits_of, keep_exits
from eexit_tf.network_costs import exit_costs
from eexit_tf.tflite.interpreter import EarlyExitInterpreter
from eexit_tf.tflite.splicing import splice
from eexit_tf.training import LEARNING_RATE, scores
from eexit_tf.tuners.own_space import HyperModelSpace
from eexit_tf.vocabulary import Exit

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(script: str, *arguments: str, cwd: Path) -> str:
    """What the example prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_run_here() -> None:
    tests = Path(__file__).read_text()
    for path in EXAMPLES.glob("*.py"):
        assert f'run("{path.name}"' in tests or "__main__" not in path.read_text()


def test_digits(tmp_path: Path) -> None:
    said = run("digits.py", "model.tflite", cwd=tmp_path)
    litert, tflm = (line for line in said.splitlines() if " samples in " in line)
    assert litert.replace("litert", "tflm") == tflm
    card = json.loads((tmp_path / "model.json").read_text())
    assert card["flash_bytes"] == (tmp_path / "model.tflite").stat().st_size
    accuracy = re.match(r"([\d.]+)%", litert)
    assert accuracy is not None
    assert float(accuracy[1]) > 90


def few_images(path: Path) -> None:
    """A hundred images of noise in the shape of CIFAR-10."""
    x = np.random.default_rng(0).integers(0, 256, (100, 32, 32, 3), np.uint8)
    y = np.arange(100) % 10
    np.savez(path, x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])


def test_cifar10(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few_images(tmp_path / "few.npz")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    import cifar10

    # The taught ones go on with the weights of others, which are made here or kept in a file.
    designs = {
        "small": (2.44,),
        "searched": (2.44,),
        "teacher": (),
        "grown": (9.65, 17),
    }
    for name, bounds in designs.items():
        arguments = (name, "few.npz", "models", "1", "7")
        if name == "small":
            said = run("cifar10.py", *arguments, cwd=tmp_path)
        else:  # without starting Python and TensorFlow again
            cifar10.main(*arguments)
            said = capsys.readouterr().out
        assert said.count(" on 20 samples in litert") == len(bounds)
        for bound in bounds:
            card = json.loads((tmp_path / "models" / f"cifar10-{bound}M.json").read_text())
            assert card["mean_macs"] <= bound * 1e6


def test_the_searched_network_is_one_of_the_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    import cifar10

    space = HyperModelSpace((32, 32, 3), 10, Bounds(max_macs=5e6), spec="cifar10_space:Space")
    values = {"width1": 24, "depth1": 1, "expansion1": 2, "growth2": 1.5, "depth2": 2}
    values |= {"expansion2": 3, "growth3": 2.0, "depth3": 3, "expansion3": 4, "strong": 2}
    designed = cifar10.DESIGNS["searched"].build(
        SimpleNamespace(input_shape=(32, 32, 3), classes=10)
    )
    assert space.costs(values) == exit_costs(designed)
    assert not space.rejected(values)


def test_taught_networks_begin_with_weights_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_images(tmp_path / "few.npz")
    monkeypatch.syspath_prepend(EXAMPLES)
    import cifar10

    data = load(str(tmp_path / "few.npz"))
    built = {name: design.build(data) for name, design in cifar10.DESIGNS.items()}
    for name, design in cifar10.DESIGNS.items():
        assert {*design.teachers} <= {*built}
        if design.after:
            before = built[name].get_weights()
            cifar10.begin(built[name], design, built[design.after])
            weights = zip(before, built[name].get_weights(), strict=True)
            same = sum(old.size for old, new in weights if np.array_equal(old, new))
            assert same < 0.6 * sum(old.size for old in before)


def test_a_grown_network_says_what_its_source_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new block changes nothing, and its head is that of the block before."""
    monkeypatch.syspath_prepend(EXAMPLES)
    import growth

    before = [Stage(8, 1, stride=1), Stage(12, 2), Stage(16, 1)]
    after = [replace(stage, depth=depth) for stage, depth in zip(before, (3, 2, 2), strict=True)]
    assert growth.counterparts(after, before) == {1: 1, 2: 1, 3: 1, 4: 2, 5: 3, 6: 4, 7: 4}
    source, net = (
        attach_exits(
            inverted_residual((16, 16, 3), stem=Stem(8), stages=stages),
            [Exit(f"block{n}") for n in range(1, 1 + sum(stage.depth for stage in stages))],
            classes=5,
        )
        for stages in (before, after)
    )
    rng = np.random.default_rng(0)
    source.set_weights([w + rng.uniform(0, 0.1, w.shape) for w in source.get_weights()])
    growth.grow(net, after, source, before)
    x = rng.normal(size=(50, 16, 16, 3)).astype(np.float32)
    said, expected = scores(net, x), scores(source, x)
    for exit_, old in enumerate((0, 0, 0, 1, 2, 3, 3)):
        np.testing.assert_allclose(said[exit_], expected[old], atol=1e-5)
    assert len({score.tobytes() for score in expected}) == len(expected)


def test_the_search_grows_the_searched_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_images(tmp_path / "few.npz")
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CIFAR10", "few.npz")
    import cifar10

    space = HyperModelSpace((32, 32, 3), 10, Bounds(max_macs=30e6), spec="cifar10_growth:Growth")
    assert space.learning_rate < LEARNING_RATE
    values = {"fine": "stem", "depth1": 1, "depth2": 4, "depth3": 7, "strong": 1}
    assert not space.rejected(values)
    net = space.full_network(values)

    data = load("few.npz")
    designed = cifar10.DESIGNS["grown"].build(data)
    assert exit_costs(keep_exits(net, exits_of(designed))) == exit_costs(designed)
    kept = cifar10.trained("searched", data, tmp_path)
    new, old = net.get_layer("block8_project_conv"), kept.get_layer("block6_project_conv")
    np.testing.assert_array_equal(new.get_weights()[0], old.get_weights()[0])


def test_weights_of_a_kept_file_say_what_the_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    import cifar10

    few_images(tmp_path / "few.npz")
    data = load(str(tmp_path / "few.npz"))
    net = cifar10.trained("fine-taught", data, tmp_path)
    file = EarlyExitInterpreter(cifar10.MODELS / cifar10.KEPT["fine-taught"], thresholds=[1, 1, 1])
    kept = file.predict(data.train.x)
    assert set(kept.exits) == {3}
    said = scores(net, data.train.x)[-1]
    assert np.mean(said.argmax(1) == kept.classes) >= 0.9
    np.testing.assert_allclose(said.max(1), kept.confidences, atol=0.15)
    assert np.corrcoef(said.max(1), kept.confidences)[0, 1] > 0.95


@pytest.mark.parametrize("how", ["frozen", "tuned", "grafted"])
def test_resnet8_cifar10(tmp_path: Path, how: str) -> None:
    backbone = data_path(RESNET8)
    if not backbone.is_file():
        pytest.skip(f"no {backbone}: set EEXIT_TF_DATA to the folder that holds {RESNET8}")
    few_images(tmp_path / "few.npz")
    models = "" if how == "frozen" else "models"
    arguments = (str(backbone), "few.npz", "r8.tflite", "1", models, how)
    said = run("resnet8_cifar10.py", *arguments, cwd=tmp_path)
    assert " on 20 samples in litert" in said
    assert EarlyExitInterpreter(tmp_path / "r8.tflite").exits


def test_raspberry_pi(tmp_path: Path) -> None:
    """It runs the optimised kernels, which may differ by a step of int8 before a softmax."""
    multi = multi_exit(12, 5, True)
    order = order_of(multi)
    content = splice.splice(multi, [order[0], order[2], order[4]], [40, 90, 0])
    (tmp_path / "model.tflite").write_bytes(content)
    x = np.random.default_rng(0).normal(size=(100, 8, 8, 2)).astype(np.float32)
    np.save(tmp_path / "images.npy", x)
    said = run("raspberry_pi.py", "model.tflite", "images.npy", cwd=tmp_path)
    found = np.array([line.split() for line in said.splitlines()], float)
    expected = EarlyExitInterpreter(content).predict(x)
    assert len(set(expected.exits)) > 1
    assert np.mean(found[:, 0] == expected.classes) >= 0.97
    same = found[:, 2] == expected.exits
    assert np.mean(same) >= 0.97
    assert np.abs(found[:, 1] - expected.confidences)[same].max() < 0.1


def test_raspberry_pi_imports_nothing_of_ours() -> None:
    assert not re.search(
        r"^(import|from) eexit_tf", (EXAMPLES / "raspberry_pi.py").read_text(), re.M
    )
