"""A file in its own runtime: ONNX Runtime or LiteRT, on inputs made from what it says of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime import GraphOptimizationLevel

from lowbit.backends.litert import interpreter
from lowbit.backends.onnxruntime import session
from lowbit.ir.graph import Array

Sizes = Mapping[str, int]
"""Lengths of open dimensions by name, or by input and axis (``x:2``)."""

_TOKENS = 100  # integers below it mean something to most vocabularies
_OPEN = 32  # an open length of which nothing is said
_TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}


@dataclass(frozen=True)
class Run:
    """One run of a file.

    Attributes:
        inputs: what went in, by name.
        outputs: what came out, by name, in the file's order.
        coded: whether tensors of the file are 8-bit codes.
    """

    inputs: dict[str, Array]
    outputs: dict[str, Array]
    coded: bool = False


def own_run(path: Path, seed: int, sizes: Sizes, *, plain: bool = False) -> Run:
    """Return what the file's own runtime makes of inputs of this seed; errors are the runtime's.

    Args:
        path: the file.
        seed: of the inputs.
        sizes: lengths of open dimensions.
        plain: whether the runtime uses its plain kernels, and rewrites nothing.
    """
    return (_litert if path.suffix in (".tflite", ".circle") else _onnxruntime)(path, seed, sizes, plain)


def _onnxruntime(path: Path, seed: int, sizes: Sizes, plain: bool) -> Run:
    settings = {"graph_optimization_level": GraphOptimizationLevel.ORT_DISABLE_ALL} if plain else {}
    ready, random = session(path, **settings), np.random.default_rng(seed)
    inputs = {
        each.name: values(each.name, _shape(each.name, each.shape, sizes), _TYPES[each.type], random)
        for each in ready.get_inputs()
    }
    names = [each.name for each in ready.get_outputs()]
    return Run(inputs, dict(zip(names, ready.run(None, inputs), strict=True)))


def _shape(name: str, declared: list[int | str | None], sizes: Sizes) -> tuple[int, ...]:
    def length(axis: int, given: int | str | None) -> int:
        if isinstance(given, int) and given > 0:
            return given
        usual = 1 if axis == 0 or "batch" in str(given) else _OPEN
        return sizes.get(f"{name}:{axis}", sizes.get(str(given), usual))

    return tuple(length(axis, given) for axis, given in enumerate(declared))


def _litert(path: Path, seed: int, sizes: Sizes, plain: bool) -> Run:
    ready, random, inputs = interpreter(path.read_bytes(), keep_all=plain), np.random.default_rng(seed), {}
    for detail in ready.get_input_details():
        signature = [int(length) for length in detail["shape_signature"]]
        ready.resize_tensor_input(detail["index"], _shape(detail["name"], list(signature), sizes))
    ready.allocate_tensors()
    for detail in ready.get_input_details():
        shape, dtype = tuple(int(n) for n in detail["shape"]), np.dtype(detail["dtype"]).name
        inputs[detail["name"]] = values(detail["name"], shape, dtype, random)
        ready.set_tensor(detail["index"], inputs[detail["name"]])
    ready.invoke()
    outputs = {
        each["name"]: _decoded(ready.get_tensor(each["index"]), each) for each in ready.get_output_details()
    }
    details = ready.get_tensor_details()
    coded = any(len(each["quantization_parameters"]["scales"]) for each in details)
    return Run(inputs, outputs, coded)


def _decoded(array: Array, detail: Mapping[str, Any]) -> Array:
    """Return what an output stands for: codes of 8 bits are decoded, as lowbit gives them."""
    scale, zero = detail["quantization"]
    coded = scale and array.dtype in (np.int8, np.uint8)
    return (array.astype(np.float64) - zero) * scale if coded else array


def values(name: str, shape: tuple[int, ...], dtype: str, random: np.random.Generator) -> Array:
    """Return an input: reals about zero, tokens, or all ones for a mask."""
    if name == "sr":
        return np.full(shape, 16_000, dtype)  # of sound, in Hz
    if "mask" in name or dtype == "bool":
        return np.ones(shape, dtype)
    if dtype in ("int32", "int64"):
        most = 2 if "type" in name or "segment" in name else _TOKENS
        return random.integers(0, most, shape).astype(dtype)
    if dtype in ("int8", "uint8"):
        limits = np.iinfo(dtype)
        return random.integers(limits.min, int(limits.max) + 1, shape).astype(dtype)
    return random.standard_normal(shape).astype(dtype)
