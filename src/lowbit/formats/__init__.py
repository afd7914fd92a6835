"""Model files: the format is told by the content, and for what is written by the suffix.

.circle .tflite   flatbuffers, one bounds-checked reader
.onnx             protobuf, needs the package onnx
.txt              the graph's text form
"""

import os
from pathlib import Path

from lowbit.errors import ModelFormatError, UnsupportedError
from lowbit.ir import Graph, verify

SUFFIXES = (".circle", ".tflite", ".onnx", ".txt")

MAX_TEXT_BYTES = 2**28


def read_model(path: str | os.PathLike[str]) -> Graph:
    """Return the verified graph of a model file; inputs that nothing reads are left out.

    Raises:
        FileError: it cannot be opened or breaks a rule of its format.
        UnsupportedError: it uses something that lowbit does not have.
        GraphError: its operators do not fit together.
        MissingExtra: a package that reads the format is not installed.
    """
    graph = _READERS[_format_of(path)](path)
    verify(graph)
    return without_unused_inputs(graph)


def without_unused_inputs(graph: Graph) -> Graph:
    """Return the graph without inputs that nothing reads and no output is; the first stays at least."""
    read = {name for node in graph.nodes for name in node.inputs} | set(graph.outputs)
    used = tuple(name for name in graph.inputs if name in read) or graph.inputs[:1]
    if used == graph.inputs:
        return graph
    result = graph.copy()
    result.inputs = used
    unread = ", ".join(name for name in graph.inputs if name not in used)
    result.notes = (*graph.notes, f"left out: inputs that nothing reads ({unread})")
    result.remove_unused()
    return result


def write_model(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write the graph in the format that the path's suffix names, whole or not at all.

    Raises:
        WriteError: the path cannot be written.
        UnsupportedError: the suffix is unknown, or the format cannot hold the graph.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITERS:
        raise _no_format(path)
    verify(graph)
    _WRITERS[suffix](graph, path)


def check_target(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Refuse a graph that the format of a path cannot hold, before work is done for it.

    A float network is checked as it is; what quantization makes of its layers has a place in every format.

    Raises:
        UnsupportedError: the suffix is unknown, or operators have no place in the format: all of them.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _WRITERS:
        raise _no_format(path)
    if suffix in _CHECKS:
        _CHECKS[suffix](graph)


def _no_format(path: str | os.PathLike[str]) -> UnsupportedError:
    return UnsupportedError(
        "the suffix names no model format",
        where=os.fspath(path),
        expected=", ".join(SUFFIXES),
        found=Path(path).suffix.lower() or "none",
        remedy="Give the output one of these suffixes.",
    )


def _check_circle(graph: Graph) -> None:
    from lowbit.formats import circle

    circle.check(graph)


def _check_onnx(graph: Graph) -> None:
    from lowbit.formats import onnx

    onnx.check(graph)


def _format_of(path: str | os.PathLike[str]) -> str:
    """Return the suffix that stands for a file's format: by its first bytes, else by its name."""
    from lowbit.untrusted import read_start

    start = read_start(path, 8)
    if start[4:8] in (b"CIR0", b"TFL3"):
        return ".circle"
    if start.startswith(b"lowbit "):
        return ".txt"
    suffix = Path(path).suffix.lower()
    if suffix not in _READERS:
        raise ModelFormatError(
            "this is no model file that lowbit knows",
            where=os.fspath(path),
            expected=", ".join(SUFFIXES),
            found=f"suffix {suffix!r}, first bytes {start!r}",
            remedy="Check the path, or convert the model to ONNX.",
        )
    return suffix


def _read_circle(path: str | os.PathLike[str]) -> Graph:
    from lowbit.formats import circle

    return circle.read(path)


def _read_onnx(path: str | os.PathLike[str]) -> Graph:
    from lowbit.formats import onnx

    return onnx.read(path)


def _read_text(path: str | os.PathLike[str]) -> Graph:
    from lowbit.ir import from_text
    from lowbit.untrusted import read_file

    try:
        text = read_file(path, limit=MAX_TEXT_BYTES).decode()
    except UnicodeDecodeError as error:
        raise ModelFormatError(
            "the text is not UTF-8",
            where=os.fspath(path),
            expected="UTF-8",
            found=f"byte {error.start}",
            remedy="Write it again.",
        ) from error
    return from_text(text, os.fspath(path))


def _write_circle(graph: Graph, path: str | os.PathLike[str]) -> None:
    from lowbit.formats import circle

    circle.write(graph, path)


def _write_onnx(graph: Graph, path: str | os.PathLike[str]) -> None:
    from lowbit.formats import onnx

    onnx.write(graph, path)


def _write_text(graph: Graph, path: str | os.PathLike[str]) -> None:
    from lowbit.ir import to_text
    from lowbit.untrusted import write_atomic

    write_atomic(path, to_text(graph).encode())


_READERS = {".circle": _read_circle, ".tflite": _read_circle, ".onnx": _read_onnx, ".txt": _read_text}
_WRITERS = {".circle": _write_circle, ".tflite": _write_circle, ".onnx": _write_onnx, ".txt": _write_text}
_CHECKS = {".circle": _check_circle, ".tflite": _check_circle, ".onnx": _check_onnx}
"""Formats that cannot hold every float network."""
