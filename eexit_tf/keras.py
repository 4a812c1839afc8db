"""The one place that says which Keras is used: `tf_keras`, the only one that TFMOT accepts.

Also the place where TensorFlow's own chatter is switched off: it must happen before TensorFlow
is imported, so nothing else in the package imports it directly.
"""

import logging
import os
import warnings

from eexit_tf.stderr import captured_stderr

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

with warnings.catch_warnings(), captured_stderr():
    warnings.simplefilter("ignore")
    import tensorflow as tf
    import tf_keras as keras

    tf.config.list_physical_devices()  # says what it did not find, once

logging.getLogger("tensorflow").setLevel(logging.ERROR)
logging.getLogger("absl").setLevel(logging.ERROR)

__all__ = ["keras", "seed_everything", "tf"]


def seed_everything(seed: int) -> None:
    """Make what follows repeatable: Python's, numpy's and TensorFlow's generators, and kernels."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
