"""Reading what the user named, and files and folders that are either whole or not there.

They are written beside their place, then renamed.
"""

import contextlib
import json
import os
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
    try:
        return Path(path).read_bytes()
    except IsADirectoryError as error:
        raise UserError(f"cannot read {path}: it is a folder, expected a file") from error
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
    """Write ``content`` to ``path`` so that a kill or a full disk never leaves half of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except BaseException as error:
        os.unlink(beside)
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
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        new, old = beside / "new", beside / "old"
        for name, content in files.items():
            write_bytes(new / name, content)
        if path.exists():
            os.replace(path, old)
        os.replace(new, path)
    finally:
        shutil.rmtree(beside)
    return path
