"""Benchmarks on the host and on boards, and usage that they refuse."""

import itertools
import zlib
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from board_networks import SAMPLES, as_bytes, exit_names, write_dataset
from boards import board
from host_firmware import expected

from eexit_tf.data import Samples
from eexit_tf.errors import UserError
from eexit_tf.tflite import benchmark, evaluate
from eexit_tf.tflite.benchmarking.devices import Network
from eexit_tf.tflite.splicing.splice import splice
from eexit_tf.tflite.splicing.unsplice import unsplice

Run = Callable[..., CompletedProcess[str]]


def test_host_measures_what_evaluate_finds(board_network: bytes, board_file: Path) -> None:
    found, evaluated = benchmark(board_file, SAMPLES), evaluate(board_file, SAMPLES)
    said = found.to_json()
    assert next(iter(said)) == "environment"
    assert (said["target"], said["unit"], said["samples"]) == ("host", "us", len(SAMPLES.y))
    assert said["complete"]
    assert said["flash_bytes"] == len(board_network)
    assert said["accuracy"] == evaluated.accuracy
    assert said["static"]["accuracy"] == evaluated.static.accuracy
    assert [exit_["share"] for exit_ in said["exits"]] == [e.share for e in evaluated.exits]
    assert said["litert"] == {"scores_crc32": said["scores_crc32"], "differing_samples": 0}
    assert said["static_latency"] > 0
    taken = [exit_["latency"] for exit_ in said["exits"] if exit_["samples"]]
    assert min(taken) <= said["mean_latency"] <= max(taken)
    assert said["static"]["arena_bytes"] > 0
    assert said["arena_bytes"] > 0


def test_what_slows_down_the_host_for_a_while_does_not_count(
    board_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, busy = itertools.count(), [9_000, 5_000, 7_000, 1_000, 2_000, 1_500]
    clock = itertools.chain.from_iterable((n, n + busy[n % len(busy)]) for n in runs)
    monkeypatch.setattr("time.perf_counter_ns", lambda: next(clock))
    said = benchmark(board_file, SAMPLES).to_json()
    # Either network runs a sample three times, then it is the other's turn.
    assert (said["mean_latency"], said["static_latency"]) == (5, 1)


@pytest.mark.parametrize(
    ("shape", "label", "message"),
    [((8, 8, 1), 4, "labels up to 4"), ((8, 9, 1), 0, "the network takes int8 of shape")],
)
def test_samples_that_do_not_fit_are_refused_before_a_device_is_opened(
    board_file: Path, shape: tuple[int, ...], label: int, message: str
) -> None:
    wrong = Samples(np.zeros((2, *shape), np.float32), np.array([0, label]))
    with pytest.raises(UserError, match=message):
        benchmark(board_file, wrong, target="serial:/nowhere")


def test_thresholds_that_are_an_input_are_fed(board_network: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    names = exit_names(board_network)
    path.write_bytes(splice(unsplice(board_network), names, [0, 0, -128], runtime_thresholds=True))
    found = benchmark(path, SAMPLES).to_json()
    path.write_bytes(board_network)
    constant = benchmark(path, SAMPLES).to_json()
    assert found["scores_crc32"] == found["litert"]["scores_crc32"] == constant["scores_crc32"]
    assert [e["samples"] for e in found["exits"]] == [e["samples"] for e in constant["exits"]]


def test_measures_on_a_board(board_network: bytes, board_program: Path, board_file: Path) -> None:
    with board(board_program) as port:
        said = benchmark(board_file, SAMPLES, target=f"serial:{port}").to_json()
    inputs = as_bytes(board_network)
    assert said["complete"]
    assert said["target"] == f"serial:{port}"
    assert (said["arena_bytes"], said["static"]["arena_bytes"]) == (1000, 1001)
    leaving = [sum(int(x.view(np.uint8)[0]) % 3 == k for x in inputs) for k in range(3)]
    assert [exit_["samples"] for exit_ in said["exits"]] == leaving
    for key, number in (("scores_crc32", 0), ("static", 1)):
        scores = b"".join(np.array(expected(x, number), np.int8).tobytes() for x in inputs)
        crc32 = said[key]["scores_crc32"] if number else said[key]
        assert crc32 == f"{zlib.crc32(scores):08x}"


def test_says_what_to_flash(
    board_network: bytes,
    board_program: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    other = splice(unsplice(board_network), exit_names(board_network), [100, 100, -128])
    path = tmp_path / "other.tflite"
    path.write_bytes(other)
    with (
        board(board_program) as port,
        pytest.raises(UserError, match=r"Flash the firmware.*cmake -S"),
    ):
        benchmark(path, SAMPLES, target=f"serial:{port}")
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
@pytest.mark.usefixtures("board_file")
def test_wrong_usage(eexit_tf: Run, tmp_path: Path, options: list[str], message: str) -> None:
    write_dataset(tmp_path)
    done = eexit_tf("benchmark", "model.tflite", "--dataset", "data.npz", *options, cwd=tmp_path)
    said = " ".join(done.stderr.split())
    assert (done.returncode, "Traceback" in said) == (2, False)
    assert message in said
