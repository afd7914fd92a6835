"""Everything that runs or carries a graph, as one function each: graph and samples in, values by name out.

What runs comes from `lowbit.backends`, the engine at all its levels. A backend gives every value that it
shows: codes exactly as the reference has them, floats within a tolerance.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from lowbit import backends
from lowbit.engine import kernel_levels
from lowbit.formats import read_model, write_model
from lowbit.ir import Graph
from lowbit.ir.graph import Array
from tests.capi import answers

Values = dict[str, Array]
Backend = Callable[[Graph, Array], Values]


def reference(graph: Graph, x: Array) -> Values:
    """Return every computed value: this is the definition."""
    return traced("reference", graph, x)


def traced(backend: str, graph: Graph, x: Array, **options: object) -> Values:
    """Return every value that a row of the table computes; ``run`` must return what ``trace`` shows."""
    return shown_by(backends.BACKENDS[backend].load(graph, **options), graph, x)


def shown_by(runner: backends.Runner, graph: Graph, x: Array) -> Values:
    """Return every computed value that a runner shows, which must be what it returns."""
    values = runner.trace(x)
    for name, output in zip(graph.outputs, runner.run(x), strict=True):
        np.testing.assert_array_equal(output, values[name].reshape(output.shape))
    return {name: values[name] for node in graph.nodes for name in node.outputs if name in values}


def through_file(graph: Graph, x: Array, *, suffix: str) -> Values:
    """Run the reference on what a file holds."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"network{suffix}"
        write_model(graph, path)
        return reference(read_model(path), x)


def onnxruntime(graph: Graph, x: Array) -> Values:
    """Run the exported file in an unmodified ONNX Runtime, hidden codes as further outputs."""
    pytest.importorskip("onnxruntime")
    return traced("onnxruntime", graph, x)


def torch(graph: Graph, x: Array) -> Values:
    """Run the network as torch computes it."""
    pytest.importorskip("torch")
    return traced("torch", graph, x)


def c99(graph: Graph, x: Array) -> Values:
    """Run the generated C; a network that floats keep from it is skipped."""
    blockers = backends.BACKENDS["c99"].blockers(graph)
    if blockers and all("float" in each.what for each in blockers):
        pytest.skip("; ".join(map(str, blockers)))
    return traced("c99", graph, x)


engine = partial(traced, "engine")


LEVELS = [*kernel_levels(), *(f"aarch64-{level}" for level in answers.LEVELS)]
"""Of kernels: this machine's, and those of another where it is emulated."""


def runner_at(level: str, graph: Graph) -> backends.Runner:
    """Return what runs a graph at one of `LEVELS`."""
    machine, _, kernels = level.rpartition("-")
    load = answers.load if machine else backends.BACKENDS["engine"].load
    return load(graph, kernels=kernels)


def at_level(graph: Graph, x: Array, *, level: str) -> Values:
    """Run it at one of `LEVELS`."""
    return shown_by(runner_at(level, graph), graph, x)


def _engines() -> Iterator[tuple[str, Backend]]:
    for level in kernel_levels():
        yield f"engine-{level}", partial(engine, kernels=level)
    yield "engine-2-threads", partial(engine, threads=2)
    yield "library", partial(traced, "library")
    yield "c99", c99
    for level in LEVELS:
        if level.startswith("aarch64"):
            yield level, partial(at_level, level=level)


BACKENDS: dict[str, Backend] = {
    **dict(_engines()),
    "circle": partial(through_file, suffix=".circle"),
    "onnx": partial(through_file, suffix=".onnx"),
    "text": partial(through_file, suffix=".txt"),
    "onnxruntime": onnxruntime,
    "torch": torch,
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
