"""The client of the benchmark firmware, on a board that says what it is told to."""

import numpy as np
import pytest
from numpy.typing import NDArray

from eexit_tf.tflite.benchmarking import protocol
from eexit_tf.tflite.benchmarking.devices import DeviceError, Network
from eexit_tf.tflite.benchmarking.protocol import Firmware

INPUT_BYTES = 40  # more than one command holds


class Scores(Network):
    """A network whose scores are the bytes that the board says."""

    others = ()

    def __init__(self) -> None:
        pass

    def scores(self, content: bytes) -> NDArray:
        return np.frombuffer(content, np.int8)


GOOD = {
    "start": "m-lap-ticks-[200]",
    "stop": "m-lap-ticks-[1200]",
    "results": "m-results-[0.500,0.001,0.996]",
    "exit": "m-exit-[2]",
    "scores": "m-scores-[00807f]",
}


class Scripted:
    """A port to a board that gives these answers to every sample."""

    name = "the board"

    def __init__(self, load: str = "m-load-done", **changed: str) -> None:
        self.load, self.lines = load, {**GOOD, **changed}
        self.taken, self.said = b"", b""
        self.now = self.lasts = 0.0
        self.later = b""

    def write(self, content: bytes, _: float) -> None:
        profile = "m-profile-[x]\nm-model-[y]\nm-clock-hz-[9]\nm-input-bytes-[40]"
        for command in content.decode().strip("%").split("%"):
            if command.startswith("hello"):
                self.answer(f"e-[Unknown command: {command}]")
            elif command == "profile":
                self.answer(profile)
            elif command.startswith("infer"):
                self.said = b"m-infer-start-1\n"
                self.later = "\n".join([*self.lines.values(), "m-ready\n"]).encode()
            elif command.startswith("db load"):
                self.answer("m-[Expecting 40 bytes]")
            else:
                self.taken += bytes.fromhex(command.removeprefix("db "))
                self.answer(self.load if len(self.taken) % INPUT_BYTES == 0 else "")

    def answer(self, lines: str) -> None:
        self.said += f"{lines}\nm-ready\n".encode()

    def read(self, seconds: float) -> bytes:
        """What was said at once, or later after as long as an inference lasts."""
        said, self.said = self.said, b""
        if said or not self.later:
            return said
        self.now += min(seconds, self.lasts)
        said, self.later = self.later, b""
        return said if seconds >= self.lasts else b""


def test_answers_are_read_as_they_were_said() -> None:
    port = Scripted()
    sample = np.arange(INPUT_BYTES - 3).astype(np.int8)
    answer = Firmware(port).infer(sample, Scores())
    assert port.taken == sample.tobytes() + bytes(3)
    assert (answer.scores.tolist(), answer.exit, answer.latency) == ([0, -128, 127], 2, 1000)


@pytest.mark.parametrize(
    ("line", "said", "message"),
    [
        ("load", "", "lost bytes of the input"),
        ("start", "", "damaged results"),
        ("start", "m-lap-ticks-[1201]", "damaged results"),
        ("start", "m-lap-ticks-[-9223372036854775808]", "damaged results"),
        ("results", "m-results-[0.500,0.000,x]", "damaged results"),
        ("exit", "m-exit-[]", "damaged results"),
        ("scores", "", "damaged results"),
        ("scores", "m-scores-[00807]", "damaged results"),
        ("results", "m-results-[0.500,0.000,0.994]", "contradict each other"),
        ("results", "m-results-[0.500,0.002,0.996]", "contradict each other"),
        ("results", "m-results-[0.500,0.000]", "contradict each other"),
        ("scores", "m-scores-[00817f]", "contradict each other"),
        ("exit", "e-[Out of memory]", "refuses infer: Out of memory"),
    ],
)
def test_damage_is_noticed_wherever_it_is(line: str, said: str, message: str) -> None:
    device = Firmware(Scripted(**{line: said}))
    with pytest.raises(DeviceError, match=f"^the board .*{message}"):
        device.infer(np.zeros(INPUT_BYTES, np.int8), Scores())


@pytest.mark.parametrize(
    ("before", "lasts", "in_time"),
    [
        *(([], 29.9, True), ([], 30.1, False)),
        *(([0.1], 2.9, True), ([0.1], 3.1, False)),
        *(([2, 1], 19.9, True), ([2, 1], 20.1, False)),
    ],
)
def test_an_inference_may_last_ten_times_as_long_as_the_slowest(
    monkeypatch: pytest.MonkeyPatch, before: list[float], lasts: float, in_time: bool
) -> None:
    port = Scripted()
    monkeypatch.setattr(protocol.time, "monotonic", lambda: port.now)
    device, sample = Firmware(port), np.zeros(INPUT_BYTES, np.int8)
    for port.lasts in before:
        device.infer(sample, Scores())
    port.lasts = lasts
    if in_time:
        assert device.infer(sample, Scores()).latency == 1000
    else:
        with pytest.raises(DeviceError, match="the board stopped answering in the middle of infer"):
            device.infer(sample, Scores())
