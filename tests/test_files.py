"""Files and folders are whole or not there, and nothing stays beside them."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from eexit_tf import files
from eexit_tf.errors import UserError
from eexit_tf.files import parsing, read_bytes, write_bytes, write_folder, write_json


def content_of(folder: Path) -> dict[str, bytes]:
    """All files by their paths in it, hidden ones as well."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    for content in (b"one", b"other"):
        assert write_bytes(path, content) == path
        assert content_of(tmp_path) == {"a/b/file": content}


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_a_new_file_has_the_users_permissions_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "file", b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o600)
    write_bytes(path, b"other")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_may_not_be_written_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_bytes(tmp_path / "file", b"mine")
    monkeypatch.setattr(os, "access", lambda place, mode: place != path)  # root may write anything
    with pytest.raises(PermissionError, match="Permission denied") as failed:
        write_bytes(path, b"new")
    assert failed.value.filename == str(path)
    assert content_of(tmp_path) == {"file": b"mine"}


def test_what_a_link_leads_to_is_written(tmp_path: Path) -> None:
    write_bytes(tmp_path / "kept" / "file", b"old")
    (tmp_path / "link").symlink_to(tmp_path / "kept" / "file")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "kept" / "file").read_bytes() == b"new"
    write_folder(tmp_path / "kept" / "folder", {"a": b"1"})
    (tmp_path / "to").symlink_to(tmp_path / "kept" / "folder")
    write_folder(tmp_path / "to", {"b": b"2"})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "to").is_symlink()
    assert content_of(tmp_path / "kept") == {"file": b"new", "folder/b": b"2"}


def test_what_may_never_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(UserError, match="it is no regular file"):
            read_bytes(path)


def test_what_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes(tmp_path / "file", b"old")

    def full(handle: int) -> None:
        began.extend(set(tmp_path.iterdir()) - {tmp_path / "file"})
        raise OSError(28, "No space left on device")

    began: list[Path] = []

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as failed:
        write_bytes(tmp_path / "file", b"new")
    assert failed.value.filename == str(tmp_path / "file")
    assert [path.name.startswith(".file.") for path in began] == [True]
    assert content_of(tmp_path) == {"file": b"old"}


def test_json_that_says_the_same_stays_untouched(tmp_path: Path) -> None:
    path = write_json(tmp_path / "value.json", {"a": 1})
    assert path.read_bytes() == b'{\n  "a": 1\n}\n'
    before = path.stat().st_ino, path.stat().st_mtime_ns
    write_json(path, {"a": 1})
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == before
    write_json(path, {"a": 2})
    assert b"2" in path.read_bytes()


def test_a_folder_replaces_all_that_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "folder"
    assert write_folder(folder, {"a": b"1", "deep/b": b"2"}) == folder
    assert content_of(tmp_path) == {"in/folder/a": b"1", "in/folder/deep/b": b"2"}
    write_folder(folder, {"c": b"3"})
    assert content_of(tmp_path) == {"in/folder/c": b"3"}
    assert [path.name for path in folder.parent.iterdir()] == ["folder"]


def test_a_folder_is_begun_beside_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[Path] = []
    monkeypatch.setattr(files, "write_bytes", lambda path, _: began.append(path))
    with pytest.raises(FileNotFoundError):
        write_folder(tmp_path / "folder", {"a": b"1"})
    (path,) = began
    assert path.parents[2] == tmp_path
    assert path.parents[1].name.startswith(".folder.")


def test_a_folder_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    write_folder(tmp_path / "folder", {"a": b"1"})
    with pytest.raises(FileExistsError):
        write_folder(tmp_path / "folder", {"b": b"2", "b/c": b"3"})
    assert content_of(tmp_path) == {"folder/a": b"1"}
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_what_cannot_be_read_or_understood_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it is a folder, expected a file"):
        read_bytes(tmp_path)
    with pytest.raises(UserError, match=r"cannot read .*none: No such file"):
        read_bytes(tmp_path / "none")
    for error, said in ((KeyError("key"), "no 'key'"), (ValueError("wrong"), "wrong")):
        with (
            pytest.raises(UserError, match=f"{tmp_path} is not a thing: {said}$"),
            parsing(tmp_path, "a thing"),
        ):
            raise error
