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
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lowbit.backends.litert import interpreter
from lowbit.backends.onnxruntime import session
from lowbit.bench.timing import Call

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Inputs = tuple[npt.NDArray[Any], ...]
"""An array for each input that our engine reads."""


_TYPES = {
    "tensor(bool)": "bool",
    "tensor(double)": "float64",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
"""NumPy's names of what an ONNX input may be other than float32."""


class Absent(Exception):  # noqa: N818 - a finding, not an error
    """A peer that cannot take part, and why."""


def onnxruntime_fp32(model: Path, inputs: Inputs, threads: int) -> Call:
    """Return a call of ONNX Runtime on the float network."""
    return _onnxruntime(model, inputs, threads)


def onnxruntime_int8(model: Path, inputs: Inputs, threads: int) -> Call:
    """Return a call of ONNX Runtime with int8 weights and dynamically quantized activations."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "int8.onnx"
        logging.disable(logging.WARNING)  # it recommends pre-processing that changes nothing here
        try:
            quantize_dynamic(str(model), str(small), weight_type=QuantType.QInt8)
        finally:
            logging.disable(logging.NOTSET)
        return _onnxruntime(small, inputs, threads)


def onnxruntime_int8_static(model: Path, inputs: Inputs, threads: int) -> Call:
    """Return a call of ONNX Runtime with int8 weights and statically quantized activations."""
    with tempfile.TemporaryDirectory() as folder:
        return _onnxruntime(_static_int8(model, inputs, Path(folder)), inputs, threads)


def onnxruntime_int8_qoperator(model: Path, inputs: Inputs, threads: int) -> Call:
    """Return a call of ONNX Runtime on operators of codes (QOperator)."""
    with tempfile.TemporaryDirectory() as folder:
        return _onnxruntime(_static_int8(model, inputs, Path(folder), "QOperator"), inputs, threads)


def openvino_fp32(model: Path, inputs: Inputs, threads: int) -> Call:
    """Return a call of OpenVINO on the float network."""
    return _openvino(model, inputs, threads)


def openvino_int8(model: Path, inputs: Inputs, threads: int) -> Call:
    """Return a call of OpenVINO on the statically quantized network of ONNX Runtime."""
    with tempfile.TemporaryDirectory() as folder:
        return _openvino(_static_int8(model, inputs, Path(folder)), inputs, threads)


def litert_int8(model: Path, inputs: Inputs, threads: int) -> Call:
    """Return set, invoke and get of LiteRT on a static int8 ``.tflite`` that our writer makes."""
    from lowbit.bench.litert_int8 import tflite_of

    if len(_only(inputs)) != 1:
        raise Absent("its file has batch 1")
    return litert(tflite_of(model, seed=0), inputs, threads)


def litert(content: bytearray, inputs: Inputs, threads: int) -> Call:
    """Return set, invoke and get of LiteRT on the content of a ``.tflite``."""
    ready, sample = interpreter(content, threads), _only(inputs)
    ready.allocate_tensors()
    source = ready.get_input_details()[0]["index"]
    target = ready.get_output_details()[0]["index"]
    given = np.ascontiguousarray(sample.transpose(0, 2, 3, 1)) if sample.ndim == 4 else sample

    def call() -> object:
        ready.set_tensor(source, given)
        ready.invoke()
        return ready.get_tensor(target)

    return call


def _static_int8(model: Path, inputs: Inputs, folder: Path, form: str = "QDQ") -> Path:
    """Write the network in int8, ranges from the sample, in a form of ONNX Runtime; return its path.

    Batch normalization is folded first, as every one of these engines asks for.
    """
    from onnxruntime import GraphOptimizationLevel
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    plain, small = folder / "plain.onnx", folder / "int8.onnx"
    basic = GraphOptimizationLevel.ORT_ENABLE_BASIC
    ready = session(model, graph_optimization_level=basic, optimized_model_filepath=str(plain))
    feeds = iter([_feed(ready, inputs)])

    class Samples(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
            return next(feeds, None)

    logging.disable(logging.WARNING)
    try:
        quantize_static(
            str(plain),
            str(small),
            Samples(),
            quant_format=QuantFormat[form],
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
    finally:
        logging.disable(logging.NOTSET)
    return small


def _openvino(model: Path, inputs: Inputs, threads: int) -> Call:
    import openvino

    core, sample = openvino.Core(), _only(inputs)
    network = core.read_model(str(model))
    network.reshape(list(sample.shape))
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    settings["INFERENCE_PRECISION_HINT"] = "f32"
    request = core.compile_model(network, "CPU", settings).create_infer_request()
    return partial(request.infer, [sample], share_inputs=True, share_outputs=True)


def _onnxruntime(model: Path, inputs: Inputs, threads: int) -> Call:
    ready = session(model, threads, exact=False)  # as fast as others have it
    return partial(ready.run, None, _feed(ready, inputs))


def _feed(session: "InferenceSession", inputs: Inputs) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays under the names and in the types of the network's own inputs, which may be integers.

    Raises:
        Absent: the file has others, as where lowbit left out those that nothing reads.
    """
    own = session.get_inputs()
    if len(own) != len(inputs):
        raise Absent(f"the file has {len(own)} inputs: {', '.join(each.name for each in own)}")
    pairs = zip(own, inputs, strict=True)
    return {each.name: array.astype(_TYPES.get(each.type, "float32")) for each, array in pairs}


def _only(inputs: Inputs) -> npt.NDArray[Any]:
    """Return the one array that a peer takes.

    Raises:
        Absent: there are several.
    """
    if len(inputs) != 1:
        raise Absent(f"the network reads {len(inputs)} inputs")
    return inputs[0]


# name: (package, builder)
PEERS: dict[str, tuple[str, Callable[[Path, Inputs, int], Call]]] = {
    "openvino-fp32": ("openvino", openvino_fp32),
    "openvino-int8": ("openvino", openvino_int8),
    "onnxruntime-fp32": ("onnxruntime", onnxruntime_fp32),
    "onnxruntime-int8": ("onnxruntime", onnxruntime_int8),
    "onnxruntime-int8-static": ("onnxruntime", onnxruntime_int8_static),
    "onnxruntime-int8-qoperator": ("onnxruntime", onnxruntime_int8_qoperator),
    "litert-int8": ("ai-edge-litert", litert_int8),
}


def build_peer(name: str, model: Path, inputs: Inputs, threads: int) -> tuple[str, Call]:
    """Return a peer's version and call.

    Raises:
        Absent: it is not installed or cannot run this network.
    """
    package, build = PEERS[name]
    try:
        found = version(package)
    except PackageNotFoundError:
        extra = "openvino" if package == "openvino" else "bench"
        raise Absent(f"{package} is not installed; pip install 'lowbit[{extra}]' brings it") from None
    try:
        call = build(model, inputs, threads)
        call()  # what fails only when it runs is absent as well
    except Absent:
        raise
    except Exception as error:
        # Another project's code may raise anything; that it fails is a finding about it, not about us.
        reason = str(error).splitlines()
        raise Absent(f"it fails: {type(error).__name__}: {reason[0] if reason else ''}") from error
    return found, call
