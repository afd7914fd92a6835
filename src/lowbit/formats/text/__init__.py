"""The graph's text form as a file: UTF-8, and every graph has a place in it."""

import os

from lowbit.errors import ModelFormatError
from lowbit.ir import Graph, from_text, to_text
from lowbit.untrusted import read_file, write_atomic

MAX_BYTES = 2**28


def read(path: str | os.PathLike[str]) -> Graph:
    """Return the graph of a file.

    Raises:
        FileError: it cannot be opened, is larger than `MAX_BYTES`, or is not the text of a graph.
    """
    return read_content(read_file(path, limit=MAX_BYTES), os.fspath(path))


def read_content(content: bytes, where: str) -> Graph:
    """Return the graph of the bytes of a file called ``where``; errors are those of `read`."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ModelFormatError(
            "the text is not UTF-8",
            where=where,
            expected="UTF-8",
            found=f"byte {error.start}",
            remedy="Write it again.",
        ) from error
    return from_text(text, where)


def write(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write a graph, whole or not at all."""
    write_atomic(path, to_text(graph).encode())


def check(graph: Graph) -> None:
    """Refuse nothing."""
