"""The benchmark firmware as a program of the host, with a stand-in for the network."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eexit_tf.tflite.benchmarking import firmware
from eexit_tf.tflite.benchmarking.devices import Network

CLASSES = 4


def build_for_host(folder: Path, networks: Sequence[Network]) -> Path:
    """The firmware with the stand-in, as a program; without CMake, if there is none."""
    if shutil.which("cmake"):
        return firmware.build("host", networks, None, folder)
    models, sources = firmware.write_models(folder, networks), firmware.SOURCES
    parts = ("src/main.cc", "src/protocol.cc", "networks/fake.cc", "boards/host/board.cc")
    program = folder / "benchmark"
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fno-exceptions", "-fno-rtti"]
    command += [f"-I{sources / 'src'}", "-o", str(program), str(models / "models.cc")]
    subprocess.run([*command, *(str(sources / part) for part in parts)], check=True)
    return program


def expected(sample: NDArray[np.int8], network: int) -> list[int]:
    """The scores that the stand-in gives."""
    sums = [k + network + int(sample[k::CLASSES].astype(np.int64).sum()) for k in range(CLASSES)]
    return np.array(sums).astype(np.uint8).view(np.int8).tolist()
