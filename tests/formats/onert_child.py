"""Runs a .circle file on the onert wheel, ``LQFullyConnected`` as a Python callback, as a child process.

Usage: python onert_child.py FILE INPUT.npy OUTPUT.npy. Needs numpy, flatbuffers and onert, not lowbit: the
kernel below is a second reading of the format. It works on floats, as any runtime would:

    y = f(dequantize(quantize(x)) · W + b),   a value equal to a midpoint of two levels takes the lower level
"""

import ctypes
import importlib.util
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from flatbuffers import flexbuffers

MAX_RANK = 6
FLOAT32, INT32, UINT8 = 0, 1, 2
DTYPES = {FLOAT32: np.float32, INT32: np.int32, UINT8: np.uint8}
ACTIVATIONS = {"NONE": lambda a: a, "TANH": np.tanh, "RELU": lambda a: np.maximum(a, 0)}


class TensorInfo(ctypes.Structure):
    _fields_ = [("dtype", ctypes.c_int), ("rank", ctypes.c_int32), ("dims", ctypes.c_int32 * MAX_RANK)]


class Operand(ctypes.Structure):
    _fields_ = [("type", TensorInfo), ("allocation", ctypes.c_void_p)]


class Parameters(ctypes.Structure):
    _fields_ = [
        ("ninputs", ctypes.c_size_t),
        ("inputs", ctypes.POINTER(Operand)),
        ("noutputs", ctypes.c_size_t),
        ("outputs", ctypes.POINTER(Operand)),
    ]


Evaluate = ctypes.CFUNCTYPE(None, ctypes.POINTER(Parameters), ctypes.c_void_p, ctypes.c_size_t)


def array(operand: Operand) -> np.ndarray:
    shape = tuple(operand.type.dims[: operand.type.rank])
    dtype = np.dtype(DTYPES[operand.type.dtype])
    count = int(np.prod(shape))
    memory = (ctypes.c_char * (count * dtype.itemsize)).from_address(operand.allocation)
    return np.frombuffer(memory, dtype).reshape(shape)


def signs(bits: int) -> np.ndarray:
    codes = np.arange(1 << bits)
    return 2.0 * ((codes >> np.arange(bits)[:, None]) & 1) - 1.0


def evaluate(parameters, userdata, size) -> None:
    inputs = [array(parameters[0].inputs[i]) for i in range(parameters[0].ninputs)]
    options = flexbuffers.Loads(ctypes.string_at(userdata, size))
    x, input_scales, weights_scales, binary, bias = inputs[:5]
    levels = options["input_offset"] + np.sort(input_scales.astype(np.float64) @ signs(len(input_scales)))
    coded = levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, x.astype(np.float64), side="left")]
    bits = np.unpackbits(binary.view(np.uint8), axis=2, bitorder="little")[
        :, :, : options["weights_hidden_size"]
    ]
    weights = (weights_scales[:, :, None] * (2.0 * bits - 1.0)).sum(axis=1)
    if len(inputs) == 6:
        offset = inputs[5]
        if offset.dtype == np.uint8:  # whole scales, moved by 128
            top = np.frombuffer(
                np.uint8(options["weights_top"])
                if isinstance(options["weights_top"], int)
                else options["weights_top"],
                np.uint8,
            )
            offset = (offset.astype(np.float64) - 128) * weights_scales[:, -1] / top
        weights = weights + offset[:, None]
    activation = ACTIVATIONS[options["fused_activation_function"]]
    array(parameters[0].outputs[0])[...] = activation(coded @ weights.T + bias)


def main(file: str, source: str, target: str) -> None:
    folder = Path(importlib.util.find_spec("onert").submodule_search_locations[0]) / "native"
    library = ctypes.CDLL(str(next(folder.glob("libonert.so*"))))
    x = np.ascontiguousarray(np.load(source), np.float32)
    session, info = ctypes.c_void_p(), TensorInfo()
    callback = Evaluate(evaluate)

    def call(name: str, *arguments: object) -> None:
        status = getattr(library, name)(*arguments)
        if status:
            raise RuntimeError(f"{name} returned {status}")

    with tempfile.TemporaryDirectory() as package:
        # A bare .circle never binds the registry of custom kernels: it must be an nnpackage.
        root = Path(package) / "model"
        (root / "metadata").mkdir(parents=True)
        (root / "model.circle").write_bytes(Path(file).read_bytes())
        manifest = {"major-version": "1", "minor-version": "0", "patch-version": "0"}
        manifest |= {"models": ["model.circle"], "model-types": ["circle"]}
        (root / "metadata" / "MANIFEST").write_text(json.dumps(manifest))
        call("nnfw_create_session", ctypes.byref(session))
        registration = ctypes.pointer(callback)
        call("nnfw_register_custom_op_info", session, b"LQFullyConnected", registration)
        call("nnfw_load_model_from_file", session, str(root).encode())
        info.dtype, info.rank = FLOAT32, x.ndim
        info.dims[: x.ndim] = x.shape
        call("nnfw_set_input_tensorinfo", session, 0, ctypes.byref(info))
        call("nnfw_prepare", session)
        call("nnfw_output_tensorinfo", session, 0, ctypes.byref(info))
        y = np.zeros(tuple(info.dims[: info.rank]), np.float32)
        call(
            "nnfw_set_input",
            session,
            0,
            FLOAT32,
            x.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_size_t(x.nbytes),
        )
        call(
            "nnfw_set_output",
            session,
            0,
            FLOAT32,
            y.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_size_t(y.nbytes),
        )
        call("nnfw_run", session)
        np.save(target, y)


if __name__ == "__main__":
    main(*sys.argv[1:])
