"""Writes a graph as a ``.circle`` (or ``.tflite``) file: deterministic, aligned, atomic."""

import os

from lowbit.errors import GraphError, LowbitError, UnsupportedError
from lowbit.formats.batch import open_batch
from lowbit.formats.circle.expand import expand
from lowbit.formats.circle.exporter import Exporter
from lowbit.formats.circle.lowering import is_lowered, lower
from lowbit.formats.circle.manifest import MANIFEST, manifest_of, seal
from lowbit.formats.circle.names import NAMES, names_of, rename_transposed
from lowbit.formats.circle.reader import graph_of
from lowbit.formats.circle.schema import CIRCLE, TFLITE, Metadata, Model
from lowbit.formats.circle.structure import check_structure
from lowbit.formats.flatbuffer_writer import write_flatbuffer
from lowbit.ir import Graph, Node, run_passes
from lowbit.ir.passes import ENGINE_FORM
from lowbit.schemes import FixedPoint
from lowbit.untrusted import write_atomic
from lowbit.version import __version__

_TFLITE_VERSION = 3


def write(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write the graph; a path that ends in ``.tflite`` gets that identifier.

    Raises:
        UnsupportedError, GraphError: the format cannot hold the graph; nothing is written.
        WriteError: the path cannot be written; nothing is left behind.
    """
    write_atomic(path, content_of(graph, tflite=os.fspath(path).lower().endswith(".tflite")))


def content_of(graph: Graph, *, tflite: bool = False) -> bytearray:
    """Return the bytes of the file.

    Float layers in other forms (MatMul, Add, transposed weights, normalization) are rewritten; low-bit
    graphs are written as they are and read back equal.
    """
    _refuse_fixed_point(graph)
    plain = _written_form(graph)
    exporter, inputs = _lowered(plain)
    subgraph = exporter.subgraph(inputs)
    version = _TFLITE_VERSION if tflite else 0
    model = Model(version, exporter.operator_codes(), (subgraph,), "lowbit", tuple(exporter.buffers))
    reread = graph_of(check_structure(model, b"", plain.name))
    reread = open_batch(reread) if exporter.dimension else reread
    values = rename_transposed(plain, reread)
    _require_same(plain, reread)
    entries = [(key, text.encode()) for key, text in sorted(plain.metadata.items())]
    names = names_of(plain, reread, exporter.dimension, values)
    entries += [(NAMES, names)] if names else []
    manifest = manifest_of(plain, __version__)
    metadata = tuple(Metadata(key, exporter.buffer(data)) for key, data in [*entries, (MANIFEST, manifest)])
    content = write_flatbuffer(
        Model(version, model.operator_codes, (subgraph,), "lowbit", tuple(exporter.buffers), metadata),
        TFLITE if tflite else CIRCLE,
    )
    seal(content, manifest)
    return content


def check(graph: Graph) -> None:
    """Refuse a graph with operators that the format does not have, all of them at once.

    Raises:
        UnsupportedError: with every kind of operator, how many there are and the first of them.
    """
    _refuse_fixed_point(graph)
    _lowered(_written_form(graph))


def _written_form(graph: Graph) -> Graph:
    return graph if is_lowered(graph) else run_passes(graph, [*ENGINE_FORM, expand]).graph


def _lowered(plain: Graph) -> tuple[Exporter, tuple[int, ...]]:
    """Return the tables with all operators, and the tensors of the inputs."""
    exporter = Exporter(plain)
    inputs = tuple(exporter.tensor(name) for name in plain.inputs)
    refused: list[tuple[Node, LowbitError]] = []
    for node in plain.nodes:
        try:
            lower(exporter, node)
        except (GraphError, UnsupportedError) as error:
            refused.append((node, error))
    if len(refused) == 1:
        raise refused[0][1]
    if refused:
        raise _all_of(plain, refused)
    return exporter, inputs


def _all_of(graph: Graph, refused: list[tuple[Node, LowbitError]]) -> UnsupportedError:
    """Return one error for all operators that cannot be written, by operator and reason, with counts."""
    kinds: dict[str, list[str]] = {}
    for node, error in refused:
        kinds.setdefault(f"{node.op}: {error.message}", []).append(node.name)
    listed = [f"{len(names)} × {kind} ({names[0]})" for kind, names in kinds.items()]
    return UnsupportedError(
        f"a .circle file cannot carry {len(refused)} operators of this network",
        where=graph.name,
        expected="operators that the format has",
        found="; ".join(listed),
        remedy="Write .onnx instead: it carries every network.",
    )


def _refuse_fixed_point(graph: Graph) -> None:
    for value in graph.values.values():
        if isinstance(value.encoding, FixedPoint):
            where, remedy = f"{graph.name}/{value.name}", "Write .txt instead."
            raise UnsupportedError("a .circle file cannot carry fixed point", where=where, remedy=remedy)


def _require_same(graph: Graph, reread: Graph) -> None:
    """Refuse a graph that would be read back as another one, such as floats that would come back as codes."""
    found = {node.outputs: node for node in reread.nodes}
    for node in graph.nodes:
        other = found.get(node.outputs)
        if other is None or not _same(graph, node, reread, other) or len(found) != len(graph.nodes):
            raise GraphError(
                "the graph cannot be written so that it is read back the same",
                where=node.name,
                expected=_described(graph, node),
                found="nothing" if other is None else _described(reread, other),
                remedy="Let low-bit layers that follow each other pass codes, and keep the batch first.",
            )


def _same(graph: Graph, node: Node, reread: Graph, other: Node) -> bool:
    mine, theirs = graph.value(node.outputs[0]), reread.value(other.outputs[0])
    operators = (node.domain, node.op.replace("Flatten", "Reshape")) == (other.domain, other.op)
    lengths = [length if isinstance(length, int) else -1 for length in mine.shape]
    others = [length if isinstance(length, int) else -1 for length in theirs.shape]
    return operators and lengths == others and mine.encoding == theirs.encoding


def _described(graph: Graph, node: Node) -> str:
    value = graph.value(node.outputs[0])
    return f"{node.op} to {value.dtype} {value.shape}"
