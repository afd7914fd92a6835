"""The graph's text in JSON, with how long it is."""

import json
import os

from lowbit.errors import ModelFormatError
from lowbit.ir import Graph, from_text, to_text
from lowbit.untrusted import read_file, write_atomic


def read(path: str | os.PathLike[str]) -> Graph:
    """Return the graph of a file."""
    try:
        found = json.loads(read_file(path))
        text = found["toy"]
        whole = len(text) == found["length"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFormatError("no toy", where=os.fspath(path), found=repr(error)) from error
    if not whole:
        raise ModelFormatError("a toy is cut off", where=os.fspath(path))
    return from_text(text, os.fspath(path))


def write(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write a graph."""
    text = to_text(graph)
    write_atomic(path, json.dumps({"toy": text, "length": len(text)}).encode())


def check(graph: Graph) -> None:
    """Refuse nothing."""
