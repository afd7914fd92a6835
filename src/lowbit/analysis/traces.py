"""Everything that runs a graph, as a function from samples to every value that it computes, by name.

Codes are codes in every backend. A backend gives the values that it has: what the engine fused into one step
has no name of its own there.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.engine import Program
from lowbit.errors import MissingExtra, PlanError
from lowbit.ir import Graph, evaluate
from lowbit.ir.graph import Array
from lowbit.schemes import Encoding

Samples = npt.NDArray[np.float32]
Values = dict[str, Array]
Trace = Callable[[Samples], Values]


def trace(graph: Graph, backend: str = "reference") -> Trace:
    """Return what runs a graph and gives its values.

    Args:
        graph: verified, with one input.
        backend: a key of `BACKENDS`.

    Raises:
        PlanError: an unknown backend.
        EngineError: the engine does not run this graph.
        MissingExtra: the backend is not installed.
    """
    if backend not in BACKENDS:
        raise PlanError("unknown backend", expected=" or ".join(BACKENDS), found=repr(backend))
    return BACKENDS[backend](graph)


def by_level(codes: Array, encoding: Encoding | None) -> Array:
    """Return codes such that equal ones have equal levels: of codes that share a level, the least.

    A basis may reach a level in two ways (2, 3, 7, 8: 3 + 7 - 2 - 8 = 2 + 8 - 3 - 7), and nothing behind it
    can tell them apart. What has no encoding, or one per channel, stays as it is.
    """
    if encoding is None or encoding.channels > 1 or codes.dtype.kind not in "ui":
        return codes
    _, first, same = np.unique(encoding.levels()[0], return_index=True, return_inverse=True)
    return np.asarray(first[same][codes.astype(np.intp)], codes.dtype)


def _reference(graph: Graph) -> Trace:
    def run(samples: Samples) -> Values:
        values: Values = {}
        evaluate(graph, {graph.inputs[0]: samples}, values.__setitem__)
        return values

    return run


def _engine(graph: Graph) -> Trace:
    program, source = Program(graph), graph.inputs[0]

    def run(samples: Samples) -> Values:
        made = program.trace(np.require(samples, np.float32, ("C", "A")))
        # A plan may bring the graph to another form, whose values have names of their own.
        return {source: samples, **{name: array for name, array in made.items() if name in graph.values}}

    return run


def _onnxruntime(graph: Graph) -> Trace:
    """Run the exported model; what it only declares inside becomes an output as well."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("onnxruntime", "bench") from error
    from lowbit.formats.onnx import to_proto

    model: Any = to_proto(graph)
    model.graph.output.extend(model.graph.value_info)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    names, source = [output.name for output in session.get_outputs()], graph.inputs[0]
    return lambda samples: {
        source: samples,
        **dict(zip(names, session.run(names, {source: samples}), strict=True)),
    }


BACKENDS: dict[str, Callable[[Graph], Trace]] = {
    "reference": _reference,
    "engine": _engine,
    "onnxruntime": _onnxruntime,
}
