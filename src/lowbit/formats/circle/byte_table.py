"""Where every byte of a file is: tensors by layer, structure, metadata, padding. Sums to the file's size."""

import os
from dataclasses import dataclass

import numpy as np

from lowbit.formats.circle.model_file import read_model
from lowbit.formats.circle.schema import Bytes, Model, SubGraph
from lowbit.formats.flatbuffer import Span
from lowbit.untrusted import read_file

STRUCTURE, METADATA, PADDING, UNREAD = "structure", "metadata", "padding", "not read"


@dataclass(frozen=True)
class ByteRow:
    """One row of the table.

    Attributes:
        layer: name of the operator's output, or "" for what belongs to the whole file.
        what: a tensor's name, or one of ``options``, ``structure``, ``metadata``, ``padding``, ``not read``.
        bytes: how many.
    """

    layer: str
    what: str
    bytes: int


def byte_table(path: str | os.PathLike[str]) -> list[ByteRow]:
    """Return the rows of a Circle or TFLite file, tensors in the order of their operators.

    A byte that several things share counts for the first. Zero bytes that nothing refers to are
    padding; others are ``not read``: parts of the format that lowbit skips.

    Raises:
        FileError: as when the file is read.
    """
    content = read_file(path)
    spans: list[Span] = []
    model = read_model(content, os.fspath(path), spans)
    base = np.frombuffer(content, np.uint8)
    owners = _owners(model, base.ctypes.data)
    counts: dict[tuple[str, str], int] = dict.fromkeys(owners.values(), 0)
    counts |= {("", STRUCTURE): 0, ("", METADATA): 0, ("", PADDING): 0}
    position = 0
    for start, stop, _ in sorted(spans):
        _count_gap(counts, base[position:start])
        owner = owners.get(start, ("", STRUCTURE))
        counts[owner] += max(0, stop - max(start, position))
        position = max(position, stop)
    _count_gap(counts, base[position:])
    return [ByteRow(layer, what, count) for (layer, what), count in counts.items() if count]


def _owners(model: Model, base: int) -> dict[int, tuple[str, str]]:
    """Return (layer, what) of each span of data, by its first byte."""
    owners: dict[int, tuple[str, str]] = {}

    def own(data: Bytes | None, owner: tuple[str, str]) -> None:
        if data is not None and len(data):
            owners.setdefault(data.ctypes.data - base, owner)

    for subgraph in model.subgraphs:
        layers = _layer_of_tensor(subgraph)
        for operator in subgraph.operators:
            name = subgraph.tensors[operator.outputs[0]].name if _in_range(operator.outputs, subgraph) else ""
            own(operator.custom_options, (name, "options"))
            for index in operator.inputs:
                if 0 <= index < len(subgraph.tensors) and subgraph.tensors[index].buffer < len(model.buffers):
                    tensor = subgraph.tensors[index]
                    own(model.buffers[tensor.buffer].data, (layers.get(index, ""), tensor.name))
    for entry in model.metadata:
        if entry.buffer < len(model.buffers):
            own(model.buffers[entry.buffer].data, ("", METADATA))
    return owners


def _layer_of_tensor(subgraph: SubGraph) -> dict[int, str]:
    """Return for each tensor that an operator reads the name of that operator's output."""
    layers: dict[int, str] = {}
    for operator in subgraph.operators:
        if _in_range(operator.outputs, subgraph):
            for index in operator.inputs:
                layers.setdefault(index, subgraph.tensors[operator.outputs[0]].name)
    return layers


def _in_range(outputs: tuple[int, ...], subgraph: SubGraph) -> bool:
    return bool(outputs) and 0 <= outputs[0] < len(subgraph.tensors)


def _count_gap(counts: dict[tuple[str, str], int], gap: Bytes) -> None:
    if len(gap):
        owner = ("", UNREAD if gap.any() else PADDING)
        counts[owner] = counts.get(owner, 0) + len(gap)
