"""The search space: backbones of four families, stage by stage, with candidate exits.

All hyperparameters are plain choices that are always there; those that a network has no use for
(the width of a fourth stage of three) are set to their first value by `canonical`, so that one
network is one point.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

import keras_tuner

from eexit_tf.backbones import FAMILIES, Stage, Stem, blueprint
from eexit_tf.blueprints import Blueprint, Unit
from eexit_tf.building import build
from eexit_tf.costs import ExitCosts
from eexit_tf.errors import UserError
from eexit_tf.exits import attach_exits
from eexit_tf.heads import head
from eexit_tf.keras import keras
from eexit_tf.network_costs import described_costs, trunk_macs
from eexit_tf.taps import apart
from eexit_tf.tuners import head_choices
from eexit_tf.tuners.candidates import CandidateSpace, Values
from eexit_tf.vocabulary import Exit

STEM_WIDTHS = (8, 12, 16, 24, 32, 48, 64)
STRIDES = (1, 2)
STAGES = (1, 2, 3, 4, 5)
GROWTHS = (1.0, 1.5, 2.0)
"""A stage's width as a multiple of the one before: widths then rise with depth, as in nearly all
networks that are known to be good, and one mutation makes a whole network wider."""
DEPTHS = (1, 2, 3, 4, 6)
KERNELS = (3, 5, 7)
EXPANSIONS = (2, 3, 4, 6)
SHRINKS = (1, 2, 4)
SMALLEST_SHRUNK = 16
"""Larger side below which an input is not averaged down."""
SMALLEST_SIDE = 8
"""Of an input; time series have a height of 1."""
SMALLEST_MAP = 2
"""Larger side of the map below which no stride goes."""
LARGEST_PER_INPUT = 10_000
"""MACs an input value (a channel of a pixel) that a network may cost where no bound says more;
MLPerf Tiny's ResNet-8 has 4,100, its DS-CNN 5,400."""
LARGEST_TO_MEAN = 8
"""How many times the bound on mean MACs the last exit may cost; at most an eighth of the samples
could go there."""


def check_size(input_shape: tuple[int, int, int]) -> None:
    """Refuse inputs for which the families have no networks worth a search.

    Raises:
        UserError: a side is too short, which may be because the dimensions are in another order.
    """
    height, width, channels = input_shape
    if (height == 1 or height >= SMALLEST_SIDE) and width >= SMALLEST_SIDE:
        return
    advice = ""
    if height <= 4 and min(width, channels) >= SMALLEST_SIDE:
        advice = "; channels must be the last dimension"
    elif width < SMALLEST_SIDE <= height:
        advice = "; give time series as (samples, 1, steps, channels)"
    raise UserError(
        f"the data's inputs are {height} x {width}, too small for the search space, which needs at "
        f"least {SMALLEST_SIDE} x {SMALLEST_SIDE}{advice}"
    )


