"""How often LiteRT's optimised kernels (XNNPACK) differ from the reference kernels, and how far.

    python benchmarks/runtime_agreement.py

The reference kernels and TFLM agree to the last bit, which `tests/test_bit_for_bit.py` shows.
Networks and thresholds are those of that test: 50 of the search space with random weights and
MLPerf Tiny's two, made to leave early and run on random inputs. A step is one of the 256 levels
of a score; scores are compared where both took the same exit.
"""

import platform
import random
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from space_networks import RESNET8, data_path, ds_cnn, resnet8, sharing_thresholds, space_networks
from test_bit_for_bit import ARCHITECTURES, COUNTS, inputs_for

from eexit_tf.tflite import costs, schema, splice
from eexit_tf.tflite.normalize import normalize
from eexit_tf.tflite.runtimes import LiteRT

SPACE_INPUTS, MLPERF_INPUTS = 1000, 100


def main() -> None:
    print(f"python {platform.python_version()}, ai-edge-litert {version('ai-edge-litert')}\n")
    print(f"{'':24}{'inputs':>8}{'exit':>8}{'class':>8}{'scores':>8}{'mean':>8}{'largest':>9}")
    rows = [compare(multi, SPACE_INPUTS, seed) for seed, multi in of_the_space()]
    show("search space, 50", np.concatenate(rows))
    show("DS-CNN", compare(ds_cnn(), MLPERF_INPUTS, 0))
    path = data_path(RESNET8)
    if path.is_file():
        show("ResNet-8", compare(resnet8(path), MLPERF_INPUTS, 0))
    else:
        print(f"no {path}: ResNet-8 left out")


def of_the_space() -> Iterator[tuple[int, bytes]]:
    for seed in range(ARCHITECTURES):
        for multi in space_networks(seed, COUNTS[seed % len(COUNTS)]):
            yield seed, multi


def compare(multi: bytes, count: int, seed: int) -> np.ndarray:
    """For each input: whether exit and class differ, and by how many steps the scores do."""
    exits = costs.order_by_cost(schema.read(multi))
    x = inputs_for(multi, count, seed)
    outputs = LiteRT(normalize(multi)).run(x)
    levels = sharing_thresholds(outputs, exits, random.Random(seed))
    content = splice.splice(multi, exits, levels)
    reference, optimised = (LiteRT(content, reference=flag).run(x) for flag in (True, False))
    scores = [found[splice.SCORES].astype(int) for found in (reference, optimised)]
    exit_differs = reference[splice.EXIT].reshape(-1) != optimised[splice.EXIT].reshape(-1)
    class_differs = scores[0].argmax(axis=1) != scores[1].argmax(axis=1)
    steps = np.where(exit_differs, 0, np.abs(scores[0] - scores[1]).max(axis=1))
    return np.stack([exit_differs, class_differs, steps], axis=1)


def show(name: str, rows: np.ndarray) -> None:
    exit_differs, class_differs, steps = rows.T
    off = steps[steps > 0]
    print(
        f"{name:24}{len(rows):>8,}{exit_differs.mean():>8.2%}{class_differs.mean():>8.2%}"
        f"{(steps > 0).mean():>8.2%}{off.mean() if len(off) else 0:>8.1f}{steps.max():>9}"
    )


if __name__ == "__main__":
    main()
