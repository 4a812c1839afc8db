"""Building the benchmark firmware for a board, with CMake and the user's TFLM library."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eexit_tf.errors import UserError
from eexit_tf.files import write_bytes
from eexit_tf.tflite.benchmarking.devices import Network
from eexit_tf.tflite.exporting import cpp

SOURCES = Path(__file__).parents[1] / "firmware"
BOARDS = ("mps2-an386", "mps3-an547")
ELF = "benchmark.elf"


@dataclass(frozen=True)
class TflmLibrary:
    """TFLM as the user has built it for the board's processor.

    Attributes:
        library: `libtensorflow-microlite.a`.
        include: TFLM's root folder; others that its headers include from, if they are not in
            the `downloads` of TFLM's own build.

    Raises:
        UserError: they are not there.
    """

    library: Path
    include: tuple[Path, ...]

    def __post_init__(self) -> None:
        if not self.library.is_file():
            raise UserError(f"there is no TFLM library {self.library}")
        header = "tensorflow/lite/micro/micro_interpreter.h"
        if not any((folder / header).is_file() for folder in self.include):
            where = ", ".join(map(str, self.include)) or "any folder given"
            raise UserError(
                f"there is no {header} in {where}: --tflm-include takes TFLM's root folder"
            )


def build(board: str, networks: Sequence[Network], tflm: TflmLibrary | None, folder: Path) -> Path:
    """Build the firmware in a folder.

    Args:
        board: a folder in `tflite/firmware/boards`.
        networks: what it can run, the first one selected.
        tflm: None for a stand-in, which tests the rest.

    Returns:
        the executable.

    Raises:
        UserError: a tool is missing, or the compiler or linker says no.
    """
    tools = ["cmake"] if board == "host" else ["cmake", "arm-none-eabi-g++"]
    for tool in tools:
        if shutil.which(tool) is None:
            raise UserError(f"building the firmware for {board} needs {tool}, which is not there")
    models = write_models(folder / "models", networks)
    settings = [f"-DEEXIT_BOARD={board}", f"-DEEXIT_MODELS={models.resolve()}"]
    if board != "host":
        settings.append(f"-DCMAKE_TOOLCHAIN_FILE={SOURCES / 'arm-none-eabi.cmake'}")
    if tflm is not None:
        include = ";".join(str(path.resolve()) for path in tflm.include)
        settings += [f"-DTFLM_LIB={tflm.library.resolve()}", f"-DTFLM_INCLUDE={include}"]
    built = folder / "build"
    _run(["cmake", "-S", str(SOURCES), "-B", str(built), *settings])
    _run(["cmake", "--build", str(built)])
    return built / ELF


def write_models(folder: Path, networks: Sequence[Network]) -> Path:
    """Write `models.cc` and `operators.h`, which the firmware's CMake project takes in."""
    arrays = "\n".join(
        f'[[gnu::section(".models")]] alignas(16) const unsigned char kContent{k}[] = '
        f"{{\n{cpp.array(network.content)}\n}};"
        for k, network in enumerate(networks)
    )
    table = "\n".join(
        f'    {{kContent{k}, "{network.name}"}},' for k, network in enumerate(networks)
    )
    source = f"""#include "models.h"

namespace {{
{arrays}
}}  // namespace

const Model kModels[] = {{
{table}
}};
const unsigned kModelCount = {len(networks)};
uint8_t g_input[{max(network.input_bytes for network in networks)}];
const size_t kInputSize = sizeof(g_input);
"""
    names = sorted({name for network in networks for name in cpp.operators(network.model)})
    calls = " &&\n         ".join(f"resolver.{cpp.adder(name)}() == kTfLiteOk" for name in names)
    header = f"""#pragma once

#include "tensorflow/lite/c/common.h"

constexpr unsigned kOperatorCount = {len(names)};

template <typename Resolver>
bool add_operators(Resolver& resolver) {{
  return {calls};
}}
"""
    write_bytes(folder / "models.cc", source.encode())
    write_bytes(folder / "operators.h", header.encode())
    return folder


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        wrong = [line for line in said if "rror" in line or "undefined" in line] or said
        raise UserError("the firmware cannot be built: " + "\n".join(wrong[:12]))
