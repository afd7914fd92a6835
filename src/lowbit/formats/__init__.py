"""Model files: a row for every format. Which one a file has is told by its content, else by its suffix.

A row names the format's folder, whose module has

    read(path) -> Graph       bounds-checked; raises `FileError` and `UnsupportedError` only
    read_content(bytes, name) the same of the bytes of a file that messages call so
    write(graph, path)        whole or not at all
    check(graph)              refuses what `write` has no place for, before work is done

and what the row says that files of the format have besides. It may have

    blockers(graph)           what `check` refuses, each by itself
    file_operators(path)      the file's own word for each operator, with names of node and outputs

It is imported when such a file is there.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeGuard

from lowbit.blockers import Blocker, blocker_of, listed
from lowbit.errors import LowbitError, ModelFormatError, UnsupportedError
from lowbit.ir import Graph, verify
from lowbit.untrusted import read_start

START = 8
"""The bytes of a file by which its format is told."""


PROGRAM = b"\x89LBP\r\n\x1a\n"
"""The first bytes of a program file, which is no model file: `lowbit.program.file`."""


@dataclass(frozen=True)
class Format:
    """A row of the table.

    Attributes:
        name: of the format.
        suffixes: of its files, small letters.
        folder: of its module, in `lowbit.formats`.
        begins: tells by the first `START` bytes whether a file has the format; else its suffix does.
        hashed: whether files have a hash; the module's ``verify_manifest(path)`` compares it.
        counted: whether the module's ``byte_table(path)`` says where every byte of a file is.
        foreign: whether it belongs to other runtimes, which have operators of their own for reals alone.
    """

    name: str
    suffixes: tuple[str, ...]
    folder: str
    begins: Callable[[bytes], bool] = lambda start: False
    hashed: bool = False
    counted: bool = False
    foreign: bool = False

    @property
    def module(self) -> Any:
        """What reads and writes it."""
        return import_module(f"lowbit.formats.{self.folder}")

    def blockers(self, graph: Graph) -> list[Blocker]:
        """Return what files of the format have no place for in a verified graph."""
        if hasattr(self.module, "blockers"):
            return list(self.module.blockers(graph))
        try:
            self.module.check(graph)
        except LowbitError as error:
            return [blocker_of(error)]
        return []

    def file_operators(self, path: str | os.PathLike[str]) -> list[tuple[str, tuple[str, ...]]]:
        """Return the file's own word for each operator, with the names of the node and of what it gives.

        Nothing where operators are those of the graph.
        """
        return list(self.module.file_operators(path)) if hasattr(self.module, "file_operators") else []


FORMATS = (
    Format("Circle", (".circle",), "circle", lambda start: start[4:8] == b"CIR0", hashed=True, counted=True),
    Format(
        "TensorFlow Lite",
        (".tflite",),
        "circle",
        lambda start: start[4:8] == b"TFL3",
        counted=True,
        foreign=True,
    ),
    Format("ONNX", (".onnx",), "onnx"),
    Format("text", (".txt",), "text", lambda start: start.startswith(b"lowbit ")),
    Format("QDQ", (".qdq.onnx",), "qdq", foreign=True),
    Format("QONNX", (".qonnx.onnx", ".qonnx"), "qonnx", foreign=True),
)
"""Every format."""

SUFFIXES = tuple(suffix for row in FORMATS for suffix in row.suffixes)


def is_program(source: object) -> TypeGuard[str | os.PathLike[str] | bytes]:
    """Return whether a path or bytes are a program file.

    Raises:
        FileError: the path cannot be opened.
    """
    if isinstance(source, str | os.PathLike):
        return read_start(source, START) == PROGRAM
    return isinstance(source, bytes) and source.startswith(PROGRAM)


def read_model(path: str | os.PathLike[str]) -> Graph:
    """Return the verified graph of a model file; inputs that nothing reads are left out.

    Raises:
        FileError: it cannot be opened or breaks a rule of its format.
        UnsupportedError: it uses something that lowbit does not have.
        GraphError: its operators do not fit together.
        MissingExtra: a package that reads the format is not installed.
    """
    graph: Graph = format_of(path).module.read(path)
    verify(graph)
    return without_unused_inputs(graph)


def read_bytes(content: bytes, where: str = "bytes") -> Graph:
    """Return the verified graph of the bytes of a model file; those that no format begins with are ONNX.

    Raises:
        FileError: they break a rule of their format.
        UnsupportedError: they use something that lowbit does not have.
    """
    row = next((row for row in FORMATS if row.begins(content[:START])), None)
    graph: Graph = (row or _by_suffix("bytes.onnx") or FORMATS[0]).module.read_content(content, where)
    verify(graph)
    return without_unused_inputs(graph)


def read_onnx_model(model: Any, where: str = "ModelProto") -> Graph:
    """Return the verified graph of a model of the package onnx, which stays as it is."""
    copied = type(model)()
    copied.CopyFrom(model)
    graph: Graph = import_module("lowbit.formats.onnx").from_proto(copied, where)
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


def write_model(graph: Graph, path: str | os.PathLike[str], form: str = "") -> None:
    """Write the graph in the format of a name, else in the one that the path's suffix names.

    Raises:
        WriteError: the path cannot be written.
        UnsupportedError: the suffix is unknown, or the format cannot hold the graph.
    """
    row = _named_form(form) if form else _named(path)
    verify(graph)
    row.module.write(graph, path)


def is_foreign(path: str | os.PathLike[str]) -> bool:
    """Return whether the format of a path belongs to other runtimes; UnsupportedError where it names none."""
    return _named(path).foreign


def own_operators(graph: Graph, path: str | os.PathLike[str]) -> str:
    """Return what other runtimes lack to run a file of this graph, in a sentence; "" where it is nothing."""
    row = _named(path)
    found = row.module.blockers(graph, builtin=True) if row.foreign and row.folder == "circle" else []
    return f"stock LiteRT does not run this file, lowbit does: {listed(found)}" if found else ""


def check_target(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Refuse a graph that the format of a path cannot hold, before work is done for it.

    A float network is checked as it is; what quantization makes of its layers has a place in every format.

    Raises:
        UnsupportedError: the suffix is unknown, or operators have no place in the format: all of them.
    """
    _named(path).module.check(graph)


