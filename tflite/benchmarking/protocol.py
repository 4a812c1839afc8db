"""MLPerf Tiny's text protocol, from the host's side, with the extensions of our firmware.

A command ends in `%`. The device answers with lines that begin with `m-`, or with `e-[...]` for
an error, and then says `m-ready`. The commands and the extensions (exit index, exact scores,
clock ticks, several networks) are described in `tflite/firmware/src/protocol.h`.
"""

import itertools
import re
import time
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from eexit_tf.tflite.benchmarking.devices import Answer, DeviceError, Network
from eexit_tf.tflite.benchmarking.ports import Port
from eexit_tf.vocabulary import LEVELS

PATIENCE = 3.0
"""Seconds that a device has for an answer."""

INFERENCE_PATIENCE = 30.0
"""The same for the first inference; later ones have ten times as long as the slowest so far.
A device that is dead is noticed before: it says at once that the inference has begun."""

BOOT_PATIENCE = 6.0
"""Seconds for the first answer: boards that reset when their port is opened start first."""

MOST_BYTES = 1 << 18
MOST_TICKS = 1 << 63
"""Of an inference; clocks have 64 bits."""
BYTES_A_COMMAND = 31
"""Of an input; a command has at most 80 characters in MLPerf Tiny's firmware."""

_ERROR = "e-["
_PROFILE = ("profile", "model", "clock-hz", "input-bytes")
_NUMBERS = ("clock-hz", "input-bytes", "arena-bytes")
_COUNT = re.compile(r"0*[1-9][0-9]{0,14}")
"""More than 0, and no more than a board can mean."""
_VALUE = re.compile(r"m-([a-z-]+)-\[(.*)\]")


