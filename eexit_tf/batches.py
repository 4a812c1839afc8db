"""Samples in batches for Keras, as `tf.data` sets that do not tune themselves.

The thread that tunes a set sleeps between its looks, for longer and longer, and is not woken when
the set has ended: Keras waits for it after the last batch of every epoch and of every prediction
(TensorFlow 2.21).
"""

import math
from typing import Any

from eexit_tf.augmentation import Augmentation
from eexit_tf.keras import keras, tf

AHEAD = 2
"""Batches that are prepared, and samples that are changed, while the network computes."""
MOST_HELD = 1 << 29
"""Numbers in the maps of a batch that are held at once: 2 GB, and as much for gradients."""


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


def fitting_size(net: keras.Model, most: int, *, training: bool = False) -> int:
    """Samples of a batch whose maps fit into memory, `most` at most.

    Args:
        training: whether all maps are held, and not only a few at a time.
    """
    layers = [part for part in net.submodules if isinstance(part, keras.layers.Layer)]
    outputs = tf.nest.flatten([getattr(layer, "output", ()) for layer in layers])
    shapes = [output.shape for output in outputs if output.shape.rank]
    maps = [math.prod(size or 1 for size in shape[1:]) for shape in shapes]
    held = sum(maps) if training else 4 * max(maps)
    return max(min(most, MOST_HELD // held), 1)
