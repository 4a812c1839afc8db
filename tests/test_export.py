"""What exported projects hold: the file to the byte, and what their ecosystem wants."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from ai_edge_litert import schema_py_generated as fb
from conftest import EEXIT_TF
from exports import everything, network_folder

from eexit_tf.cli.export import FORMATS as OFFERED
from eexit_tf.tflite import export, flatbuffer
from eexit_tf.tflite.checks.operators import RULES
from eexit_tf.tflite.exporting import cpp, scratch
from eexit_tf.tflite.exporting.projects import FORMATS
from eexit_tf.tflite.model import CompiledModel


def test_formats_are_those_that_the_command_offers() -> None:
    assert tuple(FORMATS) == OFFERED


@pytest.mark.parametrize("kind", FORMATS)
def test_the_array_is_the_file(projects: dict[str, Path], early_file: Path, kind: str) -> None:
    (source,) = projects[kind].rglob("net_model_data.c*")
    text, content = source.read_text(), early_file.read_bytes()
    inside = re.search(
        r"alignas\(16\) const unsigned char g_net_model_data\[\] = \{(.*?)\}", text, re.S
    )
    assert inside is not None
    assert bytes(int(byte, 16) for byte in inside[1].replace(",", " ").split()) == content
    assert f"const unsigned int g_net_model_data_size = {len(content)};" in text
    header = source.with_suffix(".h").read_text()
    assert "extern const unsigned char g_net_model_data[];" in header
    assert "extern const unsigned int g_net_model_data_size;" in header


def test_the_resolver_has_exactly_the_operators_of_the_file(
    projects: dict[str, Path], early_file: Path
) -> None:
    model = flatbuffer.read(early_file.read_bytes())
    names = {fb.BuiltinOperator.__dict__[name]: name for name in RULES}
    needed = {names[max(c.builtinCode, c.deprecatedBuiltinCode)] for c in model.operatorCodes}
    assert {"IF", "REDUCE_MAX", "GREATER_EQUAL"} <= needed
    text = (network_folder(projects["cc"]) / "net_model.h").read_text()
    added = re.findall(r"resolver\.(Add\w+)\(\)", text)
    assert sorted(added) == sorted(map(cpp.adder, needed))
    assert f"MicroMutableOpResolver<{len(needed)}>" in text


def test_the_same_file_gives_the_same_bytes(
    projects: dict[str, Path], early_file: Path, tmp_path: Path
) -> None:
    shutil.copy(early_file, tmp_path / "other.tflite")
    shutil.copy(early_file.with_suffix(".json"), tmp_path / "other.json")
    for kind in FORMATS:
        export(tmp_path / "other.tflite", tmp_path / kind, format=kind, name="net")
        assert everything(tmp_path / kind) == everything(projects[kind])


def test_nothing_is_left_to_fill_in(projects: dict[str, Path]) -> None:
    for project in projects.values():
        for path, content in everything(project).items():
            assert "NAME" not in path
            assert not re.search(rb"@\w+@|\bNAME\b", content), path


def test_the_arena_has_room_for_what_was_measured_and_for_scratch(
    projects: dict[str, Path], early_model: CompiledModel
) -> None:
    model = flatbuffer.read(early_model.content)
    needs = {"cc": scratch.cmsis_nn_bytes(model), "esp-idf": scratch.esp_nn_bytes(model)}
    assert all(needs.values())
    for kind, margin in needs.items():
        text = (network_folder(projects[kind]) / "net_model.h").read_text()
        arena = int(re.search(r"kArenaBytes = (\d+);", text)[1])
        assert f"in bytes: {early_model.arena_bytes} + {margin}." in text
        assert arena % 16 == 0
        assert 0 <= arena - early_model.arena_bytes - margin < 16


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


def test_the_locale_does_not_matter(
    projects: dict[str, Path], early_file: Path, tmp_path: Path
) -> None:
    """Nor that the terminal cannot show the folder's name."""
    folder = tmp_path / "né"
    command = [EEXIT_TF, "export", early_file, "--format", "arduino", "--name", "net"]
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [*command, "--output", folder],
        env={**os.environ, **ascii_only, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert rb"n\xe9" in done.stdout or rb"n\udcc3\udca9" in done.stdout
    assert everything(folder) == everything(projects["arduino"])
