"""Writes a graph as a ``.circle`` (or ``.tflite``) file: deterministic, aligned, atomic."""

import os

from lowbit.errors import GraphError, UnsupportedError
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
    plain = graph if is_lowered(graph) else run_passes(graph, [*ENGINE_FORM, expand]).graph
    exporter = Exporter(plain)
    inputs = tuple(exporter.tensor(name) for name in plain.inputs)
    for node in plain.nodes:
        lower(exporter, node)
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
