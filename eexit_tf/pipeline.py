"""The pipeline, one call a stage, in order: search, policy front, convert.

The other rooms are imported when a stage needs them.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from eexit_tf.bounds import Bounds
from eexit_tf.data import Dataset, Samples
from eexit_tf.errors import UserError
from eexit_tf.fronts import SearchFront
from eexit_tf.policies import policy_points, search_policies
from eexit_tf.precision import check_bits
from eexit_tf.reporter import SILENT, Reporter
from eexit_tf.vocabulary import Front, OperatingPoint, counted

if TYPE_CHECKING:
    from eexit_tf.augmentation import Augmentation
    from eexit_tf.keras import keras
    from eexit_tf.tflite.model import CompiledModel, Method
    from eexit_tf.tuners.networks import Networks

MAX_TRIALS = 20
EPOCHS = 20


def search(
    data: Dataset,
    output: Path | str,
    *,
    bounds: Bounds | None = None,
    max_trials: int = MAX_TRIALS,
    epochs: int = EPOCHS,
    seed: int = 0,
    networks: "Networks | None" = None,
    augmentation: "Augmentation | None" = None,
    workers: int = 0,
    chief: tuple[str, int] | None = None,
    tensorboard: bool = False,
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> Front:
    """Search backbone, exits, heads and thresholds, or resume a search.

    See `eexit_tf.tuners.search.search`, which this is.
    """
    from eexit_tf.augmentation import UNCHANGED
    from eexit_tf.tuners import search as tuners_search
    from eexit_tf.tuners.networks import FAMILIES

    return tuners_search.search(
        data,
        Path(output),
        bounds=bounds or Bounds(),
        max_trials=max_trials,
        epochs=epochs,
        seed=seed,
        networks=networks or FAMILIES,
        augmentation=augmentation or UNCHANGED,
        workers=workers,
        chief=chief,
        tensorboard=tensorboard,
        overwrite=overwrite,
        convertible=_quantizable,
        reporter=reporter,
    )


def _quantizable(net: "keras.Model") -> None:
    """Refuse what `convert` cannot quantise; imported for networks of the user's alone."""
    from eexit_tf.tflite.quantization import quantizable

    quantizable(net)


def policy_front(
    net: "keras.Model", validation: Samples, *, bounds: Bounds | None = None, tolerance: float = 0.0
) -> Front:
    """The front over every subset of a network's exits with every threshold.

    Args:
        net: a trained network with one softmax output an exit.
        validation: samples that the network was not trained on.
        bounds: that the policies must keep.
        tolerance: accuracy that may be missed (0 to 1); more is faster.
    """
    from eexit_tf.exits import keep_exits
    from eexit_tf.network_costs import exit_costs
    from eexit_tf.training import exit_outputs

    costs = exit_costs(net)
    outputs = exit_outputs(keep_exits(net, costs.exits), validation)
    found = search_policies(outputs, costs, bounds, tolerance)
    return policy_points(found, outputs, costs)


def pick_point(front: Front, pick: str, bounds: Bounds) -> OperatingPoint:
    """The point that `pick` names: `knee`, `best` (the most accurate) or an id.

    Raises:
        UserError: there is no such point within the bounds.
    """
    if pick == "knee":
        return front.knee(bounds)
    if pick == "best":
        return front.best(**bounds.to_json())
    point = front.find(pick)
    if not point.meets(bounds.of_policies):  # the file itself will be measured
        raise UserError(
            f"point {pick} ({point.val_accuracy:.2%} at {point.mean_macs:,.0f} mean MACs, at most "
            f"{point.max_macs:,}, {point.params:,} parameters) does not keep {bounds}"
        )
    return point


def convert(
    data: Dataset,
    directory: Path | str,
    *,
    pick: str = "knee",
    bounds: Bounds | None = None,
    method: "Method" = "qat",
    train_epochs: int = 0,
    epochs: int | None = None,
    backbone_bits: int = 8,
    head_bits: int = 8,
    runtime_thresholds: bool = False,
    seed: int = 0,
    reporter: Reporter = SILENT,
) -> "CompiledModel":
    """Make the picked point of a finished search one self-exiting int8 `.tflite`.

    The point's trained network is cut down to its exits, trained for longer if wanted, quantised,
    and its policy is searched again on the int8 network's own validation outputs.

    Args:
        data: what was searched on.
        directory: the search's folder.
        pick: `knee`, `best` or a point's id.
        bounds: that the point and the result must keep, and those of the search of other names.
            Without one on mean MACs, the result costs no more than the point.
        method: `qat` (fine-tuned) or `ptq`.
        train_epochs: that the network is trained before it is quantised, as the search trains. A
            training that was stopped goes on, and one that has ended is not done again.
        epochs: of quantisation-aware fine-tuning.
        backbone_bits, head_bits: of weights, see `quantization.quantize`.
        runtime_thresholds: make thresholds an input, with the tuned ones as its default.
        seed: of both trainings.
        reporter: told about every epoch.

    Raises:
        UserError: no search there, other data, or no such point.
    """
    from eexit_tf.keras import seed_everything
    from eexit_tf.tflite import quantization
    from eexit_tf.tflite.compiler import compile as compile_network
    from eexit_tf.training import report_epochs
    from eexit_tf.tuners.winner import Winner

    check_bits(method, backbone_bits, head_bits)
    directory, bounds = Path(directory), bounds or Bounds()
    found = SearchFront.load(directory)
    point = pick_point(found.front, pick, bounds)
    bounds = bounds.filled(replace(found.bounds, max_mean_macs=None))
    reporter.say(
        f"point {point.id}: {point.val_accuracy:.2%} at {point.mean_macs:,.0f} mean MACs with "
        f"{counted(len(point.exits), 'exit')}"
    )
    winner = Winner(data, directory, point)
    if train_epochs:
        winner.train(train_epochs, seed=seed, reporter=reporter)
    seed_everything(seed)
    epochs = quantization.EPOCHS if epochs is None else epochs
    multi = quantization.quantize(
        winner.net,
        data.train,
        method=method,
        epochs=epochs,
        backbone_bits=backbone_bits,
        head_bits=head_bits,
        augmentation=winner.settings.augmentation,
        callbacks=[report_epochs(reporter, "quantisation-aware training", epochs)],
    )
    model = compile_network(
        multi,
        point,
        calibrate_on=data.validation,
        bounds=bounds,
        class_names=data.class_names,
        divisor=data.divisor,
        runtime_thresholds=runtime_thresholds,
    )
    search = winner.settings.to_json()
    return replace(
        model,
        origin={
            "search": search,
            "point": point.id,
            "train_epochs": train_epochs,
            "backbone_bits": backbone_bits,
            "head_bits": head_bits,
            "seed": seed,
        },
    )
