"""Networks in and out: `read` a file or an object of another package, `write` a file."""

import logging
import os
from pathlib import Path
from typing import Any

from lowbit.errors import UsageError
from lowbit.formats import own_operators, read_model, write_model
from lowbit.formats.input_shapes import Shapes, fixed_inputs
from lowbit.ir import Graph, verify

Source = str | Path
Model = Any
"""A path, or an object that `lowbit.read` takes."""


def read(source: Model, *, example: object = None, input_shapes: Shapes | None = None) -> Graph:
    """Return a network: of a file, or of an object that another package made.

    Args:
        source: the path of a file: ``.onnx``, ``.circle``, ``.tflite`` or the text form; or its bytes, an
            ``onnx.ModelProto``, a ``torch.nn.Module``, or a ``keras.Model``, by their own exporters.
        example: of a torch module: its input ``[1, …]`` as a tensor or array, or several in a tuple.
        input_shapes: lengths of inputs that an ONNX file leaves open: ``{"x": (1, 3, 224, 224)}``.

    Raises:
        FileError: the file is missing, damaged or unsafe.
        UnsupportedError: it uses what lowbit does not have, or what its exporter does not export.
        UsageError: it is no network, or a torch module without an example.
    """
    with fixed_inputs(input_shapes):
        if isinstance(source, str | os.PathLike):
            return read_model(Path(source))
        from lowbit.objects import graph_of

        return graph_of(source, example)


_log = logging.getLogger("lowbit")


def _check_path(path: object, where: str, remedy: str) -> None:
    if not isinstance(path, str | os.PathLike):
        raise UsageError(
            "this is no path of a file",
            where=where,
            expected="str or os.PathLike",
            found=f"{type(path).__module__}.{type(path).__qualname__}",
            remedy=remedy,
        )


def write(graph: Graph, path: Source, *, form: str = "") -> None:
    """Write a network as ``.circle``, ``.onnx`` or text, whole or not at all.

    Args:
        graph: the network.
        path: its suffix names the format; ``.qdq.onnx`` and ``.qonnx.onnx`` are ONNX as other tools have it.
        form: the format, whatever the path is called: ``qdq``, ``qonnx``, ``onnx``, ``circle``, ``text``.

    Raises:
        UnsupportedError: the suffix is unknown, or the format cannot hold the network.
        UsageError: it is no network of lowbit, or no path.
        WriteError: the path cannot be written.
    """
    if not isinstance(graph, Graph):
        raise UsageError(
            "this is no network",
            where="write",
            expected="lowbit.Graph",
            found=type(graph).__qualname__,
            remedy="quantize returns a network and a report: small, report = lowbit.quantize(…).",
        )
    _check_path(path, "write", "Give the path of the file to write: write(graph, 'net.circle').")
    verify(graph)
    write_model(graph, Path(path), form)
    lacking = "" if form else own_operators(graph, path)
    if lacking:
        _log.warning("%s: %s", path, lacking)
