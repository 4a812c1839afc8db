"""Reading what the user named, and files and folders that are either whole or not there.

They are written beside their place, then renamed.
"""

import contextlib
import errno
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eexit_tf.errors import UserError


def read_bytes(path: Path | str) -> bytes:
    """The content of a file.

    Raises:
        UserError: it cannot be read.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():  # a pipe or a device may never end
            what = "a folder" if path.is_dir() else "no regular file"
            raise UserError(f"cannot read {path}: it is {what}, expected a file")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


@contextlib.contextmanager
def parsing(path: Path, what: str) -> Iterator[None]:
    """Around reading a file of ours, which anything may have happened to.

    Args:
        path: of the file.
        what: it should be.

    Raises:
        UserError: its content cannot be understood.
    """
    try:
        yield
    except (
        AttributeError,
        KeyError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        said = f"no {error}" if isinstance(error, KeyError) else error
        raise UserError(f"{path} is not {what}: {said}") from error


def write_bytes(path: Path | str, content: bytes) -> Path:
    """Write ``content`` to ``path`` so that a kill or a full disk never leaves half of it.

    Of a link, what it leads to is replaced. A file that is there keeps its permissions.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    place = Path(os.path.realpath(path))
    beside = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        if place.exists() and not os.access(place, os.W_OK):  # renaming would not mind
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        with open(beside, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if place.exists():
            shutil.copymode(place, beside)
        os.replace(beside, place)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # writing names none, and renaming the one beside
        raise
    return path


def write_json(path: Path | str, value: Any) -> Path:
    """Write ``value`` as indented JSON, atomically; a file that says the same stays untouched."""
    path, content = Path(path), json_bytes(value)
    if path.is_file() and path.read_bytes() == content:
        return path
    return write_bytes(path, content)


def json_bytes(value: Any) -> bytes:
    """``value`` as indented JSON."""
    return (json.dumps(value, indent=2) + "\n").encode()


def write_folder(path: Path | str, files: Mapping[str, bytes]) -> Path:
    """Write a folder with these files, by their paths in it, whole or not at all.

    One that is there is replaced.
    """
    path = Path(path)
    place = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{path.name}."))
    try:
        new, old = beside / "new", beside / "old"
        for name, content in files.items():
            write_bytes(new / name, content)
        if place.exists():
            os.replace(place, old)
        os.replace(new, place)
    finally:
        shutil.rmtree(beside)
    return path
