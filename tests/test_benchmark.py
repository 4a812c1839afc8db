"""Benchmarks on the host, and on boards that work or fail."""

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
from boards import board
from networks import convert, keras_network
from test_protocol import build_for_host, expected

from eexit_tf.data import Samples
from eexit_tf.errors import UserError
from eexit_tf.tflite import benchmark, evaluate, flatbuffer, schema
from eexit_tf.tflite.benchmarking import DeviceError, UnfinishedError, measure, protocol, qemu
from eexit_tf.tflite.benchmarking.devices import Answer, Network
from eexit_tf.tflite.inputs import quantise
from eexit_tf.tflite.splicing.splice import splice
from eexit_tf.tflite.splicing.unsplice import unsplice

SAMPLES = 12
SEED = next(s for s in range(99) if np.random.default_rng(s).integers(1, 4) == 1)  # one channel
Run = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def content() -> bytes:
    """A self-exiting network with three exits that takes 64 bytes and knows four classes."""
    multi = convert(keras_network(SEED, 3, classes=4), SEED)
    names = sorted(schema.outputs_by_name(flatbuffer.read(multi)))
    return splice(multi, names, [0, 0, -128])


@pytest.fixture
def model(content: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def samples() -> Samples:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(SAMPLES, 8, 8, 1)).astype(np.float32)
    return Samples(x, np.arange(SAMPLES) % 4)


def as_bytes(content: bytes, samples: Samples) -> list[np.ndarray]:
    return [x.reshape(-1) for x in quantise(flatbuffer.read(content), samples.x)]


@pytest.fixture(scope="module")
def program(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    static = splice(unsplice(content), sorted(_names(content))[-1:], [-128])
    networks = [Network(content), Network(static)]
    return build_for_host(tmp_path_factory.mktemp("firmware"), networks)


def _names(content: bytes) -> list[str]:
    return list(schema.outputs_by_name(flatbuffer.read(unsplice(content))))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "PATIENCE", 1.0)
    monkeypatch.setattr(protocol, "INFERENCE_PATIENCE", 1.0)
    monkeypatch.setattr(protocol, "BOOT_PATIENCE", 1.0)


def test_host_measures_what_evaluate_finds(content: bytes, samples: Samples, model: Path) -> None:
    found, evaluated = benchmark(model, samples), evaluate(model, samples)
    said = found.to_json()
    assert next(iter(said)) == "environment"
    assert (said["target"], said["unit"], said["samples"]) == ("host", "us", SAMPLES)
    assert said["complete"]
    assert said["flash_bytes"] == len(content)
    assert said["accuracy"] == evaluated.accuracy
    assert said["static"]["accuracy"] == evaluated.static.accuracy
    assert [exit_["share"] for exit_ in said["exits"]] == [e.share for e in evaluated.exits]
    assert said["litert"] == {"scores_crc32": said["scores_crc32"], "differing_samples": 0}
    assert said["static_latency"] > 0
    taken = [exit_["latency"] for exit_ in said["exits"] if exit_["samples"]]
    assert min(taken) <= said["mean_latency"] <= max(taken)
    assert said["static"]["arena_bytes"] > 0
    assert said["arena_bytes"] > 0


@pytest.mark.parametrize(
    ("shape", "label", "message"),
    [((8, 8, 1), 4, "labels up to 4"), ((8, 9, 1), 0, "the network takes int8 of shape")],
)
def test_samples_that_do_not_fit_are_refused_before_a_device_is_opened(
    model: Path, shape: tuple[int, ...], label: int, message: str
) -> None:
    wrong = Samples(np.zeros((2, *shape), np.float32), np.array([0, label]))
    with pytest.raises(UserError, match=message):
        benchmark(model, wrong, target="serial:/nowhere")


def test_thresholds_that_are_an_input_are_fed(
    content: bytes, samples: Samples, tmp_path: Path
) -> None:
    path = tmp_path / "model.tflite"
    names = sorted(_names(content))
    path.write_bytes(splice(unsplice(content), names, [0, 0, -128], runtime_thresholds=True))
    found = benchmark(path, samples).to_json()
    path.write_bytes(content)
    constant = benchmark(path, samples).to_json()
    assert found["scores_crc32"] == found["litert"]["scores_crc32"] == constant["scores_crc32"]
    assert [e["samples"] for e in found["exits"]] == [e["samples"] for e in constant["exits"]]