def format_of(path: str | os.PathLike[str]) -> Format:
    """Return the format of a file: by its first bytes, else by its name.

    Raises:
        FileError: it cannot be opened, or has no format that is known.
    """
    start = read_start(path, START)
    if start == PROGRAM:
        raise UnsupportedError(
            "a compiled program runs, but holds no network to read",
            where=os.fspath(path),
            expected=", ".join(SUFFIXES),
            remedy="Run it: lowbit.load(path).run(x); for all else give the file that it was compiled from.",
        )
    row = next((row for row in FORMATS if row.begins(start)), None) or _by_suffix(path)
    if row is None:
        raise ModelFormatError(
            "this is no model file that lowbit knows",
            where=os.fspath(path),
            expected=", ".join(SUFFIXES),
            found=f"suffix {Path(path).suffix.lower()!r}, first bytes {start!r}",
            remedy="Check the path, or convert the model to ONNX.",
        )
    return row


def _by_suffix(path: str | os.PathLike[str]) -> Format | None:
    """Return the format with the longest suffix that the name of a file ends in."""
    name = Path(path).name.lower()
    fitting = [(len(suffix), row) for row in FORMATS for suffix in row.suffixes if name.endswith(suffix)]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def _named_form(form: str) -> Format:
    """Return the format of a name."""
    row = next((row for row in FORMATS if row.name.lower() == form.lower()), None)
    if row is None:
        raise UnsupportedError(
            "no format has this name",
            expected=", ".join(row.name.lower() for row in FORMATS),
            found=repr(form),
        )
    return row


def _named(path: str | os.PathLike[str]) -> Format:
    """Return the format that the path of a file to write names."""
    row = _by_suffix(path)
    if row is None:
        raise UnsupportedError(
            "the suffix names no model format",
            where=os.fspath(path),
            expected=", ".join(SUFFIXES),
            found=Path(path).suffix.lower() or "none",
            remedy="Give the output one of these suffixes.",
        )
    return row
