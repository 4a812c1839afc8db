"""Where a search's networks come from: our families, the user's backbone, or their own space."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from eexit_tf.bounds import Bounds
from eexit_tf.errors import UserError
from eexit_tf.tuners.candidates import CandidateSpace
from eexit_tf.tuners.space import ExitSpace, check_size

if TYPE_CHECKING:
    from eexit_tf.own_models import OwnModel

Part = Literal["heads", "all"]


@dataclass(frozen=True)
class Networks:
    """What is searched; without arguments, the families of `eexit_tf.backbones`.

    Attributes:
        backbone: a Keras file or `module:function`, see `own_models.load_own_model`; then only
            its exits, their heads and thresholds are searched.
        train: `heads` on a frozen backbone, or `all`; if not given, `heads` of a ready model
            and `all` of a function of `hp`.
        input_scale: how many times larger than the data set's are the inputs that the backbone
            was made for (255 if it takes bytes as floats).
        space: `module:function`, which returns a `keras_tuner.HyperModel` whose networks have one
            softmax output an exit.
        sha256: of the backbone's file.
    """

    backbone: str | None = None
    train: Part | None = None
    input_scale: float = 1.0
    space: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        if self.backbone and self.space:
            raise UserError("a search takes a backbone or a space of your own, not both")
        if not self.backbone and (self.train or self.input_scale != 1):
            raise UserError("what to train and the scale of the input go with a backbone")

        if not 0 < self.input_scale < float("inf"):
            raise UserError(f"the input's scale must be more than 0, but is {self.input_scale}")

    def located(self) -> "Networks":
        """The same with its file's whole path and SHA-256, and with what is trained.

        Raises:
            UserError: no such backbone, or its file has changed.
        """
        if not self.backbone:
            return self
        model = self._model()
        file = Path(self.backbone).resolve()
        return Networks(
            backbone=str(file) if model.sha256 else self.backbone,
            train=self.train or ("all" if model.tunable else "heads"),
            input_scale=self.input_scale,
            sha256=model.sha256 or None,
        )

    def search_space(
        self, input_shape: Sequence[int], classes: int, bounds: Bounds
    ) -> CandidateSpace:
        """The space of a search.

        Raises:
            UserError: what the user brought cannot be used, or the data is too small for ours.
        """
        height, width, channels = input_shape
        shape = (height, width, channels)
        if not self.backbone and not self.space:
            check_size(shape)
            return ExitSpace(shape, classes, bounds)
        from eexit_tf.tuners.backbone_space import BackboneSpace
        from eexit_tf.tuners.own_space import HyperModelSpace

        if self.space:
            return HyperModelSpace(shape, classes, bounds, spec=self.space)
        part = self.located().train or "all"
        return BackboneSpace(shape, classes, bounds, model=self._model(), train=part)

    def _model(self) -> "OwnModel":
        from eexit_tf.own_models import load_own_model

        model = load_own_model(self.backbone or "", self.input_scale)
        if self.sha256 not in (None, model.sha256):
            raise UserError(f"{self.backbone} has changed since the search began")
        return model

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Networks":
        return cls(**{field.name: value[field.name] for field in fields(cls)})


FAMILIES = Networks()
