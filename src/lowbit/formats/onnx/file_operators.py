"""What a file itself calls its operators, for messages to the people who have the file."""

import os

from lowbit.formats.onnx.model_checks import label_of
from lowbit.untrusted import read_file


def file_operators(path: str | os.PathLike[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the operator of each node, with the node's name, if it has one, and the names of what it gives.

    Args:
        path: an ``.onnx`` that was read before.
    """
    from onnx import ModelProto

    nodes = ModelProto.FromString(read_file(path)).graph.node
    return [(label_of(node), tuple(filter(None, (node.name, *node.output)))) for node in nodes]
