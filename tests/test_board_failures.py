"""Benchmarks on boards that fail, or say what cannot be."""

import json
import re
import shutil
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess, Popen
from typing import Any

import numpy as np
import pytest
from board_networks import SAMPLES, as_bytes, write_dataset
from boards import board
from host_firmware import expected

from eexit_tf.errors import UserError
from eexit_tf.tflite import benchmark
from eexit_tf.tflite.benchmarking import DeviceError, UnfinishedError, measure, protocol, qemu
from eexit_tf.tflite.benchmarking.devices import Answer, Network

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "PATIENCE", 1.0)
    monkeypatch.setattr(protocol, "INFERENCE_PATIENCE", 1.0)
    monkeypatch.setattr(protocol, "BOOT_PATIENCE", 1.0)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("silent", "silent|stopped answering"),
        ("slow", "stopped answering|silent|something else"),
        ("noise", "something else|refuses|stopped"),
        ("unplugged", "unplugged"),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_keeps_what_was_measured_when_a_board_fails(
    board_network: bytes, board_program: Path, board_file: Path, fault: str, message: str
) -> None:
    begun = time.monotonic()
    with (
        board(board_program, fault, after=2500) as port,
        pytest.raises(UnfinishedError, match=message) as raised,
    ):
        benchmark(board_file, SAMPLES, target=f"serial:{port}")
    assert time.monotonic() - begun < 20
    said = raised.value.partial.to_json()
    assert not said["complete"]
    assert 0 < said["samples"] < len(SAMPLES.y)
    assert sum(exit_["samples"] for exit_ in said["exits"]) == said["samples"]
    assert said["mean_latency"] > 0
    assert said["static_latency"] is None
    first = as_bytes(board_network)[: said["samples"]]
    scores = b"".join(np.array(expected(x, 0), np.int8).tobytes() for x in first)
    assert said["scores_crc32"] == f"{zlib.crc32(scores):08x}"


def test_keeps_what_was_measured_when_qemu_ends(
    board_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tool in ("cmake", "arm-none-eabi-g++", qemu.QEMU):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    started = []

    class Recorded(Popen):
        def __init__(self, command: list[str], **options: Any) -> None:
            super().__init__(command, **options)
            if "-kernel" in command:  # not a compiler
                started.append(self)

    def ends(self: qemu.Qemu, sample: np.ndarray) -> Answer:
        runs.append(sample)
        if len(runs) == 5:
            started[-1].terminate()
        return run(self, sample)

    def with_stand_in(name: str, networks: Sequence[Network], tflm: object) -> object:
        return qemu.open_qemu(name, networks, None)

    run, runs = qemu.Qemu.run, []
    monkeypatch.setattr(qemu.subprocess, "Popen", Recorded)
    monkeypatch.setattr(qemu.Qemu, "run", ends)
    monkeypatch.setattr(measure, "open_qemu", with_stand_in)
    with pytest.raises(UnfinishedError, match=r"signal.*4 of 24"):
        benchmark(board_file, SAMPLES, target="qemu:mps2-an386", tflm=object())


@pytest.mark.parametrize("fault", ["silent", "slow", "noise", "unplugged"])
@pytest.mark.usefixtures("impatient")
def test_a_board_that_never_answers(board_program: Path, board_file: Path, fault: str) -> None:
    begun = time.monotonic()
    with (
        board(board_program, fault, after=0) as port,
        pytest.raises((DeviceError, UserError)) as raised,
    ):
        benchmark(board_file, SAMPLES, target=f"serial:{port}")
    assert time.monotonic() - begun < 15
    assert not isinstance(raised.value, UnfinishedError)
    assert port in str(raised.value)


@pytest.mark.usefixtures("impatient")
def test_damaged_results_are_noticed(board_program: Path, board_file: Path) -> None:
    with (
        board(board_program, "damaged") as port,
        pytest.raises(DeviceError, match=r"damaged|contradict|lost|bytes of scores"),
    ):
        benchmark(board_file, SAMPLES, target=f"serial:{port}")


@pytest.mark.parametrize(
    ("pattern", "said", "message"),
    [
        (r"(clock-hz)-\[.*", r"\1-[00]", "says clock-hz 00 to profile"),
        (r"(input-bytes)-\[.*", r"\1-[9999999999999]", "takes 9,999,999,999,999 bytes of input"),
        (r"(input-bytes)-\[.*", r"\1-[10]", "takes 10 bytes of input, but the networks take 64"),
        (r"(arena-bytes)-\[.*", rf"\1-[{'9' * 5000}]", "says arena-bytes 9{40} to model"),
        (r"(results)-\[.*", r"\1-[nan,nan,nan,nan]", "scores that contradict each other"),
        (r"(lap-ticks)-\[", r"\1-[-", "damaged results"),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_absurd_values_are_refused(
    board_program: Path,
    board_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    pattern: str,
    said: str,
    message: str,
) -> None:
    command = protocol.Firmware.command

    def lies(*arguments: Any, **options: Any) -> list[str]:
        lines = command(*arguments, **options)
        return [re.sub(pattern, said, line) for line in lines]

    monkeypatch.setattr(protocol.Firmware, "command", lies)
    with board(board_program) as port, pytest.raises(DeviceError, match=message):
        benchmark(board_file, SAMPLES, target=f"serial:{port}")


@pytest.mark.usefixtures("board_file")
def test_failing_board_on_the_command_line(
    eexit_tf: Run, board_program: Path, tmp_path: Path
) -> None:
    write_dataset(tmp_path)
    with board(board_program, "unplugged", after=2500) as port:
        arguments = ["model.tflite", "--dataset", "data.npz", "--target", f"serial:{port}"]
        done = eexit_tf("benchmark", *arguments, "--json", "found.json", cwd=tmp_path)
    assert done.returncode == 1
    assert "unplugged" in done.stderr
    assert "Traceback" not in done.stderr
    said = json.loads((tmp_path / "found.json").read_text())
    assert not said["complete"]
    assert said["samples"] > 0
