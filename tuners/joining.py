"""Training for a search whose oracle is in another process, on this machine or another."""

import secrets
import traceback
from pathlib import Path

import grpc
import keras_tuner

from eexit_tf.augmentation import UNCHANGED, Augmentation
from eexit_tf.bounds import Bounds
from eexit_tf.data import Dataset
from eexit_tf.errors import UserError
from eexit_tf.tuners.failures import TrialError
from eexit_tf.tuners.networks import FAMILIES, Networks
from eexit_tf.tuners.search import check_same_space, make_tuner
from eexit_tf.tuners.settings import MANIFEST, SearchSettings, check_data, data_sha256
from eexit_tf.tuners.worker import Address, ChiefClient, set_environment

STOPPED = "the chief has stopped the search; it says why"


def join(
    data: Dataset,
    output: Path,
    address: Address,
    *,
    bounds: Bounds,
    epochs: int,
    seed: int,
    networks: Networks = FAMILIES,
    augmentation: Augmentation = UNCHANGED,
    tensorboard: bool = False,
) -> None:
    """Train trials for a search that runs elsewhere, until it ends.

    Args:
        data, bounds, epochs, seed, networks, augmentation, tensorboard: as in the search.
        output: the search's folder, which both machines must share: trained weights and exact
            fronts go through it.
        address: of the search's chief.

    Raises:
        UserError: there is no chief, or another search in the folder.
        TrialError: a trial stopped the search.
    """
    settings = SearchSettings(
        data.name, data_sha256(data), seed, epochs, bounds, networks.located(), augmentation
    )
    if not (output / MANIFEST).is_file():
        raise UserError(
            f"{output} holds no search; start the chief first, in a folder that all machines share"
        )
    settings.check_same(SearchSettings.load(output), output)
    work(
        data,
        output,
        settings,
        address,
        tuner_id=f"join{secrets.token_hex(4)}",
        tensorboard=tensorboard,
    )


def work(
    data: Dataset,
    output: Path,
    settings: SearchSettings,
    address: Address,
    *,
    tuner_id: str,
    tensorboard: bool,
) -> None:
    """As `join`, as a worker of that name (which no other may have)."""
    check_data(data, settings, output)
    set_environment(tuner_id, address)
    space = settings.space(data)
    tuner = make_tuner(space, output, settings, max_trials=1, tensorboard=tensorboard)
    chief = ChiefClient(
        tuner.oracle,
        output,
        check=lambda trial: check_same_space(space, trial.hyperparameters, output),
    )
    tuner.oracle, tuner.on_epoch = chief, chief.epoch
    chief.connect()
    try:
        tuner.search(data, settings.epochs)
    except keras_tuner.errors.FatalError as error:
        if isinstance(error.__cause__, grpc.RpcError):
            raise TrialError(STOPPED) from error
        message = _said(error.__cause__ or error)
        chief.stop_search(message)
        raise TrialError(message) from error
    except grpc.RpcError as error:
        raise TrialError(STOPPED) from error
    except (KeyboardInterrupt, UserError):
        chief.leave()
        raise


def _said(error: BaseException) -> str:
    """What of an error its reader can do something about: of a bug, that is its traceback."""
    if isinstance(error, UserError | OSError):
        return str(error)
    return "".join(traceback.format_exception(error))
