"""What the command line does, as functions: read, quantize, write, load, evaluate, predict, inspect."""

from lowbit.calls.files import read, write
from lowbit.calls.quantizing import QuantizedFile, fixed_point_file, quantize, quantize_file
from lowbit.calls.running import evaluate, inspect, load, predict, run_file
from lowbit.calls.samples import load_inputs, load_samples

__all__ = [
    "QuantizedFile",
    "evaluate",
    "fixed_point_file",
    "inspect",
    "load",
    "load_inputs",
    "load_samples",
    "predict",
    "quantize",
    "quantize_file",
    "read",
    "run_file",
    "write",
]
