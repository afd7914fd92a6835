"""Whether a prepared module can be exported, tried before it is trained."""

import copy

import torch
from torch import nn

from lowbit import program
from lowbit.blockers import Blocker, grouped, listed, remedies
from lowbit.errors import UnsupportedError
from lowbit.formats import FORMATS
from lowbit.ir import Graph
from lowbit.nn.example import Example
from lowbit.nn.export import to_graph


def refuse_unexportable(model: nn.Module, example: Example) -> None:
    """Refuse a module that cannot be exported, or whose graph the engine or ``.circle`` do not take.

    A copy is trained on the example, for no step, and exported; the module itself stays as it is.

    Raises:
        UnsupportedError: with everything that stands in the way.
    """
    tried = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        tried.train()
        tried(*example.tensors)
    found = grouped(_blockers(to_graph(tried, example.tensors)))
    if found:
        raise UnsupportedError(
            "what the module computes runs in no engine, or has no place in .circle",
            where=type(model).__name__,
            found=listed(found),
            remedy=f"{remedies(found)} Or train without a file in the end: exportable=False.",
        )


def _blockers(graph: Graph) -> list[Blocker]:
    circle = next(row for row in FORMATS if ".circle" in row.suffixes)
    return [*program.blockers(graph), *circle.blockers(graph)]
