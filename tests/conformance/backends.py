"""Everything that runs a graph, as one function each: graph and samples in, values by name out.

A backend gives every value that it computes: codes exactly as the reference has them, floats within a
tolerance. To add a backend is to add a row to `BACKENDS`.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from lowbit.engine import Program, kernel_levels
from lowbit.formats import read_model, write_model
from lowbit.ir import Graph, evaluate
from lowbit.ir.graph import Array

Values = dict[str, Array]
Backend = Callable[[Graph, Array], Values]


def reference(graph: Graph, x: Array) -> Values:
    """Return every computed value: this is the definition."""
    values: Values = {}
    evaluate(graph, {graph.inputs[0]: x}, values.__setitem__)
    return {name: values[name] for node in graph.nodes for name in node.outputs}


def engine(graph: Graph, x: Array, *, kernels: str, threads: int = 1) -> Values:
    """Run the engine at one kernel level; what ``run`` returns must be what ``trace`` shows."""
    program = Program(graph, kernels=kernels, threads=threads)
    values = program.trace(x)
    np.testing.assert_array_equal(program.run(x), values[graph.outputs[0]].reshape(program.run(x).shape))
    return values


def through_file(graph: Graph, x: Array, *, suffix: str) -> Values:
    """Run the reference on what a file holds."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"network{suffix}"
        write_model(graph, path)
        return reference(read_model(path), x)


def onnxruntime(graph: Graph, x: Array) -> Values:
    """Run the exported file in an unmodified ONNX Runtime, hidden codes as further outputs."""
    runtime = pytest.importorskip("onnxruntime")
    from lowbit.formats.onnx import to_proto

    model = to_proto(graph)
    model.graph.output.extend(model.graph.value_info)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {graph.inputs[0]: x}), strict=True))


def _engines() -> Iterator[tuple[str, Backend]]:
    for level in kernel_levels():
        yield f"engine-{level}", partial(engine, kernels=level)
    yield "engine-2-threads", partial(engine, kernels="", threads=2)


BACKENDS: dict[str, Backend] = {
    **dict(_engines()),
    "circle": partial(through_file, suffix=".circle"),
    "onnx": partial(through_file, suffix=".onnx"),
    "text": partial(through_file, suffix=".txt"),
    "onnxruntime": onnxruntime,
}


def check_backend(backend: Backend, graph: Graph, x: Array) -> None:
    """Compare every value that a backend computes with the reference: codes exactly, floats to 1e-5.

    Raises:
        AssertionError: names the first value that differs, in the order of the network.
    """
    expected, found = reference(graph, x), backend(graph, x)
    assert graph.outputs[0] in found
    for name in expected:
        if name not in found:
            continue
        if expected[name].dtype == np.uint8:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
        else:
            shaped = found[name].reshape(expected[name].shape)
            np.testing.assert_allclose(shaped, expected[name], rtol=1e-5, atol=1e-5, err_msg=name)
