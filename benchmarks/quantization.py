"""What quantisation costs: one trained network in float32, and in int8 and fewer bits.

    python benchmarks/quantization.py --dataset cifar10.npz [--seeds N] [--only WAY …]

The network of `training_ablation.py`, trained with flips and shifts. Each way begins with the same
weights; `qat` fine-tunes them for as many epochs as they were trained, with the product's learning
rate, and one row does the same in float32. Policies are chosen on validation and judged on the
10,000 test images: for float32 with confidences rounded as int8 would, for the others by the file
in LiteRT. A run that is in the JSON file is not done again.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import training_runs as runs
from training_ablation import EXITS
from training_runs import SHIFTED, SHOWN, Figures, Work

from eexit_tf.data import Samples
from eexit_tf.exits import attach_exits
from eexit_tf.keras import keras, seed_everything
from eexit_tf.network_costs import exit_costs
from eexit_tf.outputs import ExitOutputs
from eexit_tf.policies import search_policies
from eexit_tf.tflite.outputs import exit_outputs as file_outputs
from eexit_tf.tflite.quantization import LEARNING_RATE, quantize
from eexit_tf.tflite.splicing.normalize import normalize
from eexit_tf.training import exit_outputs, fit, save_weights

FLOAT, FLOAT_TUNED = "float32", "float32, fine-tuned"
WAYS: dict[str, dict[str, Any]] = {
    FLOAT: {},
    FLOAT_TUNED: {},
    "ptq": {"method": "ptq"},
    "qat": {},
    "qat, heads of 4 bits": {"head_bits": 4},
    "qat, all of 4 bits": {"backbone_bits": 4, "head_bits": 4},
}
COLUMNS: dict[str, Callable[[Figures], float]] = {
    "hypervolume": lambda run: run["hypervolume"],
    **{f"{budget / 1e6:g} M": runs.accuracy_within(budget) for budget in SHOWN},
    "last exit": lambda run: run["accuracy"][-1],
}
HERE = Path(__file__)


def trained(seed: int, work: Work, folder: Path) -> keras.Model:
    """The float network of a seed, trained once."""
    keras.backend.clear_session()
    seed_everything(seed)
    net = attach_exits(work.backbone(), EXITS, classes=work.data.classes)
    weights = folder / f"quantization-{seed}.weights.h5"
    if not weights.exists():
        fit(net, work.train, epochs=work.epochs, batch_size=runs.BATCH, augmentation=SHIFTED)
        save_weights(net, weights)
    net.load_weights(weights)
    return net


def measure(way: str, seed: int, work: Work, folder: Path) -> Figures:
    net = trained(seed, work, folder)
    costs, kilobytes = exit_costs(net), 0.0
    tuning: dict[str, Any] = {"epochs": work.epochs, "augmentation": SHIFTED}
    seed_everything(seed)
    if way == FLOAT_TUNED:
        fit(net, work.train, learning_rate=LEARNING_RATE, **tuning)
    if way in (FLOAT, FLOAT_TUNED):
        outputs: Callable[[Samples], ExitOutputs] = partial(exit_outputs, net)
    else:
        content = normalize(quantize(net, work.train, **tuning, **WAYS[way]).content)
        kilobytes = len(content) / 1000
        names = [exit_.name for exit_ in costs.exits]
        outputs = partial(file_outputs, content, names, confidence="max")
    found = search_policies(outputs(work.data.validation), costs, tolerance=0.0005).found
    test = outputs(work.data.test)
    return {
        **runs.front_figures(found, test, costs),
        "accuracy": test.right.mean(axis=1).tolist(),
        "kilobytes": kilobytes,
    }


def main() -> None:
    parser = runs.options(HERE, __doc__.splitlines()[0], WAYS, 2)
    parser.add_argument("--folder", type=Path, default=Path("."), help="for trained weights")
    arguments = parser.parse_args()
    done = runs.run_all(arguments, partial(measure, folder=arguments.folder))
    runs.show(done, COLUMNS, over=dict.fromkeys(set(WAYS) - {FLOAT}, FLOAT))
    for way, seeds in done.done.items():
        if way not in (FLOAT, FLOAT_TUNED):
            print(f"{way:28}{next(iter(seeds.values()))['kilobytes']:6.1f} kB of file")


if __name__ == "__main__":
    main()
