"""What a search was started with, and its manifest `search.json`: only the same is resumed."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eexit_tf.augmentation import UNCHANGED, Augmentation
from eexit_tf.bounds import Bounds
from eexit_tf.data import Dataset
from eexit_tf.errors import UserError
from eexit_tf.files import parsing
from eexit_tf.tuners.candidates import CandidateSpace
from eexit_tf.tuners.networks import FAMILIES, Networks

MANIFEST = "search.json"
SCHEMA = 1


@dataclass(frozen=True)
class SearchSettings:
    """What makes a search the same search: only with equal settings is one resumed.

    Attributes:
        dataset: as the user typed it; what counts is `data_sha256`.
        data_sha256: of all inputs and labels.
        seed, epochs, bounds, networks, augmentation: see `search`.
    """

    dataset: str
    data_sha256: str
    seed: int
    epochs: int
    bounds: Bounds
    networks: Networks = FAMILIES
    augmentation: Augmentation = UNCHANGED

    def to_json(self) -> dict[str, Any]:
        parts = {
            "bounds": self.bounds.to_json(),
            "networks": self.networks.to_json(),
            "augmentation": asdict(self.augmentation),
        }
        return {"schema": SCHEMA, **vars(self), **parts}

    def space(self, data: Dataset) -> CandidateSpace:
        """The space that is searched on this data."""
        return self.networks.search_space(data.input_shape, data.classes, self.bounds)

    @classmethod
    def load(cls, directory: Path) -> "SearchSettings":
        """Read a search's manifest.

        Raises:
            UserError: the folder holds none that can be read.
        """
        path = directory / MANIFEST
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{directory} holds no search: {error.strerror} {path}") from error
        with parsing(path, "the manifest of a search"):
            value = json.loads(content)
            if value["schema"] != SCHEMA:
                raise ValueError(f"schema {value['schema']}; expected {SCHEMA}")
            return cls(
                dataset=value["dataset"],
                data_sha256=value["data_sha256"],
                seed=value["seed"],
                epochs=value["epochs"],
                bounds=Bounds.from_json(value["bounds"]),
                networks=Networks.from_json(value["networks"]),
                augmentation=Augmentation(**value["augmentation"]),
            )

    def check_same(self, other: "SearchSettings", directory: Path) -> None:
        """Refuse to resume another search.

        Raises:
            UserError: names what differs.
        """
        mine, its = self._compared(), other._compared()
        differing = [
            f"{key} is {_told(its[key])} there, {_told(mine[key])} here"
            for key in mine
            if mine[key] != its[key]
        ]
        if self.data_sha256 != other.data_sha256:
            differing.insert(0, f"its data is {other.dataset} as it was then, not {self.dataset}")
        if differing:
            raise UserError(
                f"{directory} holds another search ({'; '.join(differing)}); give another "
                f"--output, or --overwrite to replace it"
            )

    def _compared(self) -> dict[str, Any]:
        """Whatever must be equal but the data, by the names that users give it."""
        parts = (asdict(self.bounds), asdict(self.networks), asdict(self.augmentation))
        single = {"seed": self.seed, "epochs": self.epochs}
        return {**single, **{key: value for part in parts for key, value in part.items()}}


def _told(value: Any) -> str:
    return "none" if value is None else str(value)


def data_sha256(data: Dataset) -> str:
    """Of all three parts, so that a changed file is not taken for the same data."""
    digest = hashlib.sha256()
    for part in (data.train, data.validation, data.test):
        digest.update(part.x.tobytes())
        digest.update(part.y.tobytes())
    return digest.hexdigest()


def check_data(data: Dataset, settings: SearchSettings, directory: Path) -> None:
    """Refuse to go on with other data than a search began with.

    Raises:
        UserError: the data has changed.
    """
    if settings.data_sha256 != data_sha256(data):
        other = (
            "whose data has changed since" if data.name == settings.dataset else f"not {data.name}"
        )
        raise UserError(f"{directory} holds a search on {settings.dataset}, {other}")
