"""The demo as a newcomer runs it, and everything that it promises."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from conftest import Run

from eexit_tf.cli.demo import up_to_date

MADE = (
    "front.json",
    "front.png",
    "model.tflite",
    "model.json",
    "evaluate-litert.json",
    "evaluate-tflm.json",
    "trials",
)
NOISE = ("tensorflow", "xla", "cuda", "absl", "warning", "deprecat", "keras", "oneDNN".lower())


@pytest.fixture(scope="module")
def demo(installed_eexit_tf: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The demo's folder and all that it printed."""
    output = tmp_path_factory.mktemp("demo") / "out"
    done = installed_eexit_tf("demo", "--output", output, cwd=output.parent)
    assert done.returncode == 0, done.stderr
    return output, done.stdout + done.stderr


def read(path: Path) -> dict:
    value: dict = json.loads(path.read_text())
    return value


def test_it_shows_every_command_and_no_one_elses_words(demo: tuple[Path, str]) -> None:
    _, said = demo
    positions = [
        said.index(f"$ eexit-tf {verb} ") for verb in ("search", "front", "convert", "evaluate")
    ]
    assert positions == sorted(positions)
    assert said.count("$ eexit-tf evaluate ") == 2
    assert [word for word in NOISE if word in said.lower()] == []


def test_what_it_made_stays(demo: tuple[Path, str]) -> None:
    output, _ = demo
    assert [name for name in MADE if not (output / name).exists()] == []


def test_the_chosen_point_is_accurate_and_cheap(demo: tuple[Path, str]) -> None:
    output, _ = demo
    for runtime in ("litert", "tflm"):
        result = read(output / f"evaluate-{runtime}.json")
        assert result["accuracy"] >= 0.95
        assert result["mean_macs"] <= 0.6 * result["static"]["macs"]


def test_both_runtimes_measure_the_same(demo: tuple[Path, str]) -> None:
    output, _ = demo
    one, other = (read(output / f"evaluate-{name}.json") for name in ("litert", "tflm"))
    assert one.pop("runtime") == "litert"
    assert other.pop("runtime") == "tflm"
    assert one == other
    assert set(one) >= {"accuracy", "mean_macs", "samples", "exits", "static"}


@pytest.mark.parametrize("runtime", ["litert", "tflm"])
def test_the_card_promises_exactly_what_is_measured(
    eexit_tf: Run, demo: tuple[Path, str], runtime: str, tmp_path: Path
) -> None:
    output, _ = demo
    card, path = read(output / "model.json"), tmp_path / "validation.json"
    arguments = ("--dataset", "digits", "--split", "validation", "--runtime", runtime)
    model = output / "model.tflite"
    done = eexit_tf("evaluate", model, *arguments, "--json", path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = read(path)
    assert found["accuracy"] == card["val_accuracy"]
    assert found["mean_macs"] == card["mean_macs"]
    assert found["static"]["macs"] == card["static_macs"]
    assert [e["share"] for e in found["exits"]] == [e["share"] for e in card["exits"]]
    assert [e["macs"] for e in found["exits"]] == [e["macs"] for e in card["exits"]]


def test_the_card_describes_the_file(demo: tuple[Path, str]) -> None:
    output, _ = demo
    card, content = read(output / "model.json"), (output / "model.tflite").read_bytes()
    assert card["schema"] == 1
    assert card["sha256"] == hashlib.sha256(content).hexdigest()
    assert card["flash_bytes"] == len(content)
    assert card["classes"] == [str(n) for n in range(10)]
    assert card["input"]["shape"] == [8, 8, 1]
    assert card["input"]["zero_point"] == -128
    assert card["quantization"] == "qat"
    assert card["arena_bytes"] > 0
    assert card["exits"][-1]["threshold_int8"] == -128
    assert all(
        exit_["threshold"] == (exit_["threshold_int8"] + 128) / 256 for exit_ in card["exits"]
    )


def test_a_damaged_card_is_made_anew(demo: tuple[Path, str], tmp_path: Path) -> None:
    model, card = tmp_path / "model.tflite", tmp_path / "model.json"
    shutil.copy(demo[0] / "model.tflite", model)
    front = demo[0] / "front.json"
    for content in (b"{", b"{}", b"[" * 100_000):
        card.write_bytes(content)
        assert not up_to_date(model, card, front)
    shutil.copy(demo[0] / "model.json", card)
    assert up_to_date(model, card, front)


def test_a_second_run_resumes(installed_eexit_tf: Run, demo: tuple[Path, str]) -> None:
    output, _ = demo
    before = {name: (output / name).stat().st_mtime_ns for name in ("front.json", "model.tflite")}
    again = installed_eexit_tf("demo", "--output", output, cwd=output.parent)
    assert again.returncode == 0, again.stderr
    assert "trial 1 of" not in again.stderr
    assert "$ eexit-tf convert" not in again.stdout
    after = {name: (output / name).stat().st_mtime_ns for name in before}
    assert after == before
