"""Writes a graph as a ``.circle`` (or ``.tflite``) file: deterministic, aligned, atomic."""

import os
from dataclasses import dataclass, replace

from lowbit.blockers import Blocker, blocker_of, grouped, listed
from lowbit.errors import GraphError, LowbitError, UnsupportedError
from lowbit.formats.batch import batch_axes, open_batch
from lowbit.formats.circle.average_pools import count_all
from lowbit.formats.circle.exporter import Exporter
from lowbit.formats.circle.forms import file_forms, find_gelu, turned_maps
from lowbit.formats.circle.graph_operators import can_be_own
from lowbit.formats.circle.lowering import is_lowered, lower, supports
from lowbit.formats.circle.manifest import MANIFEST, manifest_of, seal
from lowbit.formats.circle.names import NAMES, names_of, rename_transposed
from lowbit.formats.circle.reader import graph_of
from lowbit.formats.circle.schema import CIRCLE, TFLITE, Metadata, Model
from lowbit.formats.circle.structure import check_structure
from lowbit.formats.flatbuffer_writer import write_flatbuffer
from lowbit.ir import Graph, Node, Trait, has, run_passes
from lowbit.ir.passes import ENGINE_FORM, MAP_FORM, expansion, has_lines
from lowbit.untrusted import write_atomic
from lowbit.version import __version__

_TFLITE_VERSION = 3
_OWN = "the operator, of these types, is one of lowbit's own"