class Firmware:
    """A device that runs the benchmark firmware.

    Args:
        port: where it is.

    Attributes:
        profile: what it says of itself: `profile`, `model`, `clock-hz`, `input-bytes`.

    Raises:
        DeviceError: here and in every method: the device is gone, silent, or says something
            that is not the protocol.
    """

    def __init__(self, port: Port) -> None:
        self._port = port
        self._slowest: float | None = None
        self._rest = b""
        self._begin()
        self.profile = self._values("profile", _PROFILE)

    def select(self, number: int) -> dict[str, str]:
        """Select a network; what the device says of it: `model`, `arena-bytes`."""
        return self._values(f"model {number}", ("model", "arena-bytes"), INFERENCE_PATIENCE)

    def infer(self, sample: NDArray, network: Network) -> Answer:
        """Run one sample; the answer has the latency in ticks of the device's clock."""
        content = b"".join(value.tobytes() for value in (sample, *network.others))
        content = content.ljust(int(self.profile["input-bytes"]), b"\0")
        self.command(f"db load {len(content)}")
        for start in range(0, len(content), BYTES_A_COMMAND):
            said = self.command(f"db {content[start : start + BYTES_A_COMMAND].hex()}")
        if "m-load-done" not in said:
            raise DeviceError(f"{self._port.name} lost bytes of the input")
        patience = INFERENCE_PATIENCE
        if self._slowest is not None:
            patience = max(PATIENCE, 10 * self._slowest)
        begun = time.monotonic()
        lines = self.command("infer 1 0", patience, first=PATIENCE)
        self._slowest = max(self._slowest or 0.0, time.monotonic() - begun)
        return self._answer(lines, network)

    def command(
        self, text: str, patience: float | None = None, first: float | None = None
    ) -> list[str]:
        """Send a command; the lines of its answer.

        Args:
            patience: seconds for the whole answer, `PATIENCE` if not given.
            first: seconds for its first line, if fewer.
        """
        what = text.split(" ")[0]
        patience = PATIENCE if patience is None else patience
        self._port.write(f"{text}%".encode(), PATIENCE)
        lines: list[str] = []
        for line in self._lines(what, patience, patience if first is None else first):
            if line == "m-ready":
                break
            lines.append(line)
        errors = [line for line in lines if line.startswith(_ERROR)]
        if errors:
            raise DeviceError(f"{self._port.name} refuses {what}: {_bare(errors[0])}")
        return lines

    def _begin(self) -> None:
        """Wait for the first sign of life, and for the end of what was said before it.

        The device repeats a command that it does not know; when it does that, all answers to
        earlier ones have come.
        """
        end = time.monotonic() + BOOT_PATIENCE
        for attempt in itertools.count():
            unknown = f"hello-{attempt}"
            self._port.write(f"%{unknown}%".encode(), PATIENCE)
            try:
                heard = False
                for line in self._lines("a first command", PATIENCE, 1.0):
                    if heard and line == "m-ready":
                        return
                    heard = heard or (line.startswith(_ERROR) and unknown in line)
            except _SilenceError:
                if time.monotonic() > end:
                    raise

    def _lines(self, what: str, patience: float, first: float) -> Iterator[str]:
        """Lines of the protocol as they come; everything else counts as noise."""
        begun = time.monotonic()
        end = begun + first
        lines: list[str] = []
        noise, taken = b"", 0
        while True:
            content = self._port.read(end - time.monotonic())
            taken += len(content)
            if not content or taken > MOST_BYTES or time.monotonic() > end:
                rest = self._rest.decode("ascii", "replace")
                if rest.startswith(("m-", _ERROR)):
                    lines.append(rest)
                else:
                    noise += self._rest
                raise self._silence(what, noise, lines)
            *complete, self._rest = (self._rest + content).split(b"\n")
            for raw in complete:
                line = raw.strip().decode("ascii", "replace")
                if line.startswith(("m-", _ERROR)):
                    end = begun + patience
                    lines.append(line)
                    yield line
                elif line:
                    noise += raw

    def _silence(self, what: str, noise: bytes, lines: list[str]) -> DeviceError:
        name = self._port.name
        errors = [line for line in lines if line.startswith(_ERROR)]
        if errors:
            return DeviceError(f"{name} stopped at {what}: {_bare(errors[0])}")
        if noise:
            return _SilenceError(
                f"{name} answers {what} with something else than the benchmark firmware would: "
                f"{noise[:40]!r} (another program or baud rate?)"
            )
        if lines:
            return _SilenceError(f"{name} stopped answering in the middle of {what}")
        return _SilenceError(f"{name} is silent: no answer to {what}")

    def _values(
        self, command: str, wanted: Sequence[str], patience: float | None = None
    ) -> dict[str, str]:
        """What the answer to a command gives by name, numbers where numbers belong."""
        values = dict(_pairs(self.command(command, patience)))
        for name in wanted:
            value = values.get(name)
            if value is None or (name in _NUMBERS and not _COUNT.fullmatch(value)):
                raise DeviceError(
                    f"{self._port.name} does not run the firmware of eexit-tf: it says "
                    f"{name} {value and value[:40]} to {command}"
                )
        return values

    def _answer(self, lines: list[str], network: Network) -> Answer:
        """The results of an inference, which are said twice: roughly by MLPerf Tiny's lines,
        exactly by ours. Bytes that were lost or changed on the way show in the difference."""
        try:
            found = _pairs(lines)
            values = dict(found)
            start, stop = (int(value) for key, value in found if key == "lap-ticks")
            scores = network.scores(bytes.fromhex(values["scores"]))
            roughly = np.array(values["results"].split(","), np.float64)
            answer = Answer(scores, int(values["exit"]), stop - start)
            if not 0 <= answer.latency < MOST_TICKS:
                raise ValueError("not a time")
        except (ValueError, KeyError, IndexError) as error:
            raise DeviceError(f"{self._port.name} sent damaged results: {lines}") from error
        exact = scores if scores.dtype != np.int8 else (scores + LEVELS / 2) / LEVELS
        if roughly.shape != exact.shape or not np.abs(roughly - exact).max() <= 0.001:
            raise DeviceError(f"{self._port.name} sent scores that contradict each other: {lines}")
        return answer


def _pairs(lines: list[str]) -> list[tuple[str, str]]:
    """Lines such as `m-exit-[2]` as pairs such as `exit`, `2`."""
    return [(found[1], found[2]) for line in lines if (found := _VALUE.fullmatch(line))]


def _bare(error: str) -> str:
    return error.removeprefix(_ERROR).removesuffix("]")


class _SilenceError(DeviceError):
    """No answer in time."""
