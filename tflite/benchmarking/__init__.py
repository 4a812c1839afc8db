"""Measuring a self-exiting file on a device: the host, an emulated board, or one on a serial port.

`benchmark` measures; `devices` says what a device is, with one file a target (`host`, and the
`boards` `qemu` and `serial`); `protocol` speaks to the firmware in `tflite/firmware/`, which
`firmware` builds.
"""

from eexit_tf.tflite.benchmarking.devices import DeviceError
from eexit_tf.tflite.benchmarking.firmware import TflmLibrary
from eexit_tf.tflite.benchmarking.measure import UnfinishedError, benchmark
from eexit_tf.tflite.benchmarking.result import Benchmark

__all__ = ["Benchmark", "DeviceError", "TflmLibrary", "UnfinishedError", "benchmark"]
