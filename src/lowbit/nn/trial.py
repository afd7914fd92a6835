"""Whether a prepared module can be exported, tried before it is trained."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from lowbit import program
from lowbit.blockers import grouped, listed, remedies
from lowbit.engine import Program
from lowbit.errors import EngineError, UnsupportedError
from lowbit.formats import FORMATS, read_model, write_model
from lowbit.ir import Graph
from lowbit.nn.example import Example
from lowbit.nn.export import graph_of
from lowbit.nn.low_bit import LowBit
from lowbit.schemes.training.quantizer import Quantizer


def refuse_unexportable(model: nn.Module, example: Example) -> None:
    """Refuse a module that cannot be exported, or whose graph the engine or ``.circle`` do not take.

    Quantizers begin with the example, and with the next batch again; nothing else of the module changes.

    Raises:
        UnsupportedError: with everything that stands in the way.
    """
    with _begun(model, example):
        _refuse_unrunnable(graph_of(model, example), type(model).__name__)


@contextmanager
def _begun(model: nn.Module, example: Example) -> Iterator[None]:
    """Let the quantizers of a module have seen an example for a while."""
    modes = [(module, module.training) for module in model.modules()]
    layers: list[nn.Module] = [module for module in model.modules() if isinstance(module, LowBit)]
    quantizers = [module for module in model.modules() if isinstance(module, Quantizer)]
    kept = [{name: each.clone() for name, each in quantizer.state_dict().items()} for quantizer in quantizers]
    try:
        model.eval()
        for module in (*layers, *quantizers):
            module.training = True
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            model(*example.tensors)
        yield
    finally:
        for quantizer, state in zip(quantizers, kept, strict=True):
            quantizer.forget()
            quantizer.load_state_dict(state)
        for module, mode in modes:
            module.training = mode


def _refuse_unrunnable(graph: Graph, where: str) -> None:
    """Refuse a graph that the engine does not run, or that ``.circle`` does not give back so that it does."""
    circle = next(row for row in FORMATS if ".circle" in row.suffixes)
    found = grouped([*program.blockers(graph), *circle.blockers(graph)])
    if found:
        raise UnsupportedError(
            "what the module computes runs in no engine, or has no place in .circle",
            where=where,
            found=listed(found),
            remedy=f"{remedies(found)} {_WITHOUT}",
        )
    with tempfile.TemporaryDirectory(prefix="lowbit") as folder:
        path = Path(folder) / "tried.circle"
        try:
            write_model(graph, path)
            Program(read_model(path))
        except EngineError as error:
            facts = {"expected": error.expected, "found": error.found}
            raise UnsupportedError(
                error.message, where=f"{where}: {error.where}", **facts, remedy=_WITHOUT
            ) from error


_WITHOUT = "Leave the layer float (plan.keeping), or train without a file in the end: exportable=False."
