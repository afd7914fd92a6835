"""Other runtimes on the same float network: declared once each, measured only where installed.

A peer builds a call from the float network's file and an input; what it cannot do it says by raising
`Absent` with the reason.
"""

import logging
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lowbit.bench.timing import Call

Array = npt.NDArray[np.float32]


class Absent(Exception):  # noqa: N818 - a finding, not an error
    """A peer that cannot take part, and why."""


def onnxruntime_fp32(model: Path, sample: Array, threads: int) -> Call:
    """Return a call of ONNX Runtime on the float network."""
    return _onnxruntime(model, sample, threads)


def onnxruntime_int8(model: Path, sample: Array, threads: int) -> Call:
    """Return a call of ONNX Runtime with int8 weights and dynamically quantized activations."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "int8.onnx"
        logging.disable(logging.WARNING)  # it recommends pre-processing that changes nothing here
        try:
            quantize_dynamic(str(model), str(small), weight_type=QuantType.QInt8)
        finally:
            logging.disable(logging.NOTSET)
        return _onnxruntime(small, sample, threads)


def litert_int8(model: Path, sample: Array, threads: int) -> Call:
    """Return set, invoke and get of LiteRT on a static int8 ``.tflite`` that our writer makes."""
    from ai_edge_litert.interpreter import Interpreter

    from lowbit.bench.litert_int8 import tflite_of

    if len(sample) != 1:
        raise Absent("its file has batch 1")
    content = tflite_of(model, seed=0)
    interpreter = Interpreter(model_content=bytes(content), num_threads=threads)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]

    def call() -> object:
        interpreter.set_tensor(source, sample)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return call


def _onnxruntime(model: Path, sample: Array, threads: int) -> Call:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: sample}
    return partial(session.run, None, feed)


# name: (package, builder)
PEERS: dict[str, tuple[str, Callable[[Path, Array, int], Call]]] = {
    "onnxruntime-fp32": ("onnxruntime", onnxruntime_fp32),
    "onnxruntime-int8": ("onnxruntime", onnxruntime_int8),
    "litert-int8": ("ai-edge-litert", litert_int8),
}


def build_peer(name: str, model: Path, sample: Array, threads: int) -> tuple[str, Call]:
    """Return a peer's version and call.

    Raises:
        Absent: it is not installed or cannot run this network.
    """
    package, build = PEERS[name]
    try:
        found = version(package)
    except PackageNotFoundError:
        raise Absent(f"{package} is not installed; pip install 'lowbit[bench]' brings it") from None
    return found, build(model, sample, threads)
