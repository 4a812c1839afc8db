"""The networks of `cifar10.py`: a stem and stages each, with heads and a training.

All but `searched` and what was grown from it were set by hand.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from cifar10_space import CHEAP, STRONG

import eexit_tf as ee
from eexit_tf.backbones import Stage, Stem, inverted_residual, residual
from eexit_tf.keras import keras


@dataclass(frozen=True)
class Design:
    """A network, how it is trained, and the bounds on mean MACs that files are made for.

    Attributes:
        rate: the highest learning rate.
        weight_decay: of kernels.
        after: whose trained weights it begins with.
        grown: from that network's stages, block by block, rather than by the names of layers.
        teachers: whose trained last exits teach it together.
        weights: of the exits in the loss; all the same if not given.
    """

    family: Callable[..., keras.Model]
    stem: Stem
    stages: list[Stage]
    heads: dict[str, str]
    bounds: dict[str, float]
    rate: float = 0.1
    weight_decay: float = 2e-3
    after: str = ""
    grown: bool = False
    teachers: tuple[str, ...] = ()
    weights: tuple[float, ...] | None = None

    def build(self, data: ee.Dataset) -> keras.Model:
        backbone = self.family(data.input_shape, stem=self.stem, stages=self.stages)
        exits = [ee.Exit(at=at, head=head) for at, head in self.heads.items()]
        return ee.attach_exits(backbone, exits, classes=data.classes)


def heads_behind(first: int, *others: int) -> dict[str, str]:
    """A head at each of these blocks, the first one stronger."""
    return {f"block{first}": STRONG} | {f"block{number}": CHEAP for number in others}


DESIGNS = {
    "small": Design(
        family=inverted_residual,
        stem=Stem(24, stride=2),
        stages=[
            Stage(24, 1, stride=1, expansion=2),
            Stage(40, 2, expansion=3),
            Stage(80, 3, expansion=3),
        ],
        heads=heads_behind(1, 2, 3, 4, 6),
        bounds={"2.44M": 2.44e6},
    ),
    # Dense convolutions: four times the MACs of `small` in the same time of training.
    "large": Design(
        family=residual,
        stem=Stem(24, stride=2),
        stages=[Stage(24, 1, stride=1), Stage(64, 3), Stage(112, 1)],
        heads=heads_behind(1, 2, 3, 5),
        bounds={"9.65M": 9.65e6, "17M": 17e6},
    ),
}
DESIGNS["teacher"] = Design(
    family=residual,
    stem=Stem(32),
    stages=[Stage(64, 2), Stage(128, 2), Stage(256, 1)],
    heads={"block5": "pool_dense"},
    bounds={},
    weight_decay=5e-3,
)
DESIGNS["wide"] = replace(
    DESIGNS["large"],
    stem=Stem(32, stride=2),
    stages=[Stage(32, 2, stride=1), Stage(64, 3), Stage(96, 1)],
    heads=heads_behind(1, 2, 3, 4, 6),
)
# What a search found in the space of `cifar10_space.py`; `models/README.md` has its command.
DESIGNS["searched"] = replace(
    DESIGNS["small"],
    stages=[
        Stage(24, 1, stride=1, expansion=2),
        Stage(32, 2, expansion=3),
        Stage(64, 3, expansion=4),
    ],
    heads={f"block{number}": STRONG for number in (1, 2)}
    | {f"block{number}": CHEAP for number in (3, 4, 5, 6)},
    teachers=("large-taught",),
)
DESIGNS["small-taught"] = replace(
    DESIGNS["small"], rate=0.05, after="small", teachers=("large",), bounds={"3.1M": 3.1e6}
)
DESIGNS["large-taught"] = replace(
    DESIGNS["large"], rate=0.05, after="large", teachers=("small-taught", "large", "wide")
)
DESIGNS["fine-taught"] = replace(
    DESIGNS["small-taught"],
    stages=[
        Stage(24, 1, stride=1, expansion=2),
        Stage(40, 2, stride=1, expansion=3),
        Stage(80, 3, expansion=3),
    ],
    after="small-taught",
    teachers=("small-taught", "large-taught", "wide"),
    bounds={"6.5M": 6.5e6},
)
DESIGNS["deep-taught"] = replace(
    DESIGNS["fine-taught"],
    stages=[*DESIGNS["fine-taught"].stages[:-1], Stage(80, 5, expansion=3)],
    heads=heads_behind(1, 3, 4, 6, 8),
    after="fine-taught",
    teachers=("teacher", "large-taught"),
    weights=(1, 1, 1, 2, 3),
    bounds={"6.5M": 6.5e6, "9.65M": 9.65e6},
)
# What a search made of `searched`, in the space of `cifar10_growth.py`.
DESIGNS["grown"] = replace(
    DESIGNS["searched"],
    stem=Stem(24, stride=1),
    stages=[
        Stage(24, 1, stride=1, expansion=2),
        Stage(32, 4, expansion=3),
        Stage(64, 7, expansion=4),
    ],
    heads=heads_behind(1, 3, 6, 7, 8, 9, 10, 12),
    bounds={"9.65M": 9.65e6, "17M": 17e6},
    rate=0.05,
    after="searched",
    grown=True,
    teachers=("teacher", "deep-taught"),
    weights=(1, 1, 1, 1, 1, 1, 2, 4),
)
# Test samples cost up to 1 % more than those of the validation part that the bound is held on.
DESIGNS["grown-taught"] = replace(
    DESIGNS["grown"],
    after="grown",
    grown=False,
    teachers=("deep-taught", "large-taught", "grown"),
    bounds={"9.65M": 9.55e6, "17M": 17e6},
)
DESIGNS["grown-again"] = replace(
    DESIGNS["grown-taught"],
    after="grown-taught",
    teachers=("deep-taught", "large-taught", "grown-taught"),
)
