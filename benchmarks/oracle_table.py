"""A table of real trainings, from which `benchmarks/oracle.py` replays searches.

    python benchmarks/oracle_table.py WORK

trains what is not in the folder yet (half an hour of one core in all; it may be stopped and
started again) and packs all of it into `benchmarks/oracle_table.npz`. In the stored table, 20
networks of three stages still have kernels of 5 on maps of 2 x 2, which are cut to 3 since.

Every backbone of a small space is trained once with all its exits on scikit-learn's digits with
noise added, which makes larger networks worth their cost. Kept are the validation outputs of
every exit, at the end and at the rungs on the way, and the processor seconds spent until then.
"""

import argparse
import itertools
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from eexit_tf.costs import ExitCosts
from eexit_tf.outputs import ExitOutputs
from eexit_tf.policies import search_policies
from eexit_tf.vocabulary import Exit

SPACE: dict[str, tuple] = {
    "family": ("residual", "separable"),
    "width": (4, 6, 8, 12, 16, 24),
    "growth": (1.0, 2.0),
    "stages": (2, 3),
    "depth": (1, 2),
    "kernel": (3, 5),
}
"""All but the family go from cheap to costly. A stage has `growth` times the channels of the one
before."""
HEADS = ("grid_dense", "conv3_dense")
MAX_MACS = 400_000
"""Exits that cost more alone are cut off before training."""
NOISE = 0.3
"""Standard deviation of what is added to the pixels (0 to 1)."""
VALIDATION = 600
"""Samples; the other 1,197 are trained on."""
EPOCHS = 9
RUNGS = (3, 6, EPOCHS)
"""Epochs after which the outputs are kept."""
EFFORT = 3e7
"""Of the search for each front; see `search_policies`."""
TABLE = Path(__file__).with_suffix(".npz")


@dataclass(frozen=True)
class Training:
    """One row of the table.

    Attributes:
        costs: of all candidate exits.
        outputs: of the same exits on the validation samples, when trained.
        fronts: (mean MACs, accuracy) points, at each rung.
        seconds: of one core, from the building of the network to each rung.
    """

    costs: ExitCosts
    outputs: ExitOutputs
    fronts: tuple[tuple[tuple[float, float], ...], ...]
    seconds: tuple[float, ...]


def every_point() -> list[dict[str, Any]]:
    """The whole space, in the order of the table."""
    return [dict(zip(SPACE, values, strict=True)) for values in itertools.product(*SPACE.values())]


def train(work: Path) -> None:
    """Train what is not yet in the folder, in a random order."""
    from eexit_tf.keras import tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    work.mkdir(parents=True, exist_ok=True)
    points = every_point()
    for done, index in enumerate(np.random.default_rng(0).permutation(len(points)).tolist()):
        path = work / f"{name(points[index])}.npz"
        if not path.exists():
            arrays = _train_one(points[index])
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                np.savez_compressed(file, **arrays)
            part.rename(path)
            print(f"{done + 1}/{len(points)} {points[index]} {arrays['seconds']}", flush=True)


def name(values: dict[str, Any]) -> str:
    return "-".join(map(str, values.values()))


def _train_one(values: dict[str, Any]) -> dict[str, Any]:
    from eexit_tf.keras import keras, seed_everything
    from eexit_tf.network_costs import exit_costs
    from eexit_tf.training import fit, scores

    keras.backend.clear_session()
    seed_everything(zlib.crc32(name(values).encode()))
    fitting, held = _digits()
    begin = process_time()
    net = network(values)
    costs = exit_costs(net)
    outputs: list[ExitOutputs] = []
    seconds: list[float] = []

    def note(epoch: int, _: object) -> None:
        if epoch + 1 in RUNGS:
            seconds.append(process_time() - begin - sum(asking))
            before = process_time()
            outputs.append(ExitOutputs.from_scores(scores(net, held.x), held.y))
            asking.append(process_time() - before)

    asking: list[float] = []
    fit(net, fitting, epochs=EPOCHS, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=note)])
    return {
        "levels": np.stack([o.levels for o in outputs]),
        "right": np.stack([o.right for o in outputs]),
        "seconds": np.round(seconds, 2),
        "exits": np.array([e.name for e in costs.exits]),
        "trunk_macs": costs.trunk_macs,
        "head_macs": costs.head_macs,
        "trunk_params": costs.trunk_params,
        "head_params": costs.head_params,
        "decision": costs.decision,
    }