def test_measures_on_a_board(content: bytes, samples: Samples, program: Path, model: Path) -> None:
    with board(program) as port:
        said = benchmark(model, samples, target=f"serial:{port}").to_json()
    inputs = as_bytes(content, samples)
    assert said["complete"]
    assert said["target"] == f"serial:{port}"
    assert (said["arena_bytes"], said["static"]["arena_bytes"]) == (1000, 1001)
    leaving = [sum(int(x.view(np.uint8)[0]) % 3 == k for x in inputs) for k in range(3)]
    assert [exit_["samples"] for exit_ in said["exits"]] == leaving
    for key, number in (("scores_crc32", 0), ("static", 1)):
        scores = b"".join(np.array(expected(x, number), np.int8).tobytes() for x in inputs)
        crc32 = said[key]["scores_crc32"] if number else said[key]
        assert crc32 == f"{zlib.crc32(scores):08x}"


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
    content: bytes, samples: Samples, program: Path, model: Path, fault: str, message: str
) -> None:
    begun = time.monotonic()
    with (
        board(program, fault, after=2500) as port,
        pytest.raises(UnfinishedError, match=message) as raised,
    ):
        benchmark(model, samples, target=f"serial:{port}")
    assert time.monotonic() - begun < 20
    said = raised.value.partial.to_json()
    assert not said["complete"]
    assert 0 < said["samples"] < SAMPLES
    assert sum(exit_["samples"] for exit_ in said["exits"]) == said["samples"]
    assert said["mean_latency"] > 0
    assert said["static_latency"] is None
    first = as_bytes(content, samples)[: said["samples"]]
    scores = b"".join(np.array(expected(x, 0), np.int8).tobytes() for x in first)
    assert said["scores_crc32"] == f"{zlib.crc32(scores):08x}"


def test_keeps_what_was_measured_when_qemu_ends(
    samples: Samples, model: Path, monkeypatch: pytest.MonkeyPatch
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
        benchmark(model, samples, target="qemu:mps2-an386", tflm=object())


@pytest.mark.parametrize("fault", ["silent", "slow", "noise", "unplugged"])
@pytest.mark.usefixtures("impatient")
def test_a_board_that_never_answers(
    samples: Samples, program: Path, model: Path, fault: str
) -> None:
    begun = time.monotonic()
    with board(program, fault, after=0) as port, pytest.raises((DeviceError, UserError)) as raised:
        benchmark(model, samples, target=f"serial:{port}")
    assert time.monotonic() - begun < 15
    assert not isinstance(raised.value, UnfinishedError)
    assert port in str(raised.value)


@pytest.mark.usefixtures("impatient")
def test_damaged_results_are_noticed(samples: Samples, program: Path, model: Path) -> None:
    with (
        board(program, "damaged") as port,
        pytest.raises(DeviceError, match=r"damaged|contradict|lost|bytes of scores"),
    ):
        benchmark(model, samples, target=f"serial:{port}")


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
    samples: Samples,
    program: Path,
    model: Path,
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
    with board(program) as port, pytest.raises(DeviceError, match=message):
        benchmark(model, samples, target=f"serial:{port}")


def test_says_what_to_flash(
    content: bytes,
    samples: Samples,
    program: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    other = splice(unsplice(content), sorted(_names(content)), [100, 100, -128])
    path = tmp_path / "other.tflite"
    path.write_bytes(other)
    with board(program) as port, pytest.raises(UserError, match=r"Flash the firmware.*cmake -S"):
        benchmark(path, samples, target=f"serial:{port}")
    name = Network(other).name
    assert name in (tmp_path / "cache" / "eexit-tf" / name / "models.cc").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "serial:/nowhere"], "cannot open the serial port /nowhere"),
        (["--target", "serial:model.tflite"], "is not a serial port"),
        (["--target", "serial:"], "unknown target"),
        (["--target", "toaster"], "unknown target"),
        (["--target", "qemu:toaster"], "unknown target"),
        (["--target", "qemu:mps3-an547"], "needs a TFLM library"),
        (["--tflm-include", "."], "goes with --tflm-lib"),
        (["--target", "qemu:mps3-an547", "--tflm-lib", "no.a"], "no TFLM library"),
        (["--target", "qemu:mps3-an547", "--tflm-lib", "model.tflite"], "in any folder given"),
    ],
)
@pytest.mark.usefixtures("model")
def test_wrong_usage(eexit_tf: Run, tmp_path: Path, options: list[str], message: str) -> None:
    _dataset(tmp_path)
    done = eexit_tf("benchmark", "model.tflite", "--dataset", "data.npz", *options, cwd=tmp_path)
    said = " ".join(done.stderr.split())
    assert (done.returncode, "Traceback" in said) == (2, False)
    assert message in said


@pytest.mark.usefixtures("model")
def test_failing_board_on_the_command_line(eexit_tf: Run, program: Path, tmp_path: Path) -> None:
    _dataset(tmp_path)
    with board(program, "unplugged", after=2500) as port:
        arguments = ["model.tflite", "--dataset", "data.npz", "--target", f"serial:{port}"]
        done = eexit_tf("benchmark", *arguments, "--json", "found.json", cwd=tmp_path)
    assert done.returncode == 1
    assert "unplugged" in done.stderr
    assert "Traceback" not in done.stderr
    said = json.loads((tmp_path / "found.json").read_text())
    assert not said["complete"]
    assert said["samples"] > 0


def _dataset(folder: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 8, 8, 1)).astype(np.float32), np.arange(80) % 4
    np.savez(folder / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
