"""Everything that runs a graph: one table, read by all that compares, measures and reports.

    BACKENDS["engine"].blockers(graph)               # what keeps it from this graph; nothing: it runs
    runner = BACKENDS["engine"].load(graph, threads=2)
    (scores,) = runner.run(x)
    values = runner.trace(x)                         # by name, codes as codes

To add one is to add a module with ``blockers`` and ``load``, and its row.
"""

from collections.abc import Mapping

from lowbit.backends.backend import Backend, Runner
from lowbit.errors import PlanError

__all__ = ["BACKENDS", "Backend", "Runner", "backend_of"]

_ROWS = (
    Backend("reference", "the evaluator in NumPy that defines every operator"),
    Backend("engine", "the C++ engine on this machine's CPU"),
    Backend("library", "the C library, without Python, on the network's .lbp"),
    Backend("c99", "the network's C for microcontrollers, compiled on this machine"),
    Backend("onnxruntime", "the network's .onnx in an unmodified ONNX Runtime"),
    Backend("torch", "the network's arithmetic said once more in torch"),
    Backend("litert", "the network's .tflite in LiteRT"),
    Backend("hardware", "the network's Verilog, simulated clock by clock"),
)

BACKENDS: Mapping[str, Backend] = {backend.name: backend for backend in _ROWS}


def backend_of(name: str) -> Backend:
    """Return a back end by name.

    Raises:
        PlanError: there is none of that name.
    """
    if name not in BACKENDS:
        raise PlanError("unknown backend", expected=" or ".join(BACKENDS), found=repr(name))
    return BACKENDS[name]
