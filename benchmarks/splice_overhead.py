"""What leaving early costs in arena and file size, against the same network without exits.

    python benchmarks/splice_overhead.py

Compared are, for each network: the converter's file with the last exit alone, the converter's
file with all exits as outputs (always computed), the spliced file without and with a memory
plan. Arena is the smallest that TFLM's Python wheel can set the network up in (64-bit, reference
kernels); what tensors need and what persists are shown as well. Weights are random; none of these
figures depends on them.
"""

import os
import platform
from importlib.metadata import version

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from eexit_tf import Exit, attach_exits, keep_exits
from eexit_tf.backbones import residual, separable
from eexit_tf.data import Samples
from eexit_tf.keras import keras
from eexit_tf.tflite import schema
from eexit_tf.tflite.arena import measure
from eexit_tf.tflite.plan import plan
from eexit_tf.tflite.quantization import quantize
from eexit_tf.tflite.splice import splice
from eexit_tf.vocabulary import LEVELS

NETWORKS = {
    "ResNet-8, 32x32x3": (lambda: residual((32, 32, 3)), ("block1", "block2", "block3")),
    "DS-CNN, 48x10x1": (lambda: separable((48, 10, 1)), ("block1", "block2", "block4")),
    "digits, 8x8x1": (lambda: residual((8, 8, 1), widths=(8, 16)), ("stem", "block1", "block2")),
}


def int8(net: keras.Model) -> bytes:
    samples = np.random.default_rng(0).normal(size=(16, *net.input_shape[1:])).astype(np.float32)
    return quantize(net, Samples(samples, np.zeros(16, np.int64)), method="ptq").content


def main() -> None:
    print(f"python {platform.python_version()}, tflite-micro {version('tflite-micro')}\n")
    print(f"{'':34}{'file':>9}{'tensors':>9}{'persist':>9}{'arena':>9}")
    for title, (backbone, taps) in NETWORKS.items():
        exits = [Exit(tap) for tap in taps]
        net = attach_exits(backbone(), exits, classes=10)
        names = [exit_.name for exit_ in exits]
        multi = int8(net)
        thresholds = [LEVELS // 4] * len(names)
        spliced = splice(multi, names, thresholds)
        rows = {
            "last exit alone (converter)": int8(keep_exits(net, exits[-1:])),
            "all exits, static (converter)": multi,
            "spliced, one exit": splice(multi, names[-1:], thresholds[-1:]),
            "spliced, no memory plan": splice(multi, names, thresholds, memory_plan=False),
            "spliced": spliced,
        }
        print(f"{title}, exits at {', '.join(taps)}")
        for name, content in rows.items():
            arena = measure(schema.read(content))
            numbers = (arena.tensor_bytes, arena.persistent_bytes, arena.needed_bytes)
            print(f"    {name:<30}{len(content):>9,}" + "".join(f"{n:>9,}" for n in numbers))
        made = plan(schema.read(spliced))
        print(f"    plan: {made.arena_bytes:,} bytes, lower bound {made.lower_bound:,}\n")


if __name__ == "__main__":
    main()
