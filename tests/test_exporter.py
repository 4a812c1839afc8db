"""Where exports are written: they replace their own files and leave everything else alone."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from exports import everything
from networks import multi_exit, order_of

from eexit_tf.cli import cli
from eexit_tf.errors import UserError
from eexit_tf.tflite import export
from eexit_tf.tflite.exporting.exporter import MARKER
from eexit_tf.tflite.model import CompiledModel
from eexit_tf.tflite.splicing import splice


def test_an_export_replaces_an_earlier_one(early_model: CompiledModel, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    export(early_model, folder, format="cc", name="old")
    (folder / "build").mkdir()
    (folder / "build" / "mine").write_text("kept")
    written = export(early_model, folder, format="zephyr")
    assert (folder / "build" / "mine").read_text() == "kept"
    assert not list(folder.rglob("old_model*"))
    there = {path for path in folder.rglob("*") if path.is_file()}
    assert there == {*written, folder / "build" / "mine"}
    (folder / "README.md").unlink()
    assert export(early_model, folder, format="zephyr") == written
    assert (folder / "README.md").is_file()


def test_what_is_not_an_export_stays(early_model: CompiledModel, tmp_path: Path) -> None:
    def refused(folder: Path, said: str, kind: str = "cc") -> None:
        before = everything(folder) if folder.is_dir() else folder.read_bytes()
        with pytest.raises(UserError, match=said):
            export(early_model, folder, format=kind)
        assert before == (everything(folder) if folder.is_dir() else folder.read_bytes())

    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    refused(other, "not empty and was not written by export")
    for marker in ('{"files": {"../other/thesis.tex": ""}}', '{"files": 3}', "[]", "{"):
        (other / MARKER).write_text(marker)
        refused(other, "not empty and was not written by export")
    refused(other / "thesis.tex", "is a file")
    edited = tmp_path / "edited"
    export(early_model, edited, format="cc")
    (edited / "src" / "main.cc").write_text("int main() {}")
    for kind in ("cc", "arduino"):  # which would replace it, or remove it
        refused(edited, r"main\.cc was not written by an earlier export, or was changed", kind)
    occupied = tmp_path / "occupied"
    export(early_model, occupied, format="arduino")
    (occupied / "CMakeLists.txt").write_text("# mine")
    refused(occupied, r"CMakeLists\.txt was not written")


def test_nothing_is_left_of_an_export_that_fails(
    early_model: CompiledModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> Path:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("eexit_tf.files.write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        export(early_model, tmp_path / "project", format="cc")
    assert not list(tmp_path.iterdir())


def test_an_export_that_was_interrupted_is_finished_by_the_next(
    early_model: CompiledModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: object) -> Path:
        raise OSError(28, "No space left on device", str(path))

    export(early_model, tmp_path / "project", format="cc", name="old")
    with monkeypatch.context() as patch:
        patch.setattr("eexit_tf.tflite.exporting.exporter.write_json", full)
        with pytest.raises(OSError, match="No space"):
            export(early_model, tmp_path / "project", format="zephyr")
    written = export(early_model, tmp_path / "project", format="zephyr")
    assert written == export(early_model, tmp_path / "project", format="zephyr")


def test_files_that_cannot_be_exported_are_refused(early_file: Path, tmp_path: Path) -> None:
    def refused(content: bytes, said: str) -> None:
        (tmp_path / "bad.tflite").write_bytes(content)
        with pytest.raises(UserError, match=said):
            export(tmp_path / "bad.tflite", tmp_path / "project", format="cc")
        assert not (tmp_path / "project").exists()

    refused(multi_exit(12, 5, True), r"self-exiting \.tflite file")
    refused(b"nothing", "not a .tflite file")
    floats = multi_exit(10, 3, False, int8=False)
    order = order_of(floats)
    refused(splice.splice(floats, order, [0, 0, 0]), "expected an int8 network")
    (tmp_path / "bad.json").write_text('{"sha256": "0"}')
    refused(early_file.read_bytes(), "is the card of another file")
    card = json.loads(early_file.with_suffix(".json").read_text())
    (tmp_path / "bad.json").write_text(json.dumps({**card, "input": {"divisor": 0}}))
    refused(early_file.read_bytes(), "no divisor above 0")
    with pytest.raises(UserError, match="unknown format 'zip'; there are cc, arduino"):
        export(early_file, tmp_path / "project", format="zip")


def test_the_command(early_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    arguments = ["export", str(early_file), "--format", "esp-idf", "--output", str(folder)]
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
def test_a_path_that_leads_nowhere_is_refused(early_file: Path, place: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    (tmp_path / "loop").symlink_to("nowhere")
    command = ["export", str(early_file), "--format", "cc", "--output", str(tmp_path / place)]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 2
    assert "is a file; expected a folder" in done.output or "File exists" in done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop", "taken"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(early_file: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    command = [
        "export",
        str(early_file),
        "--format",
        "cc",
        "--output",
        str(tmp_path / "locked" / "p"),
    ]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 2
    assert "Permission denied" in done.output
