"""The names of classes that a network's file remembers, so that what it says is read in words.

They are a list in JSON. With them a folder that lacks some class is numbered as the network's own was.
"""

import json

from lowbit.ir import Graph

KEY = "class_names"


def remember_class_names(graph: Graph, names: tuple[str, ...]) -> None:
    """Write names of classes, by number, into a graph's metadata, where there are any."""
    if names:
        graph.metadata[KEY] = json.dumps(names, ensure_ascii=False)


def remembered_class_names(graph: Graph) -> tuple[str, ...]:
    """Return the names of a network's classes, by number; none where its file says nothing of the kind."""
    try:
        found = json.loads(graph.metadata.get(KEY, "[]"))
    except (ValueError, RecursionError):
        return ()
    named = isinstance(found, list) and all(isinstance(name, str) for name in found)
    return tuple(found) if named and len(set(found)) == len(found) else ()
