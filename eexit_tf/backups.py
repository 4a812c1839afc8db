"""The state of a training, kept after each epoch."""

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Any

from eexit_tf.keras import keras, tf


class Backup(keras.callbacks.BackupAndRestore):
    """Keras's own, where TensorFlow's errors of writing and reading are those of files.

    Raises:
        OSError: the state cannot be written or read.
    """

    def on_train_begin(self, logs: Any = None) -> None:
        with _as_os_error(self.backup_dir):
            super().on_train_begin(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        with _as_os_error(self.backup_dir):
            super().on_epoch_end(epoch, logs)


@contextlib.contextmanager
def _as_os_error(path: str) -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        known = {
            tf.errors.ResourceExhaustedError: errno.ENOSPC,
            tf.errors.PermissionDeniedError: errno.EACCES,
            tf.errors.FailedPreconditionError: errno.ENOTDIR,
        }
        number = known.get(type(error), errno.EIO)
        said = os.strerror(number) if type(error) in known else error.message
        raise OSError(number, said, path) from error
