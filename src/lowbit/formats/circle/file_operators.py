"""What a file itself calls its operators, for messages to the people who have the file."""

import os

from lowbit.formats.circle.model_file import read_model
from lowbit.formats.circle.structure import check_structure
from lowbit.untrusted import read_file


def file_operators(path: str | os.PathLike[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return each operator, with the names of the tensors that it gives.

    Args:
        path: a file that was read before.
    """
    content, where = read_file(path), os.fspath(path)
    structure = check_structure(read_model(content, where), content, where)
    rows = zip(structure.operators, structure.subgraph.operators, strict=True)
    return [
        (name, tuple(structure.tensor(index).name for index in operator.outputs if index >= 0))
        for name, operator in rows
    ]
