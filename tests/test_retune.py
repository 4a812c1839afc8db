"""Other thresholds for a compiled file: patched in place, or searched, exactly."""

import hashlib
import itertools
import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from click.testing import CliRunner
from lines import Lines
from networks import multi_exit

from eexit_tf.bounds import Bounds
from eexit_tf.cli import cli
from eexit_tf.data import load
from eexit_tf.errors import UserError
from eexit_tf.outputs import ExitOutputs
from eexit_tf.tflite import costs, flatbuffer
from eexit_tf.tflite.compiler import compile_file
from eexit_tf.tflite.evaluation import evaluate
from eexit_tf.tflite.inputs import quantise
from eexit_tf.tflite.retuning import retune as run
from eexit_tf.tflite.runtimes import Tflm
from eexit_tf.tflite.splicing import spliced
from eexit_tf.tflite.units import in_units_of
from eexit_tf.thresholds import best_thresholds, score_thresholds


def random_outputs(seed: int, exits: int, samples: int, distinct: int) -> ExitOutputs:
    """Exits that get better, with confidences that say something, of few different levels."""
    rng = np.random.default_rng(seed)
    steps = np.sort(rng.choice(256, distinct, replace=False))
    if seed % 2:
        steps[distinct // 2 :] = 255  # no threshold keeps these there
    hard = rng.random(samples)
    skill = np.linspace(0.5, 0.9, exits)[:, None]
    right = rng.random((exits, samples)) < np.clip(1.4 * skill - 0.6 * hard, 0, 1)
    sure = np.clip(0.7 - 0.5 * hard + 0.2 * right + rng.normal(0, 0.15, right.shape), 0, 0.999)
    return ExitOutputs(steps[(sure * distinct).astype(int)].astype(np.uint8), right)


def every_way(outputs: ExitOutputs, leave_macs: tuple[int, ...]) -> list[tuple[int, int]]:
    """Right answers and MACs of every way to set thresholds, by trying."""
    useful = [sorted({0, 255, *map(int, row)}) for row in outputs.levels[:-1]]
    found = []
    for levels in itertools.product(*useful):
        score = score_thresholds(outputs, (*levels, 0), leave_macs, 0)
        found.append((score.correct, score.total_macs))
    return found


@pytest.mark.parametrize("exits", [1, 2, 3, 4])
def test_the_search_finds_the_best_of_all_ways(exits: int) -> None:
    for seed in range(6):
        outputs = random_outputs(seed, exits, samples=60, distinct=7 if exits == 4 else 12)
        leave_macs = tuple(np.cumsum(np.random.default_rng(seed).integers(5, 50, exits)).tolist())
        ways = every_way(outputs, leave_macs)
        cheapest, dearest = (pick(total for _, total in ways) / 60 for pick in (min, max))
        assert best_thresholds(outputs, leave_macs, cheapest - 0.01) is None
        for part in (0, 0.2, 0.5, 1):
            budget = cheapest + part * (dearest - cheapest)
            found = best_thresholds(outputs, leave_macs, budget)
            assert found is not None
            assert found.gap == 0
            levels = found.levels
            assert len(levels) == exits
            assert levels[-1] == 0
            score = score_thresholds(outputs, levels, leave_macs, 0)
            fitting = [way for way in ways if way[1] / 60 <= budget]
            assert score.mean_macs <= budget
            expected = max(fitting, key=lambda way: (way[0], -way[1]))
            assert (score.correct, score.total_macs) == expected
            hasty = best_thresholds(outputs, leave_macs, budget, effort=0)
            assert hasty is not None
            less = score_thresholds(outputs, hasty.levels, leave_macs, 0)
            assert less.mean_macs <= budget
            assert 0 <= score.correct - less.correct <= round(60 * hasty.gap)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a multi-exit file and data that its exits partly agree with."""
    folder = tmp_path_factory.mktemp("retune")
    multi = multi_exit(1, 3)
    (folder / "multi.tflite").write_bytes(multi)
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 8, 8, 2)) * rng.uniform(0.2, 3, (300, 1, 1, 1))
    x = np.clip(x, -3.9, 3.9).astype(np.float32)
    model = flatbuffer.read(multi)
    said = Tflm(multi).run(quantise(model, x / 4))
    answers = np.stack([said[name].argmax(axis=1) for name in costs.order_by_cost(model)])
    y = answers[rng.choice(3, 300, p=[0.2, 0.2, 0.6]), np.arange(300)]
    y = np.where(rng.random(300) < 0.2, rng.integers(0, 5, 300), y)
    np.savez(folder / "data.npz", x_train=x, y_train=y)
    return folder


def retune(*arguments: str | Path) -> str:
    """What the command line says; raises what it would refuse with."""
    done = CliRunner().invoke(cli, [str(a) for a in ("retune", *arguments)])
    if done.exit_code:
        assert done.exit_code == 2, done.output
        raise UserError(" ".join(done.output.split()))
    return done.output


def compiled(folder: Path, target: Path, **options: Any) -> Path:
    path = target / "model.tflite"
    made = compile_file(folder / "multi.tflite", [0.9, 0.8], **options)
    replace(made, quantization="ptq").save(path)
    card = json.loads(path.with_suffix(".json").read_text())
    card["input"]["divisor"] = 4.0
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


def card_of(path: Path) -> dict[str, Any]:
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    return card


@pytest.mark.parametrize("runtime_thresholds", [False, True])
def test_given_thresholds_are_patched_and_said_in_the_card(
    place: Path, tmp_path: Path, runtime_thresholds: bool
) -> None:
    path = compiled(place, tmp_path, runtime_thresholds=runtime_thresholds)
    before, first = path.read_bytes(), card_of(path)
    said = retune(path, "--thresholds", "0.25,0.5")
    assert "thresholds 0.25, 0.5" in said
    assert spliced.inspect(path.read_bytes()).thresholds == (-64, 0, -128)
    assert len(path.read_bytes()) == len(before)
    card = card_of(path)
    assert [exit_["threshold_int8"] for exit_ in card["exits"]] == [-64, 0, -128]
    assert [exit_["threshold"] for exit_ in card["exits"]] == [0.25, 0.5, 0.0]
    assert [exit_["share"] for exit_ in card["exits"]] == [None] * 3
    assert (card["mean_macs"], card["val_accuracy"]) == (None, None)
    for kept in ("input", "classes", "quantization", "static_macs", "arena_bytes", "confidence"):
        assert card[kept] == first[kept]
    retune(path, "--thresholds", "0.9,0.8")
    assert path.read_bytes() == before


def test_another_output_leaves_the_file_alone(place: Path, tmp_path: Path) -> None:
    path = compiled(place, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    other = tmp_path / "other.tflite"
    retune(path, "--thresholds", "0.1,0.2", "--output", other)
    assert spliced.inspect(other.read_bytes()).thresholds == (26 - 128, 52 - 128, -128)
    assert card_of(other)["input"]["divisor"] == 4.0
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.name in before} == before


def test_no_card_is_made_up(place: Path, tmp_path: Path) -> None:
    path = compiled(place, tmp_path)
    path.with_suffix(".json").write_text('{"mine": true}')
    retune(path, "--thresholds", "0.1,0.2")
    assert path.with_suffix(".json").read_text() == '{"mine": true}'
    path.with_suffix(".json").unlink()
    retune(path, "--thresholds", "0.1,0.2")
    assert [p.name for p in tmp_path.iterdir()] == ["model.tflite"]


def test_a_card_in_the_outputs_place_becomes_the_outputs(place: Path, tmp_path: Path) -> None:
    path, other = compiled(place, tmp_path), tmp_path / "other.tflite"
    retune(path, "--thresholds", "0.1,0.2", "--output", other)
    path.with_suffix(".json").unlink()
    retune(path, "--thresholds", "0.3,0.4", "--output", other)
    assert card_of(other)["input"]["divisor"] == 1.0  # the file's own card would know
    assert [exit_["threshold_int8"] for exit_ in card_of(other)["exits"]] == [-51, -25, -128]


def test_where_a_network_comes_from_stays_in_its_card(place: Path, tmp_path: Path) -> None:
    path, origin = compiled(place, tmp_path), {"dataset": "mine", "seed": 3}
    path.with_suffix(".json").write_text(json.dumps(card_of(path) | {"origin": origin}))
    retune(path, "--thresholds", "0.1,0.2")
    assert card_of(path)["origin"] == origin


def test_a_search_that_stopped_early_says_what_it_may_have_missed(
    place: Path, tmp_path: Path
) -> None:
    path, lines = compiled(place, tmp_path), Lines()
    budget = Bounds(max_mean_macs=card_of(path)["exits"][1]["macs"])
    samples = in_units_of(path, load(str(place / "data.npz"))).validation
    run(path, calibrate_on=samples, bounds=budget, reporter=lines)
    assert lines.said == []
    hasty = partial(best_thresholds, effort=0)
    with patch("eexit_tf.tflite.retuning.best_thresholds", hasty):
        run(path, calibrate_on=samples, bounds=budget, reporter=lines)
    (said,) = lines.said
    assert re.fullmatch(r"the search was stopped; no .* are better by more than \d+.\d\d%", said)


def test_thresholds_or_samples_within_a_budget_are_needed(place: Path, tmp_path: Path) -> None:
    path, samples = compiled(place, tmp_path), load(str(place / "data.npz")).validation
    for given in ({}, {"thresholds": [0.1, 0.2], "calibrate_on": samples}):
        with pytest.raises(UserError, match="give either thresholds, or samples"):
            run(path, **given)
    with pytest.raises(UserError, match="needs a bound on the mean MACs"):
        run(path, calibrate_on=samples)


def test_a_card_left_behind_by_an_interrupted_retuning_is_taken(
    place: Path, tmp_path: Path
) -> None:
    path = compiled(place, tmp_path)
    path.write_bytes(spliced.retune(path.read_bytes(), [1, 2, 0]))  # killed before the card
    retune(path, "--thresholds", "0.1,0.2")
    assert card_of(path)["input"]["divisor"] == 4.0


@pytest.mark.parametrize(
    "options", [{}, {"confidence": "margin"}, {"confidence": "margin", "runtime_thresholds": True}]
)
def test_a_search_promises_what_evaluation_finds(
    place: Path, tmp_path: Path, options: dict
) -> None:
    path = compiled(place, tmp_path, **options)
    validation = load(str(place / "data.npz")).validation
    exits = card_of(path)["exits"]
    accuracies = []
    for budget in (exits[0]["macs"] + 1, exits[1]["macs"], exits[2]["macs"]):
        said = retune(path, "--max-mean-macs", str(budget), "--dataset", place / "data.npz")
        card = card_of(path)
        for runtime in ("litert", "tflm"):
            found = evaluate(path, validation, runtime=runtime)
            assert (card["val_accuracy"], card["mean_macs"]) == (found.accuracy, found.mean_macs)
            assert [e["share"] for e in card["exits"]] == [e.share for e in found.exits]
        assert card["mean_macs"] <= budget
        assert f"{card['val_accuracy']:.2%} at {card['mean_macs']:,.0f} mean MACs" in said
        accuracies.append(card["val_accuracy"])
    assert accuracies == sorted(accuracies)
    assert accuracies[0] < accuracies[-1]


def test_float_networks_are_searched_as_exactly(place: Path, tmp_path: Path) -> None:
    multi = tmp_path / "multi.tflite"
    multi.write_bytes(multi_exit(1, 3, int8=False))
    path = compiled(tmp_path, tmp_path)
    assert card_of(path)["input"] == {
        "shape": [8, 8, 2],
        "scale": None,
        "zero_point": None,
        "divisor": 4.0,
    }
    budget = str(card_of(path)["exits"][1]["macs"])
    retune(path, "--max-mean-macs", budget, "--dataset", place / "data.npz")
    found = evaluate(path, load(str(place / "data.npz")).validation)
    card = card_of(path)
    assert (card["val_accuracy"], card["mean_macs"]) == (found.accuracy, found.mean_macs)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "give either --thresholds, or --max-mean-macs and --dataset"),
        ("--thresholds 0.5,0.5 --max-mean-macs 5k --dataset {data}", "give either"),
        ("--thresholds 0.5,0.5 --min-accuracy 0.1", "give either"),
        ("--max-mean-macs 5k", "needs both --max-mean-macs and --dataset"),
        ("--dataset {data}", "needs both --max-mean-macs and --dataset"),
        ("--thresholds 0.5", "has 3 exits .* expected 2 thresholds, got 1"),
        ("--thresholds 0.5,1.5", "from 0 to 1, got 1.5"),
        ("--thresholds 0.5,x", "is not a list of numbers"),
        ("--thresholds 0.5,0.5 --output m.bin", "must end in .tflite"),
        ("--max-mean-macs 5 --dataset {data}", "no thresholds keep .*at the first exit costs"),
        ("--max-mean-macs 1M --dataset {data} --min-accuracy 1", "best within that cost reach"),
        ("--max-mean-macs 1M --dataset nope", "unknown data set 'nope'"),
    ],
)
def test_wrong_use_is_refused_and_changes_nothing(
    place: Path, tmp_path: Path, arguments: str, said: str
) -> None:
    path = compiled(place, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(UserError, match=said):
        retune(path, *arguments.format(data=place / "data.npz").split())
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_other_files_are_refused(place: Path, tmp_path: Path) -> None:
    path = compiled(place, tmp_path)
    with pytest.raises(UserError, match="expected a self-exiting"):
        retune(place / "multi.tflite", "--thresholds", "0.5,0.5")
    with pytest.raises(UserError, match="cannot read"):
        retune(tmp_path / "none.tflite", "--thresholds", "0.5,0.5")
    path.with_suffix(".json").write_text(json.dumps({**card_of(path), "sha256": "0"}))
    with pytest.raises(UserError, match="is the card of another file"):
        retune(path, "--thresholds", "0.5,0.5")
    path.with_suffix(".json").write_text('{"sha256": "0", "input"')
    with pytest.raises(UserError, match=r"is not JSON \(truncated or damaged\?\)"):
        retune(path, "--thresholds", "0.5,0.5")
