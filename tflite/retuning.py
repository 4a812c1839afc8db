"""Other thresholds for a compiled file, in place: given ones, or the best for a budget."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from eexit_tf.bounds import Bounds
from eexit_tf.data import Samples
from eexit_tf.errors import UserError
from eexit_tf.files import read_bytes, write_bytes
from eexit_tf.policies import PolicyScore
from eexit_tf.reporter import SILENT, Reporter
from eexit_tf.tflite import flatbuffer
from eexit_tf.tflite.cards import card_of, card_path, input_divisor, read_card
from eexit_tf.tflite.describe import describe
from eexit_tf.tflite.model import CompiledModel, Method
from eexit_tf.tflite.outputs import exit_outputs
from eexit_tf.tflite.splicing import spliced
from eexit_tf.tflite.splicing.stages import cut
from eexit_tf.tflite.splicing.unsplice import unsplice
from eexit_tf.thresholds import best_thresholds, score_thresholds
from eexit_tf.vocabulary import LEVELS


def retune(
    model: str | Path,
    thresholds: Sequence[float] | None = None,
    *,
    calibrate_on: Samples | None = None,
    bounds: Bounds | None = None,
    output: str | Path | None = None,
    reporter: Reporter = SILENT,
) -> CompiledModel:
    """Change the thresholds of a self-exiting file; nothing else in it changes.

    They are given, or searched on samples: of all thresholds for the file's exits the ones with
    the most right answers within the bounds, and the cheapest of several such (see
    `eexit_tf.thresholds.best_thresholds`). All exits stay, in their order, so that the result can
    be worse than that of `compile`, which may leave exits out.

    If there is a card beside the file, one is written beside the output, with what is known now:
    after a search what the new thresholds do on the samples, otherwise shares, mean MACs and
    accuracy are unknown.

    Args:
        model: a file that `splice` (or `eexit-tf`) made.
        thresholds: confidences from 0 to 1, one for each exit but the last; rounded as by
            `compiler.compile_file`.
        calibrate_on: validation samples, instead of thresholds.
        bounds: for the search; `max_mean_macs` is needed, `min_accuracy` possible.
        output: where the new file goes; the same file if not given.
        reporter: told if the search had to stop early, and what it may have missed.

    Raises:
        UserError: both ways or none, not such a file, another file's card, thresholds that do not
            fit, or bounds that no thresholds keep.
    """
    if (thresholds is None) == (calibrate_on is None):
        raise UserError("give either thresholds, or samples to search them on")
    path = Path(model)
    target = path if output is None else Path(output)
    content = read_bytes(path)
    known = spliced.inspect(content)
    card = card_of(path, content)
    score = None
    if thresholds is not None:
        content = spliced.retune(content, spliced.int8_thresholds(known.exits, thresholds))
    elif calibrate_on is not None:
        content, score = _search(content, Samples(*calibrate_on), bounds or Bounds(), reporter)
    quantization: Method | None = None
    if card is not None and card.get("quantization") in get_args(Method):
        quantization = card["quantization"]
    divisor = None if card is None else input_divisor(card, card_path(path))
    made = describe(content, divisor=divisor, score=score, quantization=quantization)
    made = replace(made, origin=card and card.get("origin"))
    if card is None and read_card(card_path(target)) is None:
        write_bytes(target, content)
    else:
        made.save(target)
    return made


def _search(
    content: bytes, samples: Samples, bounds: Bounds, reporter: Reporter
) -> tuple[bytes, PolicyScore]:
    """The file with the best thresholds within the bounds, and what they do on the samples."""
    if bounds.max_mean_macs is None:
        raise UserError("a search for thresholds needs a bound on the mean MACs")
    known = spliced.inspect(content)
    static = unsplice(content)
    stages = cut(flatbuffer.read(static), known.exits, known.confidence)
    outputs = exit_outputs(static, known.exits, samples, known.confidence)
    found = best_thresholds(outputs, stages.leave_macs, bounds.max_mean_macs)
    if found is None:
        raise UserError(
            f"no thresholds keep {bounds}: a sample that leaves at the first exit costs "
            f"{stages.leave_macs[0]:,} MACs"
        )
    if found.gap:
        reporter.say(
            f"the search was stopped; no thresholds are better by more than {found.gap:.2%}"
        )
    score = score_thresholds(outputs, found.levels, stages.leave_macs, stages.params)
    if not score.meets(bounds):
        raise UserError(
            f"no thresholds keep {bounds}: the best within that cost reach {score.accuracy:.2%} at "
            f"{score.mean_macs:,.0f} mean MACs"
        )
    return spliced.retune(content, [level - LEVELS // 2 for level in found.levels]), score
