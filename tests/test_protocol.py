"""The benchmark firmware's C++ sources, built for the host, driven by the Python client."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as fb
from host_firmware import build_for_host, expected
from numpy.typing import NDArray

from eexit_tf.tflite.benchmarking import firmware, qemu
from eexit_tf.tflite.benchmarking.devices import DeviceError, Network
from eexit_tf.tflite.benchmarking.ports import Port
from eexit_tf.tflite.benchmarking.protocol import Firmware

INPUT_BYTES = 40  # more than one command holds


class FakeNetwork(Network):
    """What the stand-in in `firmware/networks/fake.cc` is told of a network."""

    input_bytes = INPUT_BYTES

    @property
    def model(self) -> fb.ModelT:
        model = fb.ModelT()
        model.subgraphs = []
        return model

    def scores(self, content: bytes) -> NDArray:
        return np.frombuffer(content, np.int8)


NETWORKS = (FakeNetwork(b"early"), FakeNetwork(b"static"))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    return build_for_host(tmp_path_factory.mktemp("firmware"), NETWORKS)


@pytest.fixture
def device(program: Path) -> Iterator[Firmware]:
    with subprocess.Popen(
        [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        os.set_blocking(process.stdin.fileno(), False)
        yield Firmware(Port(process.stdout.fileno(), process.stdin.fileno(), "the host"))
        process.kill()


def said(program: Path, commands: bytes) -> list[str]:
    """What the firmware says to these commands, after its greeting and without times."""
    done = subprocess.run([program], input=commands, capture_output=True, timeout=20, check=False)
    text = done.stdout.decode("ascii", "replace")
    assert text.endswith("\r\n")
    lines = text.split("\r\n")[:-1]
    after = lines.index("m-init-done") + 1
    assert lines[after] == "m-ready"
    return [line for line in lines[after + 1 :] if not line.startswith("m-lap-")]


def test_says_what_mlperf_tiny_says(program: Path) -> None:
    sample = np.array([5, *[0] * 9, *[7] * 29, -1], np.int8)
    load = b"db load 40%" + b"db 05000000000000000000%" + b"db 07%" * 29 + b"db fF%"
    scores = np.array(expected(sample, 0), np.int8)
    results = [
        f"m-results-[{','.join(f'{(score + 128) / 256:.3f}' for score in scores.tolist())}]",
        "m-exit-[2]",
        f"m-scores-[{scores.tobytes().hex()}]",
    ]
    assert said(program, b"name%" + load + b"infer 3 2%results%") == [
        *("m-name-dut-[eexit-tf]", "m-ready"),
        *("m-[Expecting 40 bytes]", "m-ready"),
        *["m-ready"] * 30,
        *("m-load-done", "m-ready"),
        *("m-warmup-start-2", "m-warmup-done", "m-infer-start-3", "m-infer-done"),
        *(*results, "m-ready"),
        *(*results, "m-ready"),
    ]


def test_laps_stand_around_the_inferences(program: Path) -> None:
    load = b"db load 40%" + b"db %s%%" % (b"00" * 35) + b"db %s%%" % (b"00" * 5)
    done = subprocess.run([program], input=load + b"infer 1 0%", capture_output=True, check=False)
    lines = done.stdout.decode().split("\r\n")
    begin = lines.index("m-infer-start-1")
    laps = [line.rpartition("-")[0] for line in lines[begin + 1 : lines.index("m-infer-done")]]
    assert laps == ["m-lap-us", "m-lap-ticks", "m-lap-us", "m-lap-ticks"]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("foo", "e-[Unknown command: foo]"),
        ("db", "e-[db needs load N, print or hex digits]"),
        ("db load", "e-[The input has 40 bytes]"),
        ("db load 0", "e-[The input has 40 bytes]"),
        ("db load 99999999999999999999", "e-[The input has 40 bytes]"),
        ("db load -40", "e-[The input has 40 bytes]"),
        ("infer", "e-[No input loaded]"),
        ("infer 0", "e-[infer needs a number above 0 and one from 0 on]"),
        ("infer x", "e-[infer needs a number above 0 and one from 0 on]"),
        ("infer 1 -1", "e-[infer needs a number above 0 and one from 0 on]"),
        ("results", "e-[No results yet]"),
        ("model", "e-[No such model]"),
        ("model 2", "e-[No such model]"),
        ("x" * 80, f"e-[Unknown command: {'x' * 80}]"),
        ("x" * 81, "e-[Command too long]"),
        ("x" * 5000, "e-[Command too long]"),
    ],
)
def test_refuses_bad_commands_and_goes_on(program: Path, command: str, answer: str) -> None:
    assert said(program, f"{command}%name%".encode()) == [
        *(answer, "m-ready"),
        *("m-name-dut-[eexit-tf]", "m-ready"),
    ]


@pytest.mark.parametrize("digits", ["0", "000", "0g", "g0", "00 00zz0"])
def test_refuses_what_is_not_hex(program: Path, digits: str) -> None:
    lines = said(program, f"db load 40%db {digits}%infer 1 0%".encode())
    whole = all(digit in "0123456789" for digit in digits.split(" ")[0])
    odd = len(digits.split(" ")[0]) % 2
    assert ("e-[Not pairs of hex digits]" in lines) == (not whole or bool(odd))
    assert lines[-2:] == ["e-[No input loaded]", "m-ready"]


def test_bytes_beyond_the_input_are_dropped(program: Path) -> None:
    commands = b"db 11%db load 40%" + b"db %s%%" % (b"22" * 38) * 3 + b"db print%"
    lines = said(program, commands)
    assert lines.count("m-load-done") == 1
    printed = "-".join(line[9:] for line in lines if line.startswith("m-buffer-"))
    assert printed == "-".join(["22"] * 40)


def test_survives_random_bytes(program: Path) -> None:
    rng = np.random.default_rng(0)
    words = [b"db ", b"load ", b"infer ", b"40", b"%", b" ", b"model ", b"results", b"00"]
    parts = []
    for _ in range(3000):
        known = rng.random() < 0.8
        parts.append(words[rng.integers(len(words))] if known else rng.bytes(rng.integers(90)))
    # `infer 404040%` would run that often; everything else may come.
    noise = b"".join(parts).replace(b"infer 40", b"infer 1 ")
    assert said(program, noise + b"%name%")[-2:] == ["m-name-dut-[eexit-tf]", "m-ready"]


def test_client_and_firmware_agree(device: Firmware) -> None:
    rng = np.random.default_rng(1)
    profile = device.profile
    assert profile["model"] == NETWORKS[0].name
    assert (profile["clock-hz"], profile["input-bytes"]) == ("1000000000", str(INPUT_BYTES))
    for number, network in enumerate(NETWORKS):
        chosen = device.select(number)
        assert chosen == {"model": network.name, "arena-bytes": str(1000 + number)}
        for _ in range(20):
            sample = rng.integers(-128, 128, INPUT_BYTES).astype(np.int8)
            answer = device.infer(sample, network)
            assert answer.scores.tolist() == expected(sample, number)
            assert answer.exit == (0 if number else int(sample.view(np.uint8)[0]) % 3)
            assert answer.latency > 0


def test_errors_of_the_device_are_passed_on(device: Firmware) -> None:
    with pytest.raises(DeviceError, match=r"the host refuses model: No such model"):
        device.select(7)
    assert device.profile["model"] == NETWORKS[0].name


@pytest.mark.parametrize("board", firmware.BOARDS)
def test_counts_instructions_exactly_under_qemu(board: str) -> None:
    for tool in ("cmake", "arm-none-eabi-g++", qemu.QEMU):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    runs = []
    with qemu.open_qemu(board, NETWORKS, None) as device:
        assert device.select(0) == 1000
        for first in (0, 1, 2, 0, 1, 2):
            sample = np.full(INPUT_BYTES, first, np.int8)
            answer = device.run(sample)
            assert (answer.exit, answer.scores.tolist()) == (first, expected(sample, 0))
            runs.append(answer.latency)
    # The stand-in runs 1,000 instructions more for each exit.
    assert runs == [runs[0], runs[0] + 1000, runs[0] + 2000] * 2


def test_firmware_has_no_heap_exceptions_or_rtti(tmp_path: Path) -> None:
    for tool in ("cmake", "arm-none-eabi-g++", "arm-none-eabi-nm"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    elf = firmware.build("mps2-an386", NETWORKS, None, tmp_path)
    symbols = subprocess.run(
        ["arm-none-eabi-nm", "-C", elf], capture_output=True, text=True, check=True
    ).stdout
    assert "Protocol::take" in symbols
    for word in ("malloc", "operator new", "__cxa_throw", "typeinfo"):
        assert word not in symbols