class ExitSpace(CandidateSpace):
    """Backbones with heads (see `head_choices`) at those of their taps that are apart."""

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        hp.Choice("family", list(FAMILIES), ordered=False)
        hp.Choice("shrink", self._shrinks(), ordered=True)
        hp.Choice("stem_width", list(STEM_WIDTHS), ordered=True)
        hp.Choice("stem_kernel", self._stem_kernels(), ordered=False)
        hp.Choice("stem_stride", list(STRIDES), ordered=True)
        hp.Choice("stages", list(STAGES), ordered=True)
        for stage in STAGES:
            for name, choices in _STAGE.items():
                hp.Choice(f"{name}{stage}", list(choices), ordered=True)
        head_choices.declare(hp)

    def canonical(self, values: Values) -> Values:
        values = dict(values)
        side = max(self.input_shape[:2]) // values["shrink"]
        values["stem_stride"] = _stride(side, values["stem_stride"])
        side = -(-side // values["stem_stride"])
        for stage in STAGES:
            names = {name: f"{name}{stage}" for name in _STAGE}
            if stage > values["stages"]:
                values |= {names[name]: choices[0] for name, choices in _STAGE.items()}
                continue
            if values["family"] != "inverted_residual":
                values[names["expansion"]] = EXPANSIONS[0]
            # A kernel that reaches beyond the map from every place in it is cut.
            values[names["kernel"]] = min(
                k for k in KERNELS if k >= min(values[names["kernel"]], 2 * side - 1)
            )
            values[names["stride"]] = _stride(side, values[names["stride"]])
            side = -(-side // values[names["stride"]])
        return head_choices.canonical(values)

    def smallest(self) -> Iterator[Values]:
        hp = keras_tuner.HyperParameters()
        self.declare_hyperparameters(hp)
        first = {p.name: p.values[0] for p in hp.space}
        # Averaging an input down takes fewer MACs, but an operator, which is flash.
        for family, stride, shrink in product(FAMILIES, STRIDES, {1, self._shrinks()[-1]}):
            strides = {"stem_stride": stride, "stride1": stride}
            yield first | {"family": family, "shrink": shrink} | strides

    def largest_macs(self) -> float:
        bounds = self.bounds
        if bounds.max_macs is not None:
            return bounds.max_macs
        if bounds.max_mean_macs is not None:
            return LARGEST_TO_MEAN * bounds.max_mean_macs
        return LARGEST_PER_INPUT * prod(self.input_shape)

    def rejected(self, values: Values) -> bool:
        """Also where the network does not keep the bounds to its end: it would be cut short."""
        costs = self.costs(values)
        last = set(self._fitting(costs)) & set(self.ends(costs))
        return not last or min(map(costs.alone_macs, last)) > self.largest_macs()

    def ends(self, costs: ExitCosts) -> Sequence[int]:
        return [i for i, exit_ in enumerate(costs.exits) if exit_.at == costs.exits[-1].at]

    def costs(self, values: Values) -> ExitCosts:
        return described_costs(self.described(values))

    def full_network(self, values: Values) -> keras.Model:
        backbone = self.backbone(values)
        return attach_exits(build(backbone), list(self.described(values)), classes=self.classes)

    def described(self, values: Values) -> dict[Exit, Unit]:
        """All candidate exits as descriptions."""
        values = self.canonical(values)
        kinds = head_choices.kinds(values)
        units = self.backbone(values).taps
        found = {}
        for tap in (units[index] for index in apart(trunk_macs(units))):
            for kind in kinds:
                exit_ = Exit(tap.name, kind)
                found[exit_] = head(tap, kind, self.classes, exit_.name)
        return found

    def backbone(self, values: Values) -> Blueprint:
        """The backbone as a description."""
        values = self.canonical(values)
        return blueprint(values["family"], self.input_shape, *_shape(values))

    def describe(self, values: Values) -> str:
        return describe(self.canonical(values))

    def _shrinks(self) -> list[int]:
        """Windows that divide every side longer than 1 and leave enough of the input."""
        sides = [side for side in self.input_shape[:2] if side > 1]
        return [
            shrink
            for shrink in SHRINKS
            if shrink == 1
            or (all(s % shrink == 0 for s in sides) and max(sides) >= shrink * SMALLEST_SHRUNK)
        ]

    def _stem_kernels(self) -> list[str]:
        """Square ones; for spectra and the like that of DS-CNN, for time series a long one too."""
        height, width = self.input_shape[:2]
        if 1 in (height, width):
            return ["3x3", "5x5", "9x9"]  # 1 x 3, 1 x 5, 1 x 9
        return ["3x3", "5x5", "10x4"] if height >= 2 * width else ["3x3", "5x5"]


_STAGE: dict[str, tuple[Any, ...]] = {
    "growth": GROWTHS,
    "depth": DEPTHS,
    "kernel": KERNELS,
    "stride": STRIDES,
    "expansion": EXPANSIONS,
}
"""Hyperparameters of each stage."""


def _stride(side: int, stride: int) -> int:
    """The stride, if there is enough left of the map for it."""
    return stride if side >= 2 * SMALLEST_MAP else 1


def _multiple_of_4(width: float) -> int:
    """What int8 kernels work on at a time."""
    return 4 * round(width / 4)


def _slow(stride: int) -> str:
    return f"s{stride}" if stride > 1 else ""


def describe(values: Values) -> str:
    """Such as `separable 16k3x3s2, 2 x 24k3, 3 x 48k5s2, conv3_dense`: widths, kernels, strides.

    Args:
        values: canonical ones.
    """
    stem, stages = _shape(values)
    said = [f"{stem.width}k{values['stem_kernel']}{_slow(stem.stride)}"]
    for stage in stages:
        wider = f"e{stage.expansion}" if values["family"] == "inverted_residual" else ""
        times = f"{stage.depth} x " if stage.depth > 1 else ""
        said.append(f"{times}{stage.width}{wider}k{stage.kernel}{_slow(stage.stride)}")
    said += head_choices.kinds(values)[2:]
    shrunk = f" of 1/{values['shrink']}" if values["shrink"] > 1 else ""
    return f"{values['family']}{shrunk} {', '.join(said)}"


def _shape(values: Values) -> tuple[Stem, list[Stage]]:
    """Stem and stages of canonical values."""
    height, width = map(int, values["stem_kernel"].split("x"))
    stem = Stem(values["stem_width"], (height, width), values["stem_stride"], values["shrink"])
    stages, channels = [], stem.width
    for stage in range(1, values["stages"] + 1):
        given = {name: values[f"{name}{stage}"] for name in _STAGE}
        channels = _multiple_of_4(channels * given.pop("growth"))
        stages.append(Stage(channels, **given))
    return stem, stages
