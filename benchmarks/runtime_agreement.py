"""How often LiteRT's optimised kernels (XNNPACK) differ from the reference kernels, and how far.

    python benchmarks/runtime_agreement.py [M.tflite DATASET]...

The reference kernels and TFLM agree to the last bit, which `tests/test_bit_for_bit.py` shows.
Compared are networks of the search space with random weights on random inputs, as in that test,
and self-exiting files, their cards beside them, on the first 1,000 samples of their test data. A
step is one of the 256 levels of an int8 value. First the networks as a whole: exits, classes, and
scores where both took the same exit (the largest difference of a sample). Then each operator
alone, on the reference kernels' inputs.
"""

import copy
import json
import platform
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as fb
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from space_networks import space_networks
from test_bit_for_bit import COUNTS, inputs_for

from eexit_tf.data import load
from eexit_tf.tflite import costs, flatbuffer, schema
from eexit_tf.tflite.inputs import quantise
from eexit_tf.tflite.runtimes import LiteRT
from eexit_tf.tflite.splicing import splice, spliced
from eexit_tf.tflite.splicing.builder import Builder
from eexit_tf.tflite.splicing.normalize import normalize
from eexit_tf.tflite.splicing.unsplice import unsplice

ARCHITECTURES, RANDOM_INPUTS, TEST_SAMPLES, ALONE = 10, 200, 1000, 20


def main(*pairs: str) -> None:
    print(f"python {platform.python_version()}, ai-edge-litert {version('ai-edge-litert')}\n")
    networks = [(f"random, {2 * ARCHITECTURES} networks", list(of_the_space()))]
    for path, dataset in zip(pairs[::2], pairs[1::2], strict=True):
        content, data = Path(path).read_bytes(), load(dataset)
        divisor = json.loads(Path(path).with_suffix(".json").read_text())["input"]["divisor"]
        x = data.test.x[:TEST_SAMPLES] * np.float32(data.divisor / divisor)
        x = quantise(flatbuffer.read(content), x)
        networks.append((Path(path).name, [(content, x)]))
    print(
        f"{'':24}{'samples':>8}{'exit':>8}{'class':>8} | scores: 0{'1':>8}{'> 1':>8}{'largest':>9}"
    )
    for name, cases in networks:
        show(name, np.concatenate([compare(content, x) for content, x in cases]))
    print(f"\n{'operators alone':24}{'values':>11}{'1':>10}{'> 1':>8}")
    found: dict[str, list[NDArray]] = {}
    for _, cases in networks:
        for content, x in cases:
            alone(content, x[:ALONE], found)
    for operator, counts in sorted(found.items()):
        values, one, more = np.sum(counts, axis=0)
        print(f"{operator:24}{values:>11,}{one / values:>10.3%}{more / values:>8.3%}")


def of_the_space() -> Iterator[tuple[bytes, NDArray]]:
    """Self-exiting networks; half of the random inputs are sure enough at each exit."""
    for seed in range(ARCHITECTURES):
        for multi in space_networks(seed, COUNTS[seed % len(COUNTS)]):
            exits = costs.order_by_cost(flatbuffer.read(multi))
            x = inputs_for(multi, RANDOM_INPUTS, seed)
            said = LiteRT(normalize(multi)).run(x)
            levels = [int(np.median(said[name].max(axis=1))) for name in exits]
            yield splice.splice(multi, exits, levels), x


def compare(content: bytes, x: NDArray) -> NDArray:
    """For each sample: whether exit and class differ, and by how many steps the scores do."""
    reference, optimised = (LiteRT(content, reference=flag).run(x) for flag in (True, False))
    scores = [found[spliced.SCORES].astype(int) for found in (reference, optimised)]
    exits = reference[spliced.EXIT].reshape(-1) != optimised[spliced.EXIT].reshape(-1)
    classes = scores[0].argmax(axis=1) != scores[1].argmax(axis=1)
    steps = np.where(exits, -1, np.abs(scores[0] - scores[1]).max(axis=1))
    return np.stack([exits, classes, steps], axis=1)


def show(name: str, rows: NDArray) -> None:
    exits, classes, steps = rows.T
    steps = steps[steps >= 0]
    shares = "".join(f"{part.mean():>8.2%}" for part in (steps == 1, steps > 1))
    print(
        f"{name:24}{len(rows):>8,}{exits.mean():>8.2%}{classes.mean():>8.2%} |"
        f"{(steps == 0).mean():>10.2%}{shares}{steps.max():>9}"
    )


def alone(content: bytes, x: NDArray, found: dict[str, list[NDArray]]) -> None:
    """Count, for each operator, output values and those that differ by one step and by more."""
    static = flatbuffer.read(unsplice(content))
    main = static.subgraphs[0]
    operators = range(len(main.operators))
    made = [int(op.outputs[0]) for op in main.operators]
    values = LiteRT(part(static, operators, [int(main.inputs[0])], made)).run(x)
    values = {int(name): value for name, value in values.items()} | {int(main.inputs[0]): x}
    for position in operators:
        op = main.operators[position]
        read = [int(i) for i in op.inputs if i in values]
        one = part(static, [position], read, [made[position]])
        networks = [LiteRT(one, reference=flag) for flag in (True, False)]
        for k in range(len(x)):
            given = [values[i][k].reshape(main.tensors[i].shape) for i in read]
            said = [next(iter(n.invoke(given).values())).astype(int) for n in networks]
            steps = np.abs(said[0] - said[1])
            counts = np.array([steps.size, (steps == 1).sum(), (steps > 1).sum()])
            found.setdefault(schema.op_name(static, op), []).append(counts)


def part(
    static: fb.ModelT, positions: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
) -> bytes:
    """Some operators as a network; its tensors are called by their numbers."""
    model, main = copy.copy(static), copy.copy(static.subgraphs[0])
    main.inputs, main.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    maps = ([fb.TensorMapT(str(i), i) for i in side] for side in (inputs, outputs))
    model.subgraphs = [main]
    model.signatureDefs = [fb.SignatureDefT(*maps, "serving_default", 0)]
    builder = Builder(model)
    graph = builder.graph("main", inputs)
    for position in positions:
        graph.copy_operator(position)
    graph.outputs = [graph.tensor(index) for index in outputs]
    return flatbuffer.write(builder.finish([str(i) for i in outputs]))


if __name__ == "__main__":
    main(*sys.argv[1:])
