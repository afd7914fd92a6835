"""QDQ: quantized networks as ONNX's own QuantizeLinear and DequantizeLinear, which every runtime knows.

It is ONNX, so it is read as that; `lowbit.formats.onnx.quantized` says what has such a form.
"""

import os

from lowbit.blockers import Blocker
from lowbit.formats.onnx import file_operators, read, read_content
from lowbit.formats.onnx.quantized.forms import write_form
from lowbit.formats.onnx.quantized.qdq_writer import QdqWriter
from lowbit.ir import Graph

__all__ = ["blockers", "check", "file_operators", "read", "read_content", "write"]


def write(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write a graph, whole or not at all; see `lowbit.formats.onnx.quantized.forms`."""
    write_form(QdqWriter, graph, path)


def blockers(graph: Graph) -> list[Blocker]:
    """Return what has no such form."""
    return QdqWriter(graph).all_refused()


def check(graph: Graph) -> None:
    """Refuse a graph with parts that have no such form, all of them at once."""
    QdqWriter(graph).form()
