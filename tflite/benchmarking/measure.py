"""Running a data set's samples through a self-exiting network on a device."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from numpy.typing import NDArray

from eexit_tf.data import Samples, labelled
from eexit_tf.errors import UserError
from eexit_tf.files import read_bytes
from eexit_tf.reporter import SILENT, Reporter
from eexit_tf.tflite.benchmarking.devices import Answer, Device, DeviceError, Network
from eexit_tf.tflite.benchmarking.firmware import BOARDS, TflmLibrary
from eexit_tf.tflite.benchmarking.host import open_host
from eexit_tf.tflite.benchmarking.qemu import open_qemu
from eexit_tf.tflite.benchmarking.result import Benchmark, Progress
from eexit_tf.tflite.benchmarking.serial import open_serial
from eexit_tf.tflite.inputs import quantise
from eexit_tf.tflite.interpreter import EarlyExitInterpreter
from eexit_tf.tflite.model import CompiledModel
from eexit_tf.tflite.splicing import spliced
from eexit_tf.tflite.splicing.splice import splice
from eexit_tf.tflite.splicing.unsplice import unsplice


class UnfinishedError(DeviceError):
    """A device that failed after something had been measured.

    Attributes:
        partial: what was measured.
    """

    def __init__(self, error: DeviceError, partial: Benchmark) -> None:
        done = len(partial.early.answers) + len(partial.static.answers)
        super().__init__(f"{error}; {done} of {2 * partial.samples} runs had been measured")
        self.partial = partial


def benchmark(
    model: CompiledModel | Path | str,
    samples: Samples,
    *,
    target: str = "host",
    tflm: TflmLibrary | None = None,
    reporter: Reporter = SILENT,
) -> Benchmark:
    """Measure a self-exiting network on a device, and its last exit alone beside it.

    Every sample is run in each: which exit it takes is part of what is measured. A board runs it
    once; on the host, by whose wall clock no two runs take the same time, it is run several times
    in a row and the least time counts (see `host`).

    Args:
        model: what `compile` made, or the path of its file.
        samples: inputs in the units that the network was trained on, and labels.
        target: `host` (TFLM's wheel), `qemu:BOARD`, or `serial:PORT`.
        tflm: the TFLM library that `qemu` links into the firmware.

    Raises:
        UserError: the file, the samples, the target or the library do not fit, or a tool is
            missing.
        DeviceError: the device fails; as an `UnfinishedError` once anything has been measured.
    """
    content = model.content if isinstance(model, CompiledModel) else read_bytes(model)
    samples = Samples(*samples)
    reference = EarlyExitInterpreter(content)
    names = reference.exits
    others = spliced.threshold_inputs(reference.runtime.model, spliced.inspect(content))
    static = splice(unsplice(content), names[-1:], [spliced.LOWEST])
    networks = [Network(content, others), Network(static)]
    _check(target, tflm)
    inputs = quantise(networks[0].model, samples.x)
    expected = reference.predict(inputs).raw_scores
    samples = labelled(samples, expected.shape[1])
    found = None
    try:
        with _open(target, networks, tflm) as device:
            reporter.say(f"{target}: {', '.join(device.environment.values())}")
            found = Benchmark(
                target=target,
                unit=device.unit,
                environment=device.environment,
                samples=len(inputs),
                exit_names=names,
                early=Progress(len(content), samples.y),
                static=Progress(len(static), samples.y),
                reference=expected,
            )
            runs = (
                (0, found.early, len(names), f"{target}, leaving early"),
                (1, found.static, 1, f"{target}, last exit alone"),
            )
            turn = device.turn or len(inputs)
            for start in range(0, len(inputs), turn):
                for number, progress, exits, what in runs:
                    progress.arena_bytes = device.select(number)
                    for done, sample in enumerate(inputs[start : start + turn], start + 1):
                        progress.answers.append(_answer(device, sample, exits))
                        reporter.step(done, len(inputs), what)
    except DeviceError as error:
        if found is None:
            raise
        raise UnfinishedError(error, found) from error
    return found


def _answer(device: Device, sample: NDArray, exits: int) -> Answer:
    answer = device.run(sample)
    if not 0 <= answer.exit < exits:
        raise DeviceError(f"the device took exit {answer.exit} of a network with {exits}")
    return answer


def _check(target: str, tflm: TflmLibrary | None) -> None:
    kind, _, where = target.partition(":")
    known = ["host", *(f"qemu:{board}" for board in BOARDS)]
    if target not in known and not (kind == "serial" and where):
        expected = ", ".join(known)
        raise UserError(f"unknown target {target!r}; expected {expected} or serial:PORT")
    if (kind == "qemu") != (tflm is not None):
        raise UserError(
            f"the target {target} needs a TFLM library that was built for its processor: give "
            "--tflm-lib and --tflm-include"
            if tflm is None
            else f"the target {target} takes no TFLM library"
        )


def _open(
    target: str, networks: Sequence[Network], tflm: TflmLibrary | None
) -> AbstractContextManager[Device]:
    kind, _, where = target.partition(":")
    if kind == "qemu":
        return open_qemu(where, networks, tflm)
    return open_serial(where, networks) if kind == "serial" else open_host(networks)
