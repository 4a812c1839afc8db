"""What long work says in a log, where no bar can be drawn."""

import pytest

from eexit_tf.cli import console


def test_a_log_hears_now_and_then_where_work_stands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 1000.0
    monkeypatch.setattr(console, "monotonic", lambda: now)
    with console.progress(quiet=False) as reporter:
        for done in range(1, 9):
            now += 25
            reporter.step(done, 8, "training")
            if done == 4:
                reporter.say("a result")
    said = capsys.readouterr()
    assert said.err.splitlines() == ["training (38%)", "a result", "training (88%)"]
    assert said.out == ""


def test_a_quiet_command_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "LOG_SECONDS", -1)
    with console.progress(quiet=True) as reporter:
        reporter.step(1, 8, "training")
    assert capsys.readouterr() == ("", "")
