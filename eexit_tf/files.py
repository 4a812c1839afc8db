"""Files that are either whole or not there: written beside their place, then renamed."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


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
    except BaseException:
        os.unlink(beside)
        raise
    return path


def write_json(path: Path | str, value: Any) -> Path:
    """Write ``value`` as indented JSON, atomically; a file that says the same stays untouched."""
    content = (json.dumps(value, indent=2) + "\n").encode()
    path = Path(path)
    if path.is_file() and path.read_bytes() == content:
        return path
    return write_bytes(path, content)
