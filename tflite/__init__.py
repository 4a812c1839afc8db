"""The device: quantise, compile into one self-exiting `.tflite`, run and measure it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eexit_tf.tflite.benchmarking import Benchmark, benchmark
    from eexit_tf.tflite.compiler import compile
    from eexit_tf.tflite.evaluation import Evaluation, evaluate
    from eexit_tf.tflite.exporting.exporter import export
    from eexit_tf.tflite.interpreter import EarlyExitInterpreter
    from eexit_tf.tflite.model import CompiledModel, MultiExit
    from eexit_tf.tflite.quantization import quantize
    from eexit_tf.tflite.retuning import retune

__all__ = [
    "Benchmark",
    "CompiledModel",
    "EarlyExitInterpreter",
    "Evaluation",
    "MultiExit",
    "benchmark",
    "compile",
    "evaluate",
    "export",
    "quantize",
    "retune",
]

_HOMES = {
    "Benchmark": "benchmarking",
    "CompiledModel": "model",
    "EarlyExitInterpreter": "interpreter",
    "Evaluation": "evaluation",
    "MultiExit": "model",
    "benchmark": "benchmarking",
    "compile": "compiler",
    "evaluate": "evaluation",
    "export": "exporting.exporter",
    "quantize": "quantization",
    "retune": "retuning",
}


def __getattr__(name: str) -> Any:
    # Loaded when asked for: running a file must not import TensorFlow.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
