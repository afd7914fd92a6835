"""LiteRT on the network's own ``.tflite``: what TFLite's operators suffice for."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lowbit.backends.backend import Runner, named
from lowbit.blockers import Blocker, listed, remedies
from lowbit.errors import MissingExtra, UnsupportedError
from lowbit.formats.circle import Written, written
from lowbit.formats.circle import blockers as file_blockers
from lowbit.ir import Graph, Value
from lowbit.ir.graph import Array

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

_INT8 = np.uint8(128)  # int8 is a code less 128
_REMEDY = "Run it in onnxruntime or in the engine; other runtimes need a kernel of yours for it."


def load(graph: Graph, /, *, threads: int = 1) -> Runner:
    """Return the runner of a verified graph. ``trace`` runs plain kernels, ``run`` what LiteRT chooses.

    Args:
        graph: what to run.
        threads: that share an operator.

    Raises:
        MissingExtra: ai-edge-litert is not installed.
        UnsupportedError: a ``.tflite`` cannot carry it, or it has operators of ours.
    """
    _require_builtin(graph)
    file = written(graph, tflite=True)
    ready, showing = _Interpreted(graph, file, threads), list[_Interpreted]()

    def run(*inputs: Array) -> tuple[Array, ...]:
        ready.invoke(inputs)
        return tuple(ready.array(name) for name in graph.outputs)

    def trace(*inputs: Array) -> dict[str, Array]:
        if not showing:  # made late, since many ask only for the outputs
            showing.append(_Interpreted(graph, file, threads, keep_all=True))
        showing[0].invoke(inputs)
        return {name: showing[0].array(name) for name in graph.values if name in showing[0].indices}

    return Runner(run, trace)


def interpreter(content: bytes | bytearray, threads: int = 1, *, keep_all: bool = False) -> "Interpreter":
    """Return LiteRT's interpreter of the content of a ``.tflite``.

    Args:
        content: of the file.
        threads: that share an operator.
        keep_all: keep what is between inputs and outputs, to be looked at; kernels are the plain ones then.

    Raises:
        MissingExtra: ai-edge-litert is not installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as error:
        raise MissingExtra("ai-edge-litert", "bench") from error
    plain, chosen = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES, OpResolverType.AUTO
    return Interpreter(
        model_content=bytes(content),
        num_threads=threads,
        experimental_op_resolver_type=plain if keep_all else chosen,
        experimental_preserve_all_tensors=keep_all,
    )


class _Interpreted:
    """A file in the interpreter; the batch is set anew where another comes."""

    def __init__(self, graph: Graph, file: Written, threads: int, *, keep_all: bool = False) -> None:
        self.graph = graph
        self.interpreter = interpreter(file.content, threads, keep_all=keep_all)
        named = {detail["name"]: detail["index"] for detail in self.interpreter.get_tensor_details()}
        computed = {name for node in graph.nodes for name in node.outputs}
        self.indices = {name: named[name] for name in (*graph.inputs, *computed) if name in named}
        # What the file gives is in the layout of the graph, whatever made it.
        ends = [detail["index"] for detail in self.interpreter.get_output_details()]
        self.indices |= dict(zip(graph.outputs, ends, strict=True))
        self.maps = file.maps - {*graph.outputs}

    def invoke(self, inputs: tuple[Array, ...]) -> None:
        given = named(self.graph, inputs)
        for name, array in given.items():
            self.interpreter.resize_tensor_input(self.indices[name], array.shape)
        try:
            self.interpreter.allocate_tensors()
            for name, array in given.items():
                value = self.graph.value(name)
                self.interpreter.set_tensor(self.indices[name], _stored(value, array))
            self.interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise UnsupportedError(
                "LiteRT does not run this network", where=self.graph.name, found=str(error), remedy=_REMEDY
            ) from error

    def array(self, name: str) -> Array:
        """Return a value in the shape of the graph; codes as codes."""
        found = self.interpreter.get_tensor(self.indices[name])
        moved = found.transpose(0, 3, 1, 2) if name in self.maps else found
        if self.graph.value(name).encoding is not None and moved.dtype == np.int8:
            moved = moved.view(np.uint8) ^ _INT8
        return np.ascontiguousarray(moved)


def _stored(value: Value, array: Array) -> Array:
    """Return an input as the file takes it."""
    if value.encoding is not None:
        return np.asarray((np.asarray(array, np.uint8) ^ _INT8).view(np.int8))
    return np.ascontiguousarray(array)


def _require_builtin(graph: Graph) -> None:
    found = blockers(graph)
    if found:
        raise UnsupportedError(
            f"LiteRT does not run {sum(each.count for each in found)} operators of this network",
            where=graph.name,
            expected=found[0].expected,
            found=listed(found),
            remedy=remedies(found),
        )


def blockers(graph: Graph) -> list[Blocker]:
    """Return what keeps a graph from a ``.tflite`` that LiteRT runs: operators that are not TFLite's."""
    return [replace(each, remedy=each.remedy or _REMEDY) for each in file_blockers(graph, builtin=True)]
