"""Exported projects hold the file to the byte, compile, and say in C++ what the file says."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from ai_edge_litert import schema_py_generated as fb
from click.testing import CliRunner
from networks import multi_exit

from eexit_tf.cli import cli
from eexit_tf.cli.export import FORMATS as OFFERED
from eexit_tf.errors import UserError
from eexit_tf.tflite import costs, cpp, export, schema, scratch, splice
from eexit_tf.tflite.exporter import MARKER, load
from eexit_tf.tflite.inputs import quantise
from eexit_tf.tflite.model import CompiledModel
from eexit_tf.tflite.operator_checks import RULES
from eexit_tf.tflite.projects import FORMATS

STAND_IN = Path(__file__).parent / "tflm_stand_in"
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror")
STRICT = (*WARNINGS, "-fno-exceptions", "-fno-rtti")
LABELS = ("cat", 'a "dog"', "Kröte \\ ??/", "12", "line\nend")
DIVISOR = 1.7

arm = pytest.mark.skipif(shutil.which("arm-none-eabi-g++") is None, reason="no arm-none-eabi-g++")
host = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
real = pytest.mark.skipif("EEXIT_TFLM_DIR" not in os.environ, reason="no EEXIT_TFLM_DIR")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-exiting file with three exits and its card."""
    multi = multi_exit(12, 5, True)
    order = costs.order_by_cost(schema.read(multi))[1:4]
    path = tmp_path_factory.mktemp("network") / "net.tflite"
    path.write_bytes(splice.splice(multi, order, [55, -3, 0], labels=LABELS))
    describe_with_divisor(path)
    return path


def describe_with_divisor(path: Path) -> None:
    card = {"sha256": cpp.values(load(path), schema.read(path.read_bytes()), "net")["sha256"]}
    path.with_suffix(".json").write_text(json.dumps({**card, "input": {"divisor": DIVISOR}}))


@pytest.fixture(scope="module")
def card(network: Path) -> CompiledModel:
    """The same, loaded."""
    return load(network)


