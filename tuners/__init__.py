"""The search: its space, the oracle that proposes, the tuner that trains, the archive."""

from eexit_tf import keras  # noqa: F401  # before KerasTuner, which would start TensorFlow noisily
