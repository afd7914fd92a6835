"""Reads ``.circle`` and ``.tflite`` files into the graph IR. Constants stay views of the mapped file."""

import mmap
import os

from lowbit.formats.circle.builtin import import_builtin
from lowbit.formats.circle.importer import Importer
from lowbit.formats.circle.layers import LayerImporter, is_layer
from lowbit.formats.circle.manifest import MANIFEST
from lowbit.formats.circle.model_file import read_model
from lowbit.formats.circle.names import NAMES, apply_names
from lowbit.formats.circle.shapes import fold
from lowbit.formats.circle.structure import Structure, check_structure, require
from lowbit.ir import Graph
from lowbit.untrusted import map_file

MAX_TEXT = 2**20
"""Metadata that is kept, in bytes."""


def read(path: str | os.PathLike[str]) -> Graph:
    """Return the graph of a Circle or TFLite file.

    Raises:
        FileError: it cannot be opened, is too large, or breaks a rule of the format.
        UnsupportedError: it uses an operator or a type that lowbit does not have.
    """
    return read_content(map_file(path), os.fspath(path))


def read_content(content: bytes | mmap.mmap, where: str) -> Graph:
    """Return the graph of the bytes of a file called ``where``; errors are those of `read`."""
    structure = check_structure(read_model(content, where), content, where)
    graph = graph_of(structure)
    _read_metadata(structure, graph)
    return graph


def graph_of(structure: Structure) -> Graph:
    """Return the graph of checked tables; names that tables cannot hold are made up."""
    importer = Importer(structure)
    layers = LayerImporter(importer)
    importer.graph.inputs = tuple(importer.value(index) for index in structure.subgraph.inputs)
    for number, (name, operator) in enumerate(
        zip(structure.operators, structure.subgraph.operators, strict=True)
    ):
        if is_layer(name):
            layers.append(number)
        elif not fold(importer, name, operator):
            import_builtin(importer, name, operator, structure.place(number))
    importer.graph.outputs = tuple(importer.value(index) for index in structure.subgraph.outputs)
    return importer.graph


def _read_metadata(structure: Structure, graph: Graph) -> None:
    """Keep metadata that is text; apply the names that the tables cannot hold."""
    buffers, room = structure.model.buffers, MAX_TEXT
    for entry in structure.model.metadata:
        in_range = entry.buffer < len(buffers)
        require(
            in_range,
            "a metadata buffer index is out of range",
            structure.where,
            f"below {len(buffers)}",
            entry.buffer,
        )
        data = buffers[entry.buffer].data
        if entry.name == MANIFEST or data is None or len(data) > room:
            continue
        room -= len(data)
        if entry.name == NAMES:
            apply_names(graph, data.tobytes(), structure.where)
        else:
            _keep_text(graph, entry.name, data.tobytes())


def _keep_text(graph: Graph, key: str, data: bytes) -> None:
    try:
        graph.metadata[key] = data.decode()
    except UnicodeDecodeError:
        return  # some exporters store binary, which says nothing to us
