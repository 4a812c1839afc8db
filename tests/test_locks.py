"""One process at a time; a lock that is held twice in one process tells as much."""

import fcntl
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from eexit_tf import locks
from eexit_tf.errors import UserError
from eexit_tf.locks import LOCK, holder, is_locked, locked


def test_a_folder_is_locked_as_long_as_it_is_held(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert not is_locked(folder)
    with locked(folder):
        assert is_locked(folder)
    assert not is_locked(folder)


def test_who_holds_it_says_so_with_another_token_each_time(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("x" * 1000)  # of something that was cut short
    assert holder(tmp_path) == {}
    tokens = []
    for _ in range(2):
        with locked(tmp_path) as token:
            tokens.append(token)
            mine = {"host": socket.gethostname(), "pid": os.getpid(), "token": token}
            assert holder(tmp_path) == mine
    assert tokens[0] != tokens[1]
    assert holder(tmp_path / "none") == {}


def test_a_second_holder_is_refused_and_told_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "TRIES", 1)
    said = rf"works in {tmp_path} \(process {os.getpid()} on {socket.gethostname()}\)"
    with locked(tmp_path) as token:
        with pytest.raises(UserError, match=said), locked(tmp_path):
            pass
        assert holder(tmp_path)["token"] == token


def test_a_look_at_the_lock_does_not_keep_a_search_from_starting(tmp_path: Path) -> None:
    with open(tmp_path / LOCK, "w+") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        release = threading.Timer(0.25, fcntl.flock, (file, fcntl.LOCK_UN))
        release.start()
        begun = time.monotonic()
        with locked(tmp_path):
            assert time.monotonic() - begun > 0.2
        release.join()
