"""What benchmarks of training print of their runs."""

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_a_method_without_its_rival_is_shown_without_a_gain(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `--only METHOD` leaves it."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import training_runs

    done = training_runs.Runs(tmp_path / "runs.json", {})
    columns = {"accuracy": lambda run: run["accuracy"]}
    lines = []
    for name, accuracy in (("mixup", 0.625), ("plain", 0.5)):
        done.once(name, 0, lambda accuracy=accuracy: {"accuracy": accuracy})
        capsys.readouterr()
        training_runs.show(done, columns, over={"mixup": "plain"})
        lines.append(capsys.readouterr().out.splitlines()[1].split())
    assert lines == [["mixup", "1", "62.50"], ["mixup", "1", "62.50", "12.50"]]