def write(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write the graph; a path that ends in ``.tflite`` gets that identifier.

    Raises:
        UnsupportedError, GraphError: the format cannot hold the graph; nothing is written.
        WriteError: the path cannot be written; nothing is left behind.
    """
    write_atomic(path, content_of(graph, tflite=os.fspath(path).lower().endswith(".tflite")))


@dataclass(frozen=True)
class Written:
    """A file, and how values stand in it.

    Attributes:
        content: its bytes.
        maps: values ``[n, c, h, w]`` that are tensors ``[n, h, w, c]`` of their names.
    """

    content: bytearray
    maps: frozenset[str]


def content_of(graph: Graph, *, tflite: bool = False) -> bytearray:
    """Return the bytes of the file.

    Float layers in other forms (MatMul, Add, transposed weights, normalization) are rewritten; low-bit
    graphs are written as they are and read back equal.
    """
    return written(graph, tflite=tflite).content


def written(graph: Graph, *, tflite: bool = False) -> Written:
    """Return the file of a graph.

    Raises:
        UnsupportedError, GraphError: the format cannot hold the graph.
    """
    plain = _written_form(graph)
    exporter, model = _tables(plain, _TFLITE_VERSION if tflite else 0, _own_words(plain))
    alone = _graph_of(plain, model)
    reread = _reopened(plain, alone, exporter)
    values = rename_transposed(plain, reread)
    _require_same(plain, reread)
    entries = [(key, text.encode()) for key, text in sorted(plain.metadata.items())]
    opens = not exporter.dimension or open_batch(alone) is not alone
    names = names_of(plain, reread, exporter.dimension, values, batch_axes(plain), opens=opens)
    entries += [(NAMES, names)] if names else []
    manifest = manifest_of(plain, __version__)
    metadata = tuple(Metadata(key, exporter.buffer(data)) for key, data in [*entries, (MANIFEST, manifest)])
    whole = replace(model, buffers=tuple(exporter.buffers), metadata=metadata)
    content = write_flatbuffer(whole, TFLITE if tflite else CIRCLE)
    seal(content, manifest)
    return Written(content, exporter.maps)


def check(graph: Graph) -> None:
    """Refuse a graph with operators that the format does not have, all of them at once.

    Raises:
        UnsupportedError: with every kind of operator, how many there are and the first of them.
    """
    plain = _written_form(graph)
    _lowered(plain, _own_words(plain))


def blockers(graph: Graph, *, builtin: bool = False) -> list[Blocker]:
    """Return what keeps a verified graph from a file; its tables are made, no file is.

    Args:
        graph: what to ask for.
        builtin: whether operators of ours are in the way as well, since other runtimes have none of them.
    """
    try:
        plain = _written_form(graph)
        own_words = _own_words(plain)
        exporter = Exporter(plain, own_words)
        refused = _refused(plain, exporter)
        if not refused:
            _require_read_back(plain, own_words)
    except (GraphError, UnsupportedError) as error:
        return [blocker_of(error, error.where)]
    found = [blocker_of(error, node.name or node.outputs[0], node.op) for node, error in refused]
    own = [node for node in plain.nodes if builtin and node.outputs[0] in exporter.own]
    found += [Blocker(_OWN, (node.name or node.outputs[0],), node.op) for node in own]
    return grouped(found)


def _require_read_back(plain: Graph, own_words: frozenset[str]) -> None:
    """Refuse a graph whose tables would be read back as another."""
    exporter, model = _tables(plain, 0, own_words)
    reread = _reopened(plain, _graph_of(plain, model), exporter)
    rename_transposed(plain, reread)
    _require_same(plain, reread)


def _own_words(plain: Graph) -> frozenset[str]:
    """Return the outputs of nodes that are written in the graph's own words.

    These are nodes that the format has no operator for, in this form, or none that is read back the same.
    """
    own: frozenset[str] = frozenset()
    while True:
        found = [node for node in _misread(plain, own) if node.op == "Encode" or can_be_own(plain, node)]
        more = own.union(node.outputs[0] for node in found)
        if more == own:
            return own
        own = more


def _misread(plain: Graph, own_words: frozenset[str]) -> list[Node]:
    """Return the nodes that cannot be written, or would be read back as others.

    An `Encode` that nobody reads back comes alone: the layers before it were taken to make codes, and with
    them what moves their reals.
    """
    refused = _refused(plain, Exporter(plain, own_words))
    if refused:
        return [node for node, _ in refused]
    exporter, model = _tables(plain, 0, own_words)
    try:
        reread = _reopened(plain, _graph_of(plain, model), exporter)
    except (GraphError, UnsupportedError) as error:
        unread = {name for blocker in error.blockers for name in blocker.nodes}
        return [node for node in plain.nodes if unread.intersection(node.outputs)]
    rename_transposed(plain, reread)
    found = {node.outputs: node for node in reread.nodes}
    others = [(node, found.get(node.outputs)) for node in plain.nodes]
    unlike = [node for node, other in others if other is None or not _same(plain, node, reread, other)]
    return [node for node in unlike if node.op == "Encode" and node.outputs not in found] or unlike


def _written_form(graph: Graph) -> Graph:
    """Return the graph in a form that is read back the same, as far as there is one."""
    plain = _usual_form(graph)
    turned = run_passes(plain, [turned_maps])
    if turned.modified:
        try:
            _require_read_back(plain, _own_words(plain))
        except (GraphError, UnsupportedError):
            return turned.graph
    return plain


def _usual_form(graph: Graph) -> Graph:
    if is_lowered(graph):
        return graph
    plain = run_passes(graph, [*ENGINE_FORM, find_gelu, expansion(supports)]).graph
    if has_lines(plain):  # what is written out may have some
        plain = run_passes(plain, MAP_FORM).graph
    return run_passes(plain, [file_forms, count_all]).graph


def _tables(plain: Graph, version: int, own_words: frozenset[str] = frozenset()) -> tuple[Exporter, Model]:
    """Return the tables with all operators, as they are and as a model."""
    exporter, inputs = _lowered(plain, own_words)
    subgraph = exporter.subgraph(inputs)
    buffers = tuple(exporter.buffers)
    return exporter, Model(version, exporter.operator_codes(), (subgraph,), "lowbit", buffers)


def _graph_of(plain: Graph, model: Model) -> Graph:
    """Return the graph of tables as it is read back, for a batch of 1."""
    return graph_of(check_structure(model, b"", plain.name))


def _reopened(plain: Graph, alone: Graph, exporter: Exporter) -> Graph:
    return open_batch(alone, known=True, axes=batch_axes(plain)) if exporter.dimension else alone


def _lowered(plain: Graph, own_words: frozenset[str]) -> tuple[Exporter, tuple[int, ...]]:
    """Return the tables with all operators, and the tensors of the inputs."""
    exporter = Exporter(plain, own_words)
    refused = _refused(plain, exporter)
    if len(refused) == 1:
        raise refused[0][1]
    if refused:
        raise _all_of(plain, refused)
    return exporter, tuple(exporter.tensor(name) for name in plain.inputs)


def _refused(plain: Graph, exporter: Exporter) -> list[tuple[Node, LowbitError]]:
    """Lower all nodes and return those that cannot be, with the reason."""
    for name in plain.inputs:
        exporter.tensor(name)
    refused: list[tuple[Node, LowbitError]] = []
    for node in plain.nodes:
        try:
            lower(exporter, node)
        except (GraphError, UnsupportedError) as error:
            refused.append((node, error))
    return refused


def _all_of(graph: Graph, refused: list[tuple[Node, LowbitError]]) -> UnsupportedError:
    """Return one error for all operators that cannot be written, by operator and reason, with counts."""
    blockers = grouped(blocker_of(error, node.name or node.outputs[0], node.op) for node, error in refused)
    return UnsupportedError(
        f"a .circle file cannot carry {len(refused)} operators of this network",
        where=graph.name,
        expected="operators that the format has",
        found=listed(blockers),
        remedy="Write .onnx instead: it carries every network.",
    )


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
    reshaped = other.op == "Reshape" and has(node, Trait.KEEPS_ORDER)  # all of these are RESHAPE in the file
    operators = node.domain == other.domain and (node.op == other.op or reshaped)
    lengths = [length if isinstance(length, int) else -1 for length in mine.shape]
    others = [length if isinstance(length, int) else -1 for length in theirs.shape]
    return operators and lengths == others and mine.encoding == theirs.encoding


def _described(graph: Graph, node: Node) -> str:
    value = graph.value(node.outputs[0])
    return f"{node.op} to {value.dtype} {value.shape}"
