"""Samples in batches for Keras, as `tf.data` sets that do not tune themselves.

The thread that tunes a set sleeps between its looks, for longer and longer, and is not woken when
the set has ended: Keras waits for it after the last batch of every epoch and of every prediction
(TensorFlow 2.21).
"""

from typing import Any

from eexit_tf.augmentation import Augmentation
from eexit_tf.keras import tf

AHEAD = 2
"""Batches that are prepared, and samples that are changed, while the network computes."""


def batches(
    samples: Any, size: int, *, shuffle: bool = False, augmentation: Augmentation | None = None
) -> Any:
    """A `tf.data.Dataset` of batches.

    Args:
        samples: an array with a row for each sample, or a tuple of such arrays.
        size: samples of a batch; the last one may have fewer.
        shuffle: all samples, anew in each pass.
        augmentation: of (inputs, labels).
    """
    data = tf.data.Dataset.from_tensor_slices(samples)
    if shuffle:
        data = data.shuffle(len(data))
    if augmentation:
        data = data.map(augmentation, num_parallel_calls=AHEAD, deterministic=True)
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.batch(size).prefetch(AHEAD).with_options(options)
