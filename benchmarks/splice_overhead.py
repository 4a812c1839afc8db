"""What leaving early costs in arena, file and instructions, against the same network without.

    python benchmarks/splice_overhead.py
    python benchmarks/splice_overhead.py --target qemu:mps3-an547 --tflm-lib L --tflm-include I

Compared are, for each network: the converter's file with the last exit alone, the converter's
file with all exits as outputs (always computed), the spliced file without and with a memory
plan. Arena is the smallest that TFLM's Python wheel can set the network up in (64-bit, reference
kernels); what tensors need and what persists are shown as well.

With `--target` it is what TFLM uses on the emulated board, with the kernels of the library given,
and instructions are counted: of the longest path against the static network with all exits, of
the shortest against the operators that it needs. Weights are random, but always the same.
"""

import argparse
import os
import platform
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from eexit_tf import Exit, attach_exits, keep_exits
from eexit_tf.backbones import Stage, Stem, residual, separable
from eexit_tf.data import Samples
from eexit_tf.keras import keras
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.arena import measure
from eexit_tf.tflite.benchmarking import TflmLibrary
from eexit_tf.tflite.benchmarking.devices import Network
from eexit_tf.tflite.benchmarking.qemu import open_qemu
from eexit_tf.tflite.quantization import quantize
from eexit_tf.tflite.splicing.memory_plan import plan
from eexit_tf.tflite.splicing.splice import splice
from eexit_tf.vocabulary import LEVELS

LEAVE, STAY = -LEVELS // 2, LEVELS // 2 - 1
STATIC, SPLICED = "all exits, static (converter)", "spliced"
NETWORKS = {
    "ResNet-8, 32x32x3": (lambda: residual((32, 32, 3)), ("block1", "block2", "block3")),
    "DS-CNN, 49x10x1": (lambda: separable((49, 10, 1)), ("block1", "block2", "block4")),
    "digits, 8x8x1": (
        lambda: residual((8, 8, 1), stem=Stem(8), stages=(Stage(8, stride=1), Stage(16))),
        ("stem", "block1", "block2"),
    ),
}


def int8(net: keras.Model) -> bytes:
    samples = np.random.default_rng(0).normal(size=(16, *net.input_shape[1:])).astype(np.float32)
    return quantize(net, Samples(samples, np.zeros(16, np.int64)), method="ptq").content


def on_host(rows: dict[str, bytes]) -> None:
    """Arena in TFLM's wheel."""
    print(f"    {'':30}{'file':>9}{'tensors':>9}{'persist':>9}{'arena':>9}")
    needed = {}
    for name, content in rows.items():
        arena = measure(flatbuffer.read(content))
        needed[name] = arena.needed_bytes
        numbers = (len(content), arena.tensor_bytes, arena.persistent_bytes, arena.needed_bytes)
        print(f"    {name:<30}" + "".join(f"{n:>9,}" for n in numbers))
    made = plan(flatbuffer.read(rows[SPLICED]))
    print(f"    plan: {made.arena_bytes:,} bytes, lower bound {made.lower_bound:,}")
    print(f"    spliced / static: arena {needed[SPLICED] / needed[STATIC]:.4f}, ", end="")
    print(f"file {len(rows[SPLICED]) / len(rows[STATIC]):.4f}\n")


def on_board(multi: bytes, names: list[str], board: str, tflm: TflmLibrary) -> None:
    """Arena and instructions on an emulated board, for one random input."""
    short, long, one = "spliced, shortest path", "spliced, longest path", "first exit alone"
    rows = {  # each with the exit that it takes, none for a file without decisions
        "last exit alone": (splice(multi, names[-1:], [LEAVE]), 0),
        STATIC: (multi, None),
        "spliced, no memory plan": (
            splice(multi, names, [STAY] * len(names), memory_plan=False),
            len(names) - 1,
        ),
        long: (splice(multi, names, [STAY] * len(names)), len(names) - 1),
        one: (splice(multi, names[:1], [LEAVE]), 0),
        short: (splice(multi, names, [LEAVE] * len(names)), 0),
    }
    main = flatbuffer.read(multi).subgraphs[0]
    shape = schema.shape(main.tensors[main.inputs[0]])[1:]
    sample = np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)
    arena, steps = {}, {}
    print(f"    {'':30}{'file':>9}{'arena':>9}{'instructions':>14}")
    with open_qemu(board, [Network(content) for content, _ in rows.values()], tflm) as device:
        for number, (name, (content, taken)) in enumerate(rows.items()):
            arena[name] = device.select(number)
            answer = device.run(sample)
            assert taken in (None, answer.exit), f"{name} took exit {answer.exit}"
            steps[name] = int(answer.latency)
            print(f"    {name:<30}{len(content):>9,}{arena[name]:>9,}{steps[name]:>14,}")
    print(f"    arena, spliced / static: {arena[long] / arena[STATIC]:.4f}; instructions: ", end="")
    print(f"longest / static {steps[long] / steps[STATIC]:.4f}, ", end="")
    print(f"shortest / first exit alone {steps[short] / steps[one]:.4f}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="host", help="host or qemu:BOARD")
    parser.add_argument("--tflm-lib", type=Path)
    parser.add_argument("--tflm-include", type=Path, action="append", default=[])
    asked = parser.parse_args()
    if asked.target != "host" and asked.tflm_lib is None:
        parser.error("a board needs --tflm-lib and --tflm-include")
    print(f"python {platform.python_version()}, tflite-micro {version('tflite-micro')}")
    for title, (backbone, taps) in NETWORKS.items():
        keras.utils.set_random_seed(0)
        exits = [Exit(tap) for tap in taps]
        net = attach_exits(backbone(), exits, classes=10)
        names, multi = [exit_.name for exit_ in exits], int8(net)
        print(f"{title}, exits at {', '.join(taps)}, {asked.target}")
        if asked.target != "host":
            library = TflmLibrary(asked.tflm_lib, tuple(asked.tflm_include))
            on_board(multi, names, asked.target.removeprefix("qemu:"), library)
            continue
        thresholds = [LEVELS // 4] * len(names)
        on_host(
            {
                "last exit alone (converter)": int8(keep_exits(net, exits[-1:])),
                STATIC: multi,
                "spliced, one exit": splice(multi, names[-1:], thresholds[-1:]),
                "spliced, no memory plan": splice(multi, names, thresholds, memory_plan=False),
                SPLICED: splice(multi, names, thresholds),
            }
        )


if __name__ == "__main__":
    main()