def network(values: dict[str, Any]) -> Any:
    """A point of the space, with all the exits that it is trained with."""
    from eexit_tf import backbones
    from eexit_tf.exits import attach_exits, keep_exits
    from eexit_tf.network_costs import exit_costs

    widths = [round(values["width"] * values["growth"] ** s) for s in range(values["stages"])]
    first, *others = [backbones.Stage(w, values["depth"], values["kernel"]) for w in widths]
    backbone = getattr(backbones, values["family"])(
        (8, 8, 1), stem=backbones.Stem(widths[0]), stages=[replace(first, stride=1), *others]
    )
    exits = [Exit(tap, head) for tap in backbones.taps(backbone) for head in HEADS]
    net = attach_exits(backbone, exits, classes=10)
    costs = exit_costs(net)
    return keep_exits(
        net, [e for i, e in enumerate(costs.exits) if costs.alone_macs(i) <= MAX_MACS]
    )


def _digits() -> tuple[Any, Any]:
    from sklearn.datasets import load_digits

    from eexit_tf.data import Samples

    digits = load_digits()
    rng = np.random.default_rng(0)
    clean = digits.data.reshape(-1, 8, 8, 1) / 16
    x = (clean + NOISE * rng.normal(size=clean.shape)).astype(np.float32)
    order = rng.permutation(len(x))
    held, fitting = order[:VALIDATION], order[VALIDATION:]
    y = digits.target.astype(np.int64)
    return Samples(x[fitting], y[fitting]), Samples(x[held], y[held])


def pack(work: Path) -> None:
    """Search each network's fronts and write the table."""
    columns: dict[str, list[Any]] = {}
    for number, values in enumerate(every_point()):
        with np.load(work / f"{name(values)}.npz") as stored:
            row = {key: stored[key] for key in stored.files}
        row |= _fronts(row, work / f"{name(values)}-fronts.npz")
        row["levels"] = row["levels"][-1].ravel()
        row["right"] = np.packbits(row["right"][-1])
        for key, array in row.items():
            columns.setdefault(key, []).append(np.atleast_1d(array))
        print(f"packed {number + 1} of {len(every_point())}", end="\r", flush=True)
    packed = {}
    for key, arrays in columns.items():
        packed[key] = np.concatenate(arrays)
        packed[f"{key}_lengths"] = np.array([len(array) for array in arrays], np.uint16)
    np.savez_compressed(TABLE, **packed)
    print(f"\n{TABLE}: {TABLE.stat().st_size:,} bytes")


def _fronts(row: dict[str, Any], path: Path) -> dict[str, Any]:
    """At each rung, searched once."""
    if not path.exists():
        fronts = {}
        for rung in range(len(RUNGS)):
            outputs = ExitOutputs(row["levels"][rung], row["right"][rung])
            found = search_policies(outputs, _costs(row), effort=EFFORT).found
            fronts[f"macs{rung}"] = np.array([s.total_macs for _, s in found])
            fronts[f"correct{rung}"] = np.array([s.correct for _, s in found], np.int16)
        np.savez(path, **fronts)
    with np.load(path) as stored:
        return {key: stored[key] for key in stored.files}


def load() -> list[Training]:
    """The table, in the order of `every_point`."""
    with np.load(TABLE) as stored:
        columns = {
            key: np.split(stored[key], np.cumsum(stored[f"{key}_lengths"])[:-1])
            for key in stored.files
            if not key.endswith("_lengths")
        }
    rows = []
    for index in range(len(every_point())):
        row = {key: column[index] for key, column in columns.items()}
        shape = (len(row["exits"]), VALIDATION)
        right = np.unpackbits(row["right"], count=shape[0] * VALIDATION).astype(bool)
        fronts = tuple(
            tuple(
                zip(
                    (row[f"macs{rung}"] / VALIDATION).tolist(),
                    (row[f"correct{rung}"] / VALIDATION).tolist(),
                    strict=True,
                )
            )
            for rung in range(len(RUNGS))
        )
        outputs = ExitOutputs(row["levels"].reshape(shape), right.reshape(shape))
        rows.append(Training(_costs(row), outputs, fronts, tuple(row["seconds"].tolist())))
    return rows


def _costs(row: dict[str, Any]) -> ExitCosts:
    return ExitCosts(
        exits=tuple(Exit.parse(str(name)) for name in row["exits"]),
        trunk_macs=tuple(row["trunk_macs"].tolist()),
        head_macs=tuple(row["head_macs"].tolist()),
        trunk_params=tuple(row["trunk_params"].tolist()),
        head_params=tuple(row["head_params"].tolist()),
        decision=int(row["decision"].item()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, help="keeps what is trained")
    work = parser.parse_args().work
    train(work)
    pack(work)


if __name__ == "__main__":
    main()
