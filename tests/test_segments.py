"""One file a stage: the same results as the one file that leaves early by itself."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from networks import int8_inputs, multi_exit, order_of
from static_cuts import scores_read_again

from eexit_tf.cli import cli
from eexit_tf.data import Samples
from eexit_tf.errors import UserError
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.describe import describe
from eexit_tf.tflite.evaluation import evaluate
from eexit_tf.tflite.interpreter import EarlyExitInterpreter
from eexit_tf.tflite.model import CompiledModel
from eexit_tf.tflite.runtimes import LiteRT, Tflm
from eexit_tf.tflite.segmented import SegmentedNetwork
from eexit_tf.tflite.segments import MANIFEST, Segments, split
from eexit_tf.tflite.splicing import splice, spliced

LEVELS = [20, 40, 90, 0]


def compiled(
    seed: int, share_head: bool, int8: bool = True, **options: bool | str
) -> CompiledModel:
    """A self-exiting network with four exits, with skips across its cuts."""
    multi = multi_exit(seed, 5, share_head, int8)
    order = order_of(multi)
    exits = [order[i] for i in (0, 1, 3, 4)]
    return describe(splice.splice(multi, exits, LEVELS, **options))


@pytest.fixture(scope="module")
def model() -> CompiledModel:
    return compiled(12, True)


@pytest.fixture(scope="module")
def folder(model: CompiledModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("segments") / "m.segments"
    split(model).save(path)
    return path


@pytest.mark.parametrize("runtime", [LiteRT, Tflm])
@pytest.mark.parametrize(("seed", "share_head"), [(10, False), (12, True)])
def test_segments_are_the_spliced_file(
    runtime: Callable, seed: int, share_head: bool, tmp_path: Path
) -> None:
    one = compiled(seed, share_head)
    split(one).save(tmp_path / "m.segments")
    x = int8_inputs(one.input.shape, 200)
    found = SegmentedNetwork(tmp_path / "m.segments" / MANIFEST, runtime).run(x)
    expected = runtime(one.content).run(x)
    assert len(set(expected["exit"])) > 2
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype


def test_float_networks() -> None:
    one = compiled(10, False, int8=False)
    x = int8_inputs(one.input.shape, 60).astype(np.float32) / 30
    expected = LiteRT(one.content).run(x)
    found = SegmentedNetwork(split(one)).run(x)
    np.testing.assert_array_equal(found["exit"], expected["exit"])
    np.testing.assert_array_equal(found["scores"], expected["scores"])


def test_margins_and_thresholds_at_run_time() -> None:
    one = compiled(12, True, confidence="margin")
    x = int8_inputs(one.input.shape, 200)
    expected = LiteRT(one.content).run(x)
    assert len(set(expected["exit"])) > 1
    given = compiled(12, True, confidence="margin", runtime_thresholds=True)
    for segments in (split(one), split(given)):
        found = SegmentedNetwork(segments).run(x)
        np.testing.assert_array_equal(found["exit"], expected["exit"])
        np.testing.assert_array_equal(found["scores"], expected["scores"])


@pytest.mark.parametrize("runtime", ["litert", "tflm"])
def test_the_interpreter_takes_a_manifest(model: CompiledModel, folder: Path, runtime: str) -> None:
    x = np.random.default_rng(0).normal(size=(50, *model.input.shape)).astype(np.float32)
    expected = EarlyExitInterpreter(model.content, runtime)
    for path in (folder, str(folder / MANIFEST)):
        found = EarlyExitInterpreter(path, runtime)
        assert (found.exits, found.thresholds) == (expected.exits, expected.thresholds)
        for name in ("scores", "exits", "confidences", "classes"):
            value = getattr(found.predict(x), name)
            np.testing.assert_array_equal(value, getattr(expected.predict(x), name))
    given = EarlyExitInterpreter(folder, runtime, [0.9, 0.1, 0.5])
    wanted = EarlyExitInterpreter(model.content, runtime, [0.9, 0.1, 0.5])
    assert given.thresholds == wanted.thresholds
    np.testing.assert_array_equal(given.predict(x).exits, wanted.predict(x).exits)


def test_tensors_need_no_names(model: CompiledModel) -> None:
    bare = flatbuffer.read(model.content)
    for tensor in (tensor for graph in bare.subgraphs for tensor in graph.tensors):
        if not schema.text(tensor.name).startswith("threshold_"):
            tensor.name = ""
    segments = split(describe(flatbuffer.write(bare)))
    x = int8_inputs(model.input.shape, 100)
    found, expected = SegmentedNetwork(segments).run(x), LiteRT(model.content).run(x)
    np.testing.assert_array_equal(found["exit"], expected["exit"])
    np.testing.assert_array_equal(found["scores"], expected["scores"])
    assert all(name for stage in segments.stages for name in (*stage.inputs, *stage.outputs))


def test_no_samples_and_one_exit() -> None:
    multi = multi_exit(10, 5, False)
    name = order_of(multi)[2]
    content = splice.splice(multi, [name], [0])
    network = SegmentedNetwork(split(describe(content)))
    x = int8_inputs((8, 8, 3), 9)[..., : schema.shape(network.model.subgraphs[0].tensors[0])[-1]]
    found, expected = network.run(x), LiteRT(content).run(x)
    np.testing.assert_array_equal(found["scores"], expected["scores"])
    assert set(found["exit"]) == {0}
    assert network.run(x[:0])["scores"].shape == (0, 5)
    assert network.run(x[:0])["exit"].shape == (0,)


def test_an_exit_without_operators_of_its_own_is_refused() -> None:
    content = splice.splice(scores_read_again(int8=False), ["late", "early"], [60, -128])
    with pytest.raises(UserError, match="exit early says what an earlier one has computed"):
        split(describe(content))


def test_every_weight_is_in_one_stage(model: CompiledModel) -> None:
    segments = split(model)
    operators = sum(len(flatbuffer.read(s.content).subgraphs[0].operators) for s in segments.stages)
    for stage in segments.stages:
        graphs = flatbuffer.read(stage.content).subgraphs
        assert len(graphs) == 1
    assert sum(len(s.content) for s in segments.stages) < 2 * len(model.content)
    assert operators > 4


def test_the_manifest_says_what_to_feed_to_which_stage(model: CompiledModel, folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["layout"] == "segments"
    assert [exit_["threshold_int8"] for exit_ in manifest["exits"]] == [20, 40, 90, -128]
    assert manifest["classes"] == list(model.classes)
    assert manifest["input"]["shape"] == list(model.input.shape)
    known = set(manifest["stages"][0]["inputs"])
    assert len(known) == 1
    for entry in manifest["stages"]:
        assert (folder / entry["file"]).is_file()
        assert known >= set(entry["inputs"])
        assert entry["scores"] in entry["outputs"]
        assert known.isdisjoint(entry["outputs"])
        known |= set(entry["outputs"])
    assert known == set(manifest["tensors"])
    assert {"shape", "type", "scale", "zero_point"} == set(manifest["tensors"][known.pop()])
    assert sorted(path.name for path in folder.iterdir()) == [
        MANIFEST,
        *(f"stage_{k}.tflite" for k in range(4)),
    ]


def test_saving_is_deterministic_and_replaces(model: CompiledModel, tmp_path: Path) -> None:
    folder = tmp_path / "m.segments"
    split(model).save(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "stage_9.tflite").write_bytes(b"of an earlier network")
    split(model).save(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["m.segments"]
    Segments.load(folder).save(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_nothing_else_is_replaced(model: CompiledModel, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(UserError, match="not a folder of segments"):
        split(model).save(tmp_path / "mine")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "thesis.txt"]
    split(model).save(tmp_path / "m.segments")
    (tmp_path / "m.segments" / "stage_0_vela.tflite").write_bytes(b"compiled for the NPU")
    with pytest.raises(UserError, match=r"stage_0_vela.tflite would be lost .* move it away"):
        split(model).save(tmp_path / "m.segments")
    assert (tmp_path / "m.segments" / "stage_0_vela.tflite").exists()


def test_thresholds_can_be_given(model: CompiledModel) -> None:
    x = int8_inputs(model.input.shape, 100)
    network = SegmentedNetwork(split(model), thresholds=[127, -20, 90, 0])
    assert network.thresholds == (127, -20, 90, -128)
    found = network.run(x)
    expected = LiteRT(spliced.retune(model.content, [127, -20, 90, 0])).run(x)
    np.testing.assert_array_equal(found["exit"], expected["exit"])
    with pytest.raises(UserError, match="expected 4 thresholds"):
        SegmentedNetwork(split(model), thresholds=[1, 2])


def _edit(folder: Path, change: Callable[[dict], object]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def _move_zero(folder: Path) -> None:
    """Have a stage take what comes before it as other numbers."""
    path = folder / "stage_1.tflite"
    model = flatbuffer.read(path.read_bytes())
    main = model.subgraphs[0]
    main.tensors[main.inputs[0]].quantization.zeroPoint = np.array([7])
    path.write_bytes(flatbuffer.write(model))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    _edit(folder, lambda manifest: manifest["stages"][1].update(sha256=digest))


def _edit_threshold(folder: Path, value: object) -> None:
    _edit(folder, lambda manifest: manifest["exits"][0].update(threshold_int8=value))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: (f / "stage_1.tflite").unlink(), "cannot read"),
        (lambda f: (f / MANIFEST).unlink(), "cannot read"),
        (lambda f: (f / MANIFEST).write_text("{"), "is not a manifest of segments"),
        (lambda f: (f / MANIFEST).write_text("[]"), "is not a manifest of segments"),
        (lambda f: shutil.copy(f / "stage_0.tflite", f / "stage_1.tflite"), "not the file that"),
        (lambda f: _edit(f, lambda m: m.pop("exits")), "no 'exits'"),
        (lambda f: _edit(f, lambda m: m.update(schema=2)), "schema 1"),
        (lambda f: _edit(f, lambda m: m.update(layout="one file")), "layout 'segments'"),
        (lambda f: _edit(f, lambda m: m.update(stages=[])), "no stages"),
        (lambda f: _edit(f, lambda m: m.update(stages=[3])), "is not a manifest"),
        (lambda f: _edit(f, lambda m: m["exits"].pop()), "expected 4 thresholds"),
        (lambda f: _edit_threshold(f, np.inf), "expected 4 thresholds"),
        (lambda f: _edit_threshold(f, 0.5), "expected 4 thresholds"),
        (lambda f: _edit_threshold(f, "9"), "is not a manifest"),
        (lambda f: _edit(f, lambda m: m["stages"].reverse()), "takes .* no such tensor"),
        (_move_zero, "takes .* but before it there is .'shape'"),
        (lambda f: _edit(f, lambda m: m["stages"][1].update(scores="image")), "the manifest says"),
        (lambda f: _edit(f, lambda m: m["stages"][2]["inputs"].pop()), "the manifest says"),
    ],
)
def test_damaged_folders_are_refused(
    folder: Path, change: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    change(copy)
    with pytest.raises(UserError, match=said):
        SegmentedNetwork(copy / MANIFEST)


def test_the_command_writes_segments(tmp_path: Path) -> None:
    multi = multi_exit(12, 3, True)
    (tmp_path / "multi.tflite").write_bytes(multi)
    arguments = [str(tmp_path / "multi.tflite"), "--output", str(tmp_path / "m.tflite")]
    arguments = ["compile", *arguments, "--thresholds", "0.6,0.7", "--layout", "segments"]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    flash = sum(file.stat().st_size for file in (tmp_path / "m.segments").glob("*.tflite"))
    assert f"{tmp_path / 'm.segments'}: exits" in done.output
    assert all(f" {name} (" in done.output for name in order_of(multi))
    assert f"; {flash:,} bytes of flash in 3 files\n" in done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.segments", "multi.tflite"]
    assert EarlyExitInterpreter(tmp_path / "m.segments").thresholds == (26, 52, -128)
    done = CliRunner().invoke(cli, ["retune", str(tmp_path / "m.segments"), "--thresholds", "0,0"])
    assert done.exit_code == 2
    assert "`evaluate` runs a network's stages, retune takes its one .tflite" in done.output


@pytest.mark.parametrize("options", [{}, {"confidence": "margin"}, {"int8": False}])
def test_segments_are_evaluated_like_the_one_file(options: dict, tmp_path: Path) -> None:
    one = compiled(12, True, **options)
    split(one).save(tmp_path / "m.segments")
    x = int8_inputs(one.input.shape, 120)
    samples = Samples(x if one.input.scale else x.astype(np.float32) / 32, np.arange(120) % 5)
    found = evaluate(one, samples)
    assert sum(exit_.share > 0 for exit_ in found.exits) > 1
    for path in (tmp_path / "m.segments", tmp_path / "m.segments" / MANIFEST):
        assert evaluate(path, samples) == found


def test_the_command_evaluates_segments(folder: Path, model: CompiledModel, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(100, *model.input.shape)), np.arange(100) % 5
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])
    arguments = ["evaluate", str(folder), "--dataset", str(tmp_path / "d.npz")]
    done = CliRunner().invoke(cli, [*arguments, "--json", str(tmp_path / "said.json")])
    assert done.exit_code == 0, done.output
    said = json.loads((tmp_path / "said.json").read_text())
    assert said["static"]["macs"] == model.static_macs
    assert [exit_["macs"] for exit_ in said["exits"]] == [exit_.macs for exit_ in model.exits]


@pytest.mark.parametrize("change", [{}, {"static_macs": np.inf}])
def test_without_costs_there_is_nothing_to_evaluate(
    change: dict, folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    card = json.loads((copy / MANIFEST).read_text())
    del card["static_macs"]
    (copy / MANIFEST).write_text(json.dumps(card | change))
    samples = Samples(np.zeros((1, *card["input"]["shape"]), np.float32), np.zeros(1, int))
    with pytest.raises(UserError, match="does not say what an exit costs"):
        evaluate(copy, samples)