@pytest.fixture(scope="module")
def projects(network: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An export in every format."""
    folder = tmp_path_factory.mktemp("projects")
    for kind in FORMATS:
        export(network, folder / kind, format=kind)
    return {kind: folder / kind for kind in FORMATS}


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


def programs(project: Path) -> list[Path]:
    """C++ files that are compiled: examples and the array."""
    return [path for path in project.rglob("*") if path.suffix in (".cc", ".cpp", ".ino")]


def compile_all(
    compiler: Sequence[str], project: Path, into: Path, includes: Sequence[Path], std: str = "c++17"
) -> list[Path]:
    objects = []
    for source in programs(project):
        objects.append(into / f"{source.name}.o")
        given = ["-x", "c++", "-include", "Arduino.h"] if source.suffix == ".ino" else []
        folders = [part for folder in includes for part in ("-isystem", str(folder))]
        command = [*compiler, f"-std={std}", *STRICT, *folders, "-I", str(network_folder(project))]
        subprocess.run([*command, *given, "-c", source, "-o", objects[-1]], check=True, timeout=120)
    return objects


def test_formats_are_those_that_the_command_offers() -> None:
    assert tuple(FORMATS) == OFFERED


@pytest.mark.parametrize("kind", FORMATS)
def test_the_array_is_the_file(projects: dict[str, Path], network: Path, kind: str) -> None:
    (source,) = projects[kind].rglob("net_model_data.c*")
    text = source.read_text()
    inside = re.search(
        r"alignas\(16\) const unsigned char g_net_model_data\[\] = \{(.*?)\}", text, re.S
    )
    assert inside is not None
    assert (
        bytes(int(byte, 16) for byte in inside[1].replace(",", " ").split()) == network.read_bytes()
    )
    assert f"const unsigned int g_net_model_data_size = {len(network.read_bytes())};" in text
    header = source.with_suffix(".h").read_text()
    assert "extern const unsigned char g_net_model_data[];" in header
    assert "extern const unsigned int g_net_model_data_size;" in header


def test_the_resolver_has_exactly_the_operators_of_the_file(
    projects: dict[str, Path], network: Path
) -> None:
    model = schema.read(network.read_bytes())
    names = {fb.BuiltinOperator.__dict__[name]: name for name in RULES}
    needed = {names[max(c.builtinCode, c.deprecatedBuiltinCode)] for c in model.operatorCodes}
    assert {"IF", "REDUCE_MAX", "GREATER_EQUAL"} <= needed
    text = (network_folder(projects["cc"]) / "net_model.h").read_text()
    added = re.findall(r"resolver\.(Add\w+)\(\)", text)
    assert sorted(added) == sorted(map(cpp.adder, needed))
    assert f"MicroMutableOpResolver<{len(needed)}>" in text


def test_tflm_adds_every_operator_that_a_file_may_have() -> None:
    """The stand-in's list was written from TFLM's own header."""
    header = STAND_IN / "tensorflow/lite/micro/micro_mutable_op_resolver.h"
    known = set(re.findall(r"TfLiteStatus (Add\w+)\(", header.read_text()))
    assert {cpp.adder(name) for name in RULES} <= known


@real
def test_the_real_tflm_adds_every_operator_that_a_file_may_have() -> None:
    tflm = Path(os.environ["EEXIT_TFLM_DIR"])
    header = (tflm / "tensorflow/lite/micro/micro_mutable_op_resolver.h").read_text()
    for name in RULES:
        assert re.search(
            rf"{cpp.adder(name)}\([^{{]*\{{\s*return AddBuiltin\(BuiltinOperator_{name},", header
        )


def test_the_same_file_gives_the_same_bytes(
    projects: dict[str, Path], network: Path, tmp_path: Path
) -> None:
    shutil.copy(network, tmp_path / "other.tflite")
    shutil.copy(network.with_suffix(".json"), tmp_path / "other.json")
    for kind in FORMATS:
        export(tmp_path / "other.tflite", tmp_path / kind, format=kind, name="net")
        assert everything(tmp_path / kind) == everything(projects[kind])


def test_nothing_is_left_to_fill_in(projects: dict[str, Path]) -> None:
    for project in projects.values():
        for path, content in everything(project).items():
            assert "NAME" not in path
            assert not re.search(rb"@\w+@|\bNAME\b", content), path


def test_the_arena_has_room_for_what_was_measured_and_for_scratch(
    projects: dict[str, Path], card: CompiledModel
) -> None:
    model = schema.read(card.content)
    needs = {"cc": scratch.cmsis_nn_bytes(model), "esp-idf": scratch.esp_nn_bytes(model)}
    assert all(needs.values())
    for kind, margin in needs.items():
        text = (network_folder(projects[kind]) / "net_model.h").read_text()
        arena = int(re.search(r"kArenaBytes = (\d+);", text)[1])
        assert f"in bytes: {card.arena_bytes} + {margin}." in text
        assert arena % 16 == 0
        assert 0 <= arena - card.arena_bytes - margin < 16


def test_scratch_of_known_layers() -> None:
    """Against CMSIS-NN's and ESP-NN's own formulas, worked out by hand for one layer each."""

    def one_layer(kind: str, *shapes: tuple[int, ...]) -> fb.ModelT:
        code = getattr(fb.BuiltinOperator, kind)
        tensors = [fb.TensorT(shape=np.array(shape, np.int32)) for shape in shapes]
        last = len(shapes) - 1
        op = fb.OperatorT(opcodeIndex=0, inputs=list(range(last)), outputs=[last])
        graph = fb.SubGraphT(tensors=tensors, operators=[op])
        return fb.ModelT(operatorCodes=[fb.OperatorCodeT(code, None, 1, code)], subgraphs=[graph])

    image, same = (1, 32, 32, 16), (1, 32, 32, 16)
    convolution = one_layer("CONV_2D", image, (16, 3, 3, 16), same)
    assert scratch.cmsis_nn_bytes(convolution) == 4 * 144
    # On an ESP32-S3: the padded image twice (to the sides, then to the lower right), the
    # weights twice, sums a channel, alignment.
    s3 = 34 * 34 * 16 + 34 * 34 * 16 + 2 * 16 * 9 * 16 + 4 * 16 + 64
    assert s3 <= scratch.esp_nn_bytes(convolution) <= 1.5 * s3
    depthwise = one_layer("DEPTHWISE_CONV_2D", image, (1, 3, 3, 16), same)
    assert scratch.cmsis_nn_bytes(depthwise) == 4 * 124 * 9
    assert scratch.esp_nn_bytes(depthwise) >= 9 * 16 + 34 * 34 * 16 + 16
    few = one_layer("DEPTHWISE_CONV_2D", (1, 32, 32, 5), (1, 3, 3, 5), (1, 32, 32, 5))
    assert scratch.esp_nn_bytes(few) >= 2 * 72 + 2 * 8192 + 8192 + 3 * 32 + 16
    dense = one_layer("FULLY_CONNECTED", (1, 64), (10, 64), (1, 10))
    assert scratch.cmsis_nn_bytes(dense) >= 40
    assert scratch.cmsis_nn_bytes(one_layer("RELU", image, same)) == 0


@arm
@pytest.mark.parametrize("kind", FORMATS)
def test_projects_compile_for_arm_without_heap_or_exceptions(
    projects: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    target = ["arm-none-eabi-g++", "-Os", "-mcpu=cortex-m4", "-mthumb"]
    objects = compile_all(target, projects[kind], tmp_path, [STAND_IN])
    said = subprocess.run(
        ["arm-none-eabi-nm", "--undefined-only", "--format=just-symbols", *objects],
        capture_output=True,
        text=True,
        check=True,
    )
    asked = {line for line in said.stdout.split() if not line.endswith(":")}
    assert not asked & {"malloc", "free", "_Znwj", "_Znaj", "__cxa_throw", "__cxa_guard_acquire"}


@real
@arm
@pytest.mark.parametrize("kind", FORMATS)
def test_projects_compile_against_the_real_tflm(
    projects: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    tflm = Path(os.environ["EEXIT_TFLM_DIR"])
    downloads = tflm / "tensorflow/lite/micro/tools/make/downloads"
    includes = [tflm, downloads / "flatbuffers/include", downloads / "gemmlowp", downloads / "ruy"]
    arduino = [STAND_IN] if kind == "arduino" else []
    target = ["arm-none-eabi-g++", "-mcpu=cortex-m55", "-mthumb", "-DTF_LITE_STATIC_MEMORY"]
    compile_all(target, projects[kind], tmp_path, [*includes, *arduino])


@host
def test_arduino_cores_with_cpp14_take_the_sketch(
    projects: dict[str, Path], tmp_path: Path
) -> None:
    compile_all(["g++"], projects["arduino"], tmp_path, [STAND_IN], "gnu++14")


@host
def test_cpp_hands_back_what_the_network_says(
    projects: dict[str, Path], network: Path, card: CompiledModel, tmp_path: Path
) -> None:
    """Built and run on this computer, on a stand-in that hands its input on."""
    sources = network_folder(projects["cc"])
    command = ["g++", "-std=c++17", *STRICT, "-fsanitize=address,undefined", "-isystem", STAND_IN]
    files = [STAND_IN / "uses_network.cc", sources / "net_model_data.cc"]
    program = tmp_path / "program"
    subprocess.run([*command, "-I", sources, *files, "-o", program], check=True, timeout=120)
    done = subprocess.run([program], capture_output=True, check=True, timeout=60)
    content = network.read_bytes()
    assert done.stdout.endswith(content)
    lines = done.stdout[: -len(content)].decode().split("\n")
    nothing = "exit -1, class -1, probability 0.000000, scores 0"
    assert lines[:4] == [
        f"unready: the network is not initialised, {nothing}",
        "input 0, used 0",
        f"init: ok, {nothing}",
        "input 1, used 1024",
    ]
    said = "\n".join(lines[4:])
    for k, exit_ in enumerate(card.exits):
        expected = (
            f"{exit_.at}: ok, exit {k}, class {k + 1}, "
            f"probability {(228 + k) / 256:.6f}, scores 1\n"
            f"label {LABELS[k + 1]}, threshold {[55, -3, -128][k]}\n"
        )
        assert said.startswith(expected)
        said = said[len(expected) :]
    lines = said.split("\n")
    wrong = "the array is not the network that was described"
    assert lines[0] == f"no such exit: {wrong}, {nothing}"
    assert lines[1] == "again: ok, exit 0, class 0, probability 0.500000, scores 1"
    assert lines[2] == f"failing: running the network failed, {nothing}"
    assert lines[3] == f"init again: ok, {nothing}"
    small = "TFLM cannot set the network up in the arena (is it too small?)"
    assert lines[4] == f"given: {small}, {small}, ok"
    assert lines[5] == f"other: {wrong}"
    raw = [np.float32(-600)]
    while raw[-1] < 600:
        raw.append(raw[-1] + np.float32(0.37))
    x = np.array(raw[:-1], np.float32) / np.float32(DIVISOR)
    quantised = quantise(schema.read(content), x)
    assert lines[6].split()[1:] == [*map(str, quantised), "-128"]
    assert lines[7] == f"data {len(content)} 0"


def with_thresholds_as_input(content: bytes) -> bytes:
    """A network that has an input for thresholds (and does not use it)."""
    model = schema.read(content)
    main = model.subgraphs[0]
    exits = len(splice.exits(content))
    main.tensors.append(
        fb.TensorT(
            shape=np.array([exits - 1], np.int32),
            type=fb.TensorType.INT8,
            name="thresholds",
            quantization=fb.QuantizationParametersT(
                scale=np.array([1 / 256], np.float32), zeroPoint=np.array([-128])
            ),
        )
    )
    main.inputs = np.array([*main.inputs, len(main.tensors) - 1], np.int32)
    model.signatureDefs[0].inputs.append(fb.TensorMapT("thresholds", len(main.tensors) - 1))
    model.metadata = [e for e in model.metadata if schema.text(e.name) != "OfflineMemoryAllocation"]
    return schema.write(model)


@host
def test_thresholds_that_are_an_input_can_be_set(network: Path, tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(with_thresholds_as_input(network.read_bytes()))
    export(tmp_path / "net.tflite", tmp_path / "project", format="cc")
    sources = network_folder(tmp_path / "project")
    command = ["g++", "-std=c++17", *STRICT, "-isystem", STAND_IN, "-I", sources]
    files = [STAND_IN / "sets_thresholds.cc", sources / "net_model_data.cc"]
    subprocess.run([*command, *files, "-o", tmp_path / "program"], check=True, timeout=120)
    done = subprocess.run([tmp_path / "program"], capture_output=True, text=True, check=True)
    # The stand-in takes the exit whose number is the sum of the thresholds.
    assert done.stdout.splitlines() == [
        "ok 55 -3",
        "ok 1",
        "ok 1",
        "ok 0 -127",
        "the array is not the network that was described",
    ]


@host
def test_thresholds_that_are_constants_cannot_be_set(
    projects: dict[str, Path], tmp_path: Path
) -> None:
    sources = network_folder(projects["cc"])
    command = ["g++", "-std=c++17", "-isystem", STAND_IN, "-I", sources]
    source = STAND_IN / "sets_thresholds.cc"
    done = subprocess.run(
        [*command, "-c", source, "-o", tmp_path / "o"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "compile it with --runtime-thresholds to set them here" in done.stderr


@host
@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake")
def test_cmake_builds_the_plain_project_and_its_example_runs(
    projects: dict[str, Path], tmp_path: Path
) -> None:
    stand_in, library = tmp_path / "stand_in.cc", tmp_path / "libtensorflow-microlite.a"
    stand_in.write_text(
        '#include "tensorflow/lite/micro/micro_interpreter.h"\n'
        "StandIn stand_in = {128, 5, 1024, false, 0, 2};\n"
    )
    made = stand_in.with_suffix(".o")
    subprocess.run(["g++", "-isystem", STAND_IN, "-c", stand_in, "-o", made], check=True)
    subprocess.run(["ar", "rcs", library, made], check=True)
    build = ["cmake", "-B", tmp_path / "build", "-S", projects["cc"], f"-DTFLM_INCLUDE={STAND_IN}"]
    without = subprocess.run(build, capture_output=True, text=True, check=False)
    assert without.returncode != 0
    assert "Set TFLM_INCLUDE and TFLM_LIB" in without.stderr
    subprocess.run([*build, f"-DTFLM_LIB={library}"], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", tmp_path / "build"], check=True, capture_output=True)
    example = tmp_path / "build" / "net_example"
    done = subprocess.run([example], capture_output=True, text=True, check=True, timeout=60)
    name = load_exits(projects["cc"])[2]
    assert done.stdout == f"class cat, 45 % sure, left at exit 2 ({name})\n"


def load_exits(project: Path) -> list[str]:
    text = (network_folder(project) / "net_model.h").read_text()
    return re.findall(r'"(block\d)"', text)


def test_each_project_is_laid_out_as_its_ecosystem_wants(projects: dict[str, Path]) -> None:
    arduino = dict(
        line.split("=", 1)
        for line in (projects["arduino"] / "library.properties").read_text().splitlines()
    )
    assert {"name", "version", "author", "maintainer", "sentence", "paragraph"} <= set(arduino)
    assert re.fullmatch(r"\d+\.\d+\.\d+", arduino["version"])
    assert arduino["depends"] == "Chirale_TensorFLowLite"
    assert (projects["arduino"] / "src" / arduino["includes"]).is_file()
    assert (projects["arduino"] / "examples/net_classify/net_classify.ino").is_file()

    component = projects["esp-idf"] / "components/net_network"
    manifest = yaml.safe_load((component / "idf_component.yml").read_text())
    assert manifest["dependencies"]["espressif/esp-tflite-micro"]["public"] is True
    assert "idf_component_register" in (component / "CMakeLists.txt").read_text()
    assert "project.cmake" in (projects["esp-idf"] / "CMakeLists.txt").read_text()
    assert 'extern "C" void app_main()' in (projects["esp-idf"] / "main/main.cc").read_text()

    options = (projects["zephyr"] / "prj.conf").read_text().splitlines()
    assert {"CONFIG_CPP=y", "CONFIG_STD_CPP17=y", "CONFIG_TENSORFLOW_LITE_MICRO=y"} <= set(options)
    assert "find_package(Zephyr" in (projects["zephyr"] / "CMakeLists.txt").read_text()
    sample = yaml.safe_load((projects["zephyr"] / "sample.yaml").read_text())
    assert sample["tests"]["sample.eexit.net"]["modules"] == ["tflite-micro"]

    cmsis = projects["cmsis"]
    solution = yaml.safe_load((cmsis / "net.csolution.yml").read_text())["solution"]
    assert solution["projects"] == [{"project": "net.cproject.yml"}]
    packs = [pack["pack"] for pack in solution["packs"]]
    assert "tensorflow::tensorflow-lite-micro" in packs
    project = yaml.safe_load((cmsis / "net.cproject.yml").read_text())["project"]
    layer = yaml.safe_load((cmsis / project["layers"][0]["layer"]).read_text())["layer"]
    files = [f["file"] for part in (project, layer) for g in part["groups"] for f in g["files"]]
    assert all((cmsis / file).is_file() for file in files)
    used = [component["component"] for component in layer["components"]]
    assert "tensorflow::Machine Learning:TensorFlow:Kernel&CMSIS-NN" in used

    for project in projects.values():
        assert "## Build" in (project / "README.md").read_text()


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("net", "net"),
        ("my-net.v2", "my_net_v2"),
        ("2nd", "model_2nd"),
        ("_x_", "model_x"),
        ("", "model"),
        ("ÄÖ", "model"),
        ("a" * 99, "a" * 40),
        ("../evil", "model_evil"),
    ],
)
def test_names_become_identifiers(given: str, made: str) -> None:
    assert cpp.identifier(given) == made
    assert cpp.identifier(made) == made


@pytest.mark.parametrize("value", [1.0, 0.1, 255.0, 1e-9, 0.003921569, 123456789.0, 1e20])
def test_floats_read_back(value: float) -> None:
    literal = cpp.real(value)
    assert re.fullmatch(r"(\d+\.\d+|\d+(\.\d+)?e[+-]?\d+)f", literal)
    assert np.float32(literal[:-1]) == np.float32(value)


def test_an_export_replaces_an_earlier_one(card: CompiledModel, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    export(card, folder, format="cc", name="old")
    (folder / "build").mkdir()
    (folder / "build" / "mine").write_text("kept")
    written = export(card, folder, format="zephyr")
    assert (folder / "build" / "mine").read_text() == "kept"
    assert not list(folder.rglob("old_model*"))
    there = {path for path in folder.rglob("*") if path.is_file()}
    assert there == {*written, folder / "build" / "mine"}
    assert export(card, folder, format="zephyr") == written


def test_what_is_not_an_export_stays(card: CompiledModel, tmp_path: Path) -> None:
    def refused(folder: Path, said: str) -> None:
        before = everything(folder) if folder.is_dir() else folder.read_bytes()
        with pytest.raises(UserError, match=said):
            export(card, folder, format="cc")
        assert before == (everything(folder) if folder.is_dir() else folder.read_bytes())

    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    refused(other, "not empty and was not written by export")
    (other / MARKER).write_text('{"files": {"../other/thesis.tex": ""}}')
    refused(other, "not empty and was not written by export")
    refused(other / "thesis.tex", "is a file")
    edited = tmp_path / "edited"
    export(card, edited, format="cc")
    (edited / "src" / "main.cc").write_text("int main() {}")
    refused(edited, r"main\.cc was not written by an earlier export, or was changed")
    occupied = tmp_path / "occupied"
    export(card, occupied, format="arduino")
    (occupied / "CMakeLists.txt").write_text("# mine")
    refused(occupied, r"CMakeLists\.txt was not written")


def test_nothing_is_left_of_an_export_that_fails(
    card: CompiledModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> Path:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("eexit_tf.tflite.exporter.write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        export(card, tmp_path / "project", format="cc")
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_be_exported_are_refused(network: Path, tmp_path: Path) -> None:
    def refused(content: bytes, said: str) -> None:
        (tmp_path / "bad.tflite").write_bytes(content)
        with pytest.raises(UserError, match=said):
            export(tmp_path / "bad.tflite", tmp_path / "project", format="cc")
        assert not (tmp_path / "project").exists()

    refused(multi_exit(12, 5, True), r"self-exiting \.tflite file")
    refused(b"nothing", "not a .tflite file")
    floats = multi_exit(10, 3, False, int8=False)
    order = costs.order_by_cost(schema.read(floats))
    refused(splice.splice(floats, order, [0, 0, 0]), "expected an int8 network")
    (tmp_path / "bad.json").write_text('{"sha256": "0"}')
    refused(network.read_bytes(), "is the card of another file")
    card = json.loads(network.with_suffix(".json").read_text())
    (tmp_path / "bad.json").write_text(json.dumps({**card, "input": {"divisor": 0}}))
    refused(network.read_bytes(), "no divisor above 0")
    with pytest.raises(UserError, match="unknown format 'zip'; there are cc, arduino"):
        export(network, tmp_path / "project", format="zip")


def test_the_command(network: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    arguments = ["export", str(network), "--format", "esp-idf", "--output", str(folder)]
    done = CliRunner().invoke(cli, [*arguments, "--name", "my net"])
    assert done.exit_code == 0, done.output
    assert "README.md says how to build them" in done.output
    assert (folder / "components/my_net_network/my_net_model.h").is_file()
    (folder / MARKER).unlink()
    again = CliRunner().invoke(cli, arguments)
    assert again.exit_code == 2
    assert "not empty and was not written by export" in again.output
    missing = CliRunner().invoke(cli, ["export", "no.tflite", *arguments[2:]])
    assert missing.exit_code == 2
    assert "cannot read no.tflite" in missing.output


@pytest.mark.parametrize("place", ["taken/project", "taken/deep/project", "loop/project"])
def test_a_path_that_leads_nowhere_is_refused(network: Path, place: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    (tmp_path / "loop").symlink_to("nowhere")
    command = ["export", str(network), "--format", "cc", "--output", str(tmp_path / place)]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 2
    assert "is a file; expected a folder" in done.output or "File exists" in done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop", "taken"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(network: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    command = ["export", str(network), "--format", "cc", "--output", str(tmp_path / "locked" / "p")]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 2
    assert "Permission denied" in done.output
