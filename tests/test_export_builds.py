"""Exported projects compile, and say in C++ what the file says."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as fb
from exports import DIVISOR, LABELS, STAND_IN, network_folder, real

from eexit_tf.tflite import export, flatbuffer, schema
from eexit_tf.tflite.exporting.projects import FORMATS
from eexit_tf.tflite.inputs import quantise
from eexit_tf.tflite.model import CompiledModel
from eexit_tf.tflite.splicing import spliced

WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror")
STRICT = (*WARNINGS, "-fno-exceptions", "-fno-rtti")

arm = pytest.mark.skipif(shutil.which("arm-none-eabi-g++") is None, reason="no arm-none-eabi-g++")
host = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")


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
    projects: dict[str, Path], early_file: Path, early_model: CompiledModel, tmp_path: Path
) -> None:
    """Built and run on this computer, on a stand-in that hands its input on."""
    sources = network_folder(projects["cc"])
    command = ["g++", "-std=c++17", *STRICT, "-fsanitize=address,undefined", "-isystem", STAND_IN]
    files = [STAND_IN / "uses_network.cc", sources / "net_model_data.cc"]
    program = tmp_path / "program"
    subprocess.run([*command, "-I", sources, *files, "-o", program], check=True, timeout=120)
    done = subprocess.run([program], capture_output=True, check=True, timeout=60)
    content = early_file.read_bytes()
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
    for k, exit_ in enumerate(early_model.exits):
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
    quantised = quantise(flatbuffer.read(content), x)
    assert lines[6].split()[1:] == [*map(str, quantised), "-128"]
    assert lines[7] == f"data {len(content)} 0"


def with_thresholds_as_input(content: bytes) -> bytes:
    """A network that has an input for thresholds (and does not use it)."""
    model = flatbuffer.read(content)
    main = model.subgraphs[0]
    exits = len(spliced.inspect(content).exits)
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
    return flatbuffer.write(model)


@host
def test_thresholds_that_are_an_input_can_be_set(early_file: Path, tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(with_thresholds_as_input(early_file.read_bytes()))
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
    build += [f"-DTFLM_LIB={library}", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"]
    for release, messages in (("ON", False), ("OFF", True)):
        subprocess.run([*build, f"-DTFLM_RELEASE={release}"], check=True, capture_output=True)
        commands = (tmp_path / "build" / "compile_commands.json").read_text()
        assert ("-DTF_LITE_STRIP_ERROR_STRINGS" not in commands) == messages
    subprocess.run(["cmake", "--build", tmp_path / "build"], check=True, capture_output=True)
    example = tmp_path / "build" / "net_example"
    done = subprocess.run([example], capture_output=True, text=True, check=True, timeout=60)
    name = load_exits(projects["cc"])[2]
    assert done.stdout == f"class cat, 45 % sure, left at exit 2 ({name})\n"


def load_exits(project: Path) -> list[str]:
    text = (network_folder(project) / "net_model.h").read_text()
    return re.findall(r'"(block\d)"', text)
