"""QONNX: quantized networks by Quant and BipolarQuant, which FINN and hls4ml compile.

It is ONNX, so it is read as that; `lowbit.formats.onnx.quantized` says what has such a form.
"""

import os

from lowbit.blockers import Blocker
from lowbit.formats.onnx import file_operators, read, read_content
from lowbit.formats.onnx.quantized.forms import write_form
from lowbit.formats.onnx.quantized.qonnx_writer import QonnxWriter
from lowbit.ir import Graph

__all__ = ["blockers", "check", "file_operators", "read", "read_content", "write"]


def write(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write a graph, whole or not at all; see `lowbit.formats.onnx.quantized.forms`."""
    write_form(QonnxWriter, graph, path)


def blockers(graph: Graph) -> list[Blocker]:
    """Return what has no such form."""
    return QonnxWriter(graph).all_refused()


def check(graph: Graph) -> None:
    """Refuse a graph with parts that have no such form, all of them at once."""
    QonnxWriter(graph).form()
