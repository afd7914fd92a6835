"""ONNX Runtime on the network's own ``.onnx``: standard operators and the functions that the file brings."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowbit.backends.backend import Runner, named
from lowbit.blockers import Blocker, grouped, listed
from lowbit.errors import MissingExtra, UnsupportedError
from lowbit.formats.onnx import blockers as file_blockers
from lowbit.formats.onnx import to_proto
from lowbit.ir import Graph, Node, Trait, has
from lowbit.ir.graph import Array

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

__all__ = ["blockers", "load", "session"]

_ERRORS_ONLY = 3


def load(graph: Graph, /, *, threads: int = 1) -> Runner:
    """Return the runner of a verified graph; what its file only declares inside is shown by ``trace``.

    Args:
        graph: what to run.
        threads: that share an operator.

    Raises:
        MissingExtra: onnxruntime is not installed.
        UnsupportedError: an ``.onnx`` cannot carry it.
    """
    require()
    limits = list(_limits(graph))
    if limits:
        what, found = "ONNX Runtime does not run this network", listed(limits)
        raise UnsupportedError(what, where=graph.name, found=found, remedy=limits[0].remedy)
    return Runner(_run(graph, threads), _trace(graph, threads))


def blockers(graph: Graph) -> list[Blocker]:
    """Return what an ``.onnx`` cannot carry of a graph, and what kernels of the runtime do not take."""
    return grouped([*file_blockers(graph), *_limits(graph)])


def _axes(node: Node) -> tuple[int, int] | None:
    """Return the fewest and most axes that a kernel of the runtime takes, where ours takes others."""
    if (node.domain, node.op) == ("", "LRN"):
        return 4, 4
    whole_maps = has(node, Trait.POOL) and not has(node, Trait.WINDOW)
    return (3, 8) if whole_maps else None


def _limits(graph: Graph) -> Iterator[Blocker]:
    for node in graph.nodes:
        rank = len(graph.value(node.inputs[0]).shape) if node.inputs else 0
        least, most = _axes(node) or (rank, rank)
        if not least <= rank <= most:
            expected = f"{least} axes" if least == most else f"{least} to {most} axes"
            what = f"its kernel takes {expected}"
            remedy = "Reshape before and behind it, or use the engine or the reference."
            yield Blocker(what, (node.name or node.outputs[0],), node.op, expected, f"{rank} axes", remedy)
        if (
            node.op == "Mod"
            and graph.value(node.inputs[0]).dtype == "float32"
            and not node.attributes.get("fmod")
        ):
            what, remedy = "its kernel takes floats with fmod = 1 alone", "Use the engine or the reference."
            yield Blocker(what, (node.name or node.outputs[0],), node.op, "fmod = 1", "fmod = 0", remedy)


def require() -> Any:
    """Return the package.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("onnxruntime", "bench") from error
    return onnxruntime


def session(
    model: "Path | str | bytes | ModelProto", threads: int = 1, *, exact: bool = True, **settings: Any
) -> "InferenceSession":
    """Return ONNX Runtime's session of a model, on the CPU; of what it says, errors alone are shown.

    Args:
        model: a file, its content, or a model in memory.
        threads: that share an operator; operators run one after another.
        exact: products of bytes are what ONNX says on processors without VNNI, too. There the runtime's own
            default lets sums of two products of a uint8 and an int8 saturate at 16 bits.
        settings: further session options by name.

    Raises:
        MissingExtra: onnxruntime is not installed.
    """
    runtime = require()
    options = runtime.SessionOptions()
    chosen = {"intra_op_num_threads": threads, "inter_op_num_threads": 1, "log_severity_level": _ERRORS_ONLY}
    for name, value in {**chosen, **settings}.items():
        setattr(options, name, value)
    options.add_session_config_entry("session.x64quantprecision", str(int(exact)))
    given = str(model) if isinstance(model, Path) else model
    content = given if isinstance(given, str | bytes) else given.SerializeToString()
    try:
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except runtime.capi.onnxruntime_pybind11_state.NotImplemented:
        if not exact or "graph_optimization_level" in settings:
            raise
    # without VNNI its exact kernels lack a QGemm of int8 inputs, into which its own optimizer fuses
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _run(graph: Graph, threads: int) -> Callable[..., tuple[Array, ...]]:
    ready, names = session(to_proto(graph), threads), list(graph.outputs)
    return lambda *inputs: tuple(ready.run(names, named(graph, inputs)))


def _trace(graph: Graph, threads: int) -> Callable[..., dict[str, Array]]:
    ready: list[InferenceSession] = []

    def trace(*inputs: Array) -> dict[str, Array]:
        if not ready:  # made late, since many ask only for the outputs
            model = to_proto(graph)
            model.graph.output.extend(model.graph.value_info)
            ready.append(session(model, threads))
        names, fed = [output.name for output in ready[0].get_outputs()], named(graph, inputs)
        return {**fed, **dict(zip(names, ready[0].run(names, fed), strict=True))}

    return trace
