"""Limits that a network must keep to. No TensorFlow here."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from eexit_tf.errors import UserError
from eexit_tf.ranges import check_part


@dataclass(frozen=True)
class Bounds:
    """What a network must keep to; `None` is no bound.

    Attributes:
        max_macs: multiply-accumulates that one sample may cost at worst.
        max_mean_macs: multiply-accumulates a sample on average over the validation data.
        max_params: weights and biases of the network as deployed.
        min_accuracy: on the validation data, from 0 to 1.
        max_flash: bytes of the `.tflite`.
        max_arena: bytes of memory that TFLM needs for it, measured on this host, as in the card:
            a microcontroller needs less, as far as its kernels do not ask for more scratch.

    Before there is a file, its bytes are estimated (see `memory_estimates`).
    """

    max_macs: int | None = None
    max_mean_macs: float | None = None
    max_params: int | None = None
    min_accuracy: float | None = None
    max_flash: int | None = None
    max_arena: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_macs", "max_mean_macs", "max_params", "max_flash", "max_arena"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"{name} must be more than 0, but is {value}")
        if self.min_accuracy is not None:
            check_part("min_accuracy", self.min_accuracy)

    def to_json(self) -> dict[str, float | None]:
        return asdict(self)

    @property
    def of_structure(self) -> "Bounds":
        """Those that a network and its exits keep or break before it is trained."""
        return replace(self, max_mean_macs=None, min_accuracy=None)

    @property
    def of_policies(self) -> "Bounds":
        """Those that do not wait for a file."""
        return replace(self, max_flash=None, max_arena=None)

    def filled(self, others: "Bounds") -> "Bounds":
        """The same, with those of the others where there is none of that name."""
        own = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(others, **own)

    def allow(
        self,
        *,
        accuracy: float = 1.0,
        mean_macs: float = 0.0,
        max_macs: float = 0,
        params: float = 0,
        flash_bytes: float | None = None,
        arena_bytes: float | None = None,
    ) -> bool:
        """Whether something with these figures keeps the bounds; what is unknown does."""
        most = (
            (max_macs, self.max_macs),
            (mean_macs, self.max_mean_macs),
            (params, self.max_params),
            (flash_bytes, self.max_flash),
            (arena_bytes, self.max_arena),
        )
        return (self.min_accuracy is None or accuracy >= self.min_accuracy) and all(
            bound is None or value is None or value <= bound for value, bound in most
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Bounds":
        return cls(**{field.name: value.get(field.name) for field in fields(cls)})

    def __str__(self) -> str:
        said = [f"{k} {v:,.10g}" for k, v in asdict(self).items() if v is not None]
        return ", ".join(said) or "no bounds"
