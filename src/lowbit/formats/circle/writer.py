"""Writes a graph as a ``.circle`` (or ``.tflite``) file: deterministic, aligned, atomic."""

import os

from lowbit import __version__
from lowbit.errors import GraphError
from lowbit.formats.circle.exporter import Exporter
from lowbit.formats.circle.importer import BATCH
from lowbit.formats.circle.lowering import is_lowered, lower
from lowbit.formats.circle.manifest import MANIFEST, manifest_of, seal
from lowbit.formats.circle.names import NAMES, names_of
from lowbit.formats.circle.reader import graph_of
from lowbit.formats.circle.schema import CIRCLE, TFLITE, Metadata, Model
from lowbit.formats.circle.structure import check_structure
from lowbit.formats.flatbuffer_writer import write_flatbuffer
from lowbit.ir import Graph, Node, run_passes
from lowbit.ir.passes import fold_constants, fuse_linear
from lowbit.untrusted import write_atomic

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

    Float products in other forms (MatMul, Add, transposed weights) are rewritten to one; low-bit
    graphs are written as they are and read back equal.
    """
    plain = graph if is_lowered(graph) else run_passes(graph, [fold_constants, fuse_linear]).graph
    exporter = Exporter(plain)
    inputs = tuple(exporter.tensor(name) for name in plain.inputs)
    for node in plain.nodes:
        lower(exporter, node)
    subgraph = exporter.subgraph(inputs)
    version = _TFLITE_VERSION if tflite else 0
    model = Model(version, exporter.operator_codes(), (subgraph,), "lowbit", tuple(exporter.buffers))
    reread = graph_of(check_structure(model, b"", plain.name))
    _require_same(plain, reread)
    entries = [(key, text.encode()) for key, text in sorted(plain.metadata.items())]
    names = names_of(plain, reread, exporter.dimension or BATCH)
    entries += [(NAMES, names)] if names else []
    manifest = manifest_of(plain, __version__)
    metadata = tuple(Metadata(key, exporter.buffer(data)) for key, data in [*entries, (MANIFEST, manifest)])
    content = write_flatbuffer(
        Model(version, model.operator_codes, (subgraph,), "lowbit", tuple(exporter.buffers), metadata),
        TFLITE if tflite else CIRCLE,
    )
    seal(content, manifest)
    return content


def _require_same(graph: Graph, reread: Graph) -> None:
    """Refuse a graph that would be read back as another one, such as floats that would come back as codes."""
    for node, other in zip(_by_output(graph), _by_output(reread), strict=False):
        same = (node.domain, node.op.replace("Flatten", "Reshape"), node.outputs) == (
            other.domain,
            other.op,
            other.outputs,
        )
        if not same or graph.value(node.outputs[0]).encoding != reread.value(other.outputs[0]).encoding:
            raise GraphError(
                "the graph cannot be written so that it is read back the same",
                where=node.name,
                expected=f"{node.op} of {', '.join(node.outputs)}",
                found=f"{other.op} of {', '.join(other.outputs)}",
                remedy="Let low-bit layers that follow each other pass codes (fuse their thresholds).",
            )


def _by_output(graph: Graph) -> list[Node]:
    return sorted(graph.nodes, key=lambda node: node.outputs)
