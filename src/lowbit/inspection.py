"""What a model file holds: layers, encodings, and where every byte is."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lowbit.blockers import to_dict
from lowbit.budget import budget
from lowbit.compatibility import Candidate, Target, compatibility
from lowbit.engine import Program
from lowbit.errors import LowbitError
from lowbit.formats import format_of, read_model
from lowbit.ir import Graph
from lowbit.ir.layers import Layer, layers_of


def inspect_file(path: Path, *, verify: bool) -> dict[str, Any]:
    """Return layers and the table of bytes; see `lowbit.api.inspect`.

    Args:
        path: any model file.
        verify: check the file's hash too (where its format has one; every invariant is checked anyway).

    Raises:
        ModelFormatError: the hash does not match.
    """
    graph = read_model(path)
    form = format_of(path)
    if verify and form.hashed:
        form.module.verify_manifest(path)
    size, layers = path.stat().st_size, layers_of(graph)
    operators = form.file_operators(path)
    found = compatibility(graph, {name: word for word, names in operators for name in names})
    table = _table(graph, path, size)
    return {
        "format": form.name,
        "inputs": _ends(graph, graph.inputs),
        "outputs": _ends(graph, graph.outputs),
        "operators": dict(Counter([word for word, _ in operators] or [node.op for node in graph.nodes])),
        "targets": [_target(each) for each in found.targets],
        "quantization": _quantization(found.layers),
        "bytes": size,
        "hashed": form.hashed,
        "layers": [_row(layer, graph) for layer in layers],
        "table": table,
        "memory": _memory(graph),
        "notes": list(graph.notes),
    }


def _ends(graph: Graph, names: Iterable[str]) -> list[dict[str, Any]]:
    values = [graph.value(name) for name in names]
    return [{"name": each.name, "dtype": each.dtype, "shape": list(each.shape)} for each in values]


def _target(target: Target) -> dict[str, Any]:
    blockers = [to_dict(each) for each in target.blockers]
    return {"name": target.name, "about": target.about, "works": not blockers, "blockers": blockers}


def _quantization(layers: Sequence[Candidate]) -> dict[str, Any]:
    possible = any(not layer.why for layer in layers)
    reasons = "; ".join(dict.fromkeys(layer.why for layer in layers if layer.why))
    why = "" if possible else reasons or "it has no layer with constant weights"
    return {"possible": possible, "why": why, "layers": [asdict(layer) for layer in layers]}


def _memory(graph: Graph) -> dict[str, Any]:
    """Return the bytes that the engine takes: ``constants``, ``arena``, ``allowed``; or ``why`` it cannot."""
    try:
        needed = Program(graph).memory
    except LowbitError as error:
        return {"constants": None, "arena": None, "allowed": budget(), "why": error.facts}
    return {"constants": needed.constants, "arena": needed.arena, "allowed": budget(), "why": ""}


def _row(layer: Layer, graph: Graph) -> dict[str, Any]:
    bits = {"weight_bits": layer.weight_bits, "activation_bits": layer.activation_bits}
    return {"name": layer.name, "scheme": layer.scheme, **bits, "bytes": _constant_bytes(graph, layer)}


def _constant_bytes(graph: Graph, layer: Layer) -> int:
    """Return the bytes of a layer's constants, encodings included: 4 for every scale, offset and bias."""
    total = 0
    for name in layer.constants:
        value = graph.value(name)
        assert value.data is not None
        total += value.data.nbytes
        if value.encoding is not None:
            planes = value.dtype == "planes" and not value.encoding.group
            total += 4 * value.encoding.channels * (value.encoding.bits if planes else 1)
    return total


def _table(graph: Graph, path: Path, size: int) -> list[dict[str, Any]]:
    """Return rows (name, what, bytes) that add up to the file's size."""
    form = format_of(path)
    if form.counted:
        nodes = {output: node.name for node in graph.nodes for output in node.outputs}
        return [
            {"name": nodes.get(row.layer, row.layer), "what": row.what, "bytes": row.bytes}
            for row in form.module.byte_table(path)
        ]
    constants = [
        {"name": name, "what": value.dtype, "bytes": value.data.nbytes}
        for name, value in graph.values.items()
        if value.data is not None
    ]
    rest = size - sum(int(str(row["bytes"])) for row in constants)
    return [*constants, {"name": "", "what": "structure and encoding", "bytes": rest}]
