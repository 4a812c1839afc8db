"""`eexit-tf front --watch` before the search is there."""

import shutil
import threading
import time
from pathlib import Path

import pytest
from conftest import Run

from eexit_tf.cli import front
from eexit_tf.locks import locked


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "POLL", 0.05)


def test_a_search_may_begin_later(small_search: Path, eexit_tf: Run, tmp_path: Path) -> None:
    folder = tmp_path / "begun"

    def search() -> None:
        time.sleep(0.5)
        folder.mkdir()
        with locked(folder):
            time.sleep(0.5)
            shutil.copy(small_search / "front.json", folder)
            time.sleep(0.5)

    searching = threading.Thread(target=search)
    searching.start()
    run = eexit_tf("front", "begun", "--watch", cwd=tmp_path)
    searching.join()
    assert run.returncode == 0, run.stderr
    assert "1 trial" in run.stdout


def test_a_folder_in_which_no_search_begins_is_refused(
    eexit_tf: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "STARTUP", 0.2)
    run = eexit_tf("front", "nothing", "--watch", cwd=tmp_path)
    assert run.returncode == 2
    assert "nothing has no front.json" in run.stderr
