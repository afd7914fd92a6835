"""A network of somebody's own, from plan to engine: prepared, trained a few steps, exported, compared.

Codes are compared layer by layer and sample by sample. A code that differs first in a sample is wrong, unless
what torch encodes there lies within rounding of a threshold: reals before it are added in another order. What
follows such a code in that sample is not compared.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils import _pytree

from lowbit.engine import Program
from lowbit.errors import LowbitError
from lowbit.formats import read_model, write_model
from lowbit.ir import Graph
from lowbit.nn import LayerPlan, Plan, clamp_latents, prepare, set_progress, to_graph
from lowbit.nn.low_bit import LowBit
from lowbit.schemes.training.quantizer import InputQuantizer
from tests.nn.networks import Drawn

BINARY = LayerPlan("binary", "binary", before_sign="prelu")
PLANS: dict[str, Plan] = {
    "binary": Plan({"*": BINARY}),
    "lq:2": Plan("lq:2", "lq:2"),
    "affine:4": Plan("affine:4", "affine:4"),
    "affine:8": Plan("affine:8", "affine:8"),
    "ternary": Plan("ternary", "lq:3:offset"),
    "ends": Plan(
        "lq:3", "lq:2:offset", layers={"first": Plan("float"), "last": Plan("affine:8", "affine:8")}
    ),
}
NEAR = 1e-4
"""Of the spread of what is encoded: so near a threshold, rounding decides."""


@dataclass
class Tried:
    """What became of a network.

    Attributes:
        stage: `done`, or where it stopped: `prepare` (refused), `train`, `export`, `circle`, `engine`.
        why: what was said there.
        layers: low-bit calls that were compared.
        codes: how many.
        wrong: those that differ for no reason.
        rounded: those that differ first in a sample, within rounding of a threshold.
        error: of the outputs, relative, in samples without such codes.
    """

    stage: str
    why: str = ""
    layers: int = 0
    codes: int = 0
    wrong: int = 0
    rounded: int = 0
    error: float = 0.0
    refused: bool = False
    where: list[str] = field(default_factory=list)


def refused_by_torch(drawn: Drawn) -> str:
    """Return why torch itself cannot train a float network, or "" where it can."""
    try:
        _train(drawn.module, drawn.inputs, 1)
    except RuntimeError as error:  # as of in-place functions, which autograd sees as late as here
        return str(error)
    return ""


def attempt(drawn: Drawn, plan: Plan, folder: Path, steps: int = 3) -> Tried:
    """Return what becomes of a network by a plan."""
    model, inputs = drawn.module, drawn.inputs
    try:
        prepare(model, plan, inputs)
    except LowbitError as error:
        return Tried("prepare", str(error), refused=True)
    stage = "train"
    try:
        _train(model, inputs, steps)
        model.eval()
        stage = "export"
        graph = to_graph(model, inputs)
        stage = "circle"
        write_model(graph, folder / "model.circle")
        stage = "engine"
        return _compared(model, inputs, read_model(folder / "model.circle"))
    except Exception as error:  # whatever went wrong is what is counted
        return Tried(stage, f"{type(error).__name__}: {error}")


def _train(model: nn.Module, inputs: tuple[Tensor, ...], steps: int) -> None:
    model.train()
    for step in range(steps):
        set_progress(model, step / steps)
        given = [each for each in _pytree.tree_leaves(model(*inputs)) if isinstance(each, Tensor)]
        loss = sum((each - 1).square().mean() for each in given)
        model.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter -= 1e-3 * parameter.grad.sign()
        clamp_latents(model)


@dataclass
class _Read:
    """What one call of a layer read: ranks of it, samples first, and how near thresholds they are."""

    name: str
    ranks: npt.NDArray[np.int64]
    near: npt.NDArray[np.bool_]
    features_last: bool


def _compared(model: nn.Module, inputs: tuple[Tensor, ...], graph: Graph) -> Tried:
    with _watched(model) as reads, torch.no_grad():
        wanted = [each for each in _pytree.tree_leaves(model(*inputs)) if isinstance(each, Tensor)]
    program = Program(graph)
    named = {name: each.numpy() for name, each in zip(_inputs_of(graph), inputs, strict=False)}
    traced = program.trace(*(named[name] for name in graph.inputs))
    given = program.run(*(named[name] for name in graph.inputs))
    outputs = given if isinstance(given, tuple) else (given,)
    result, count = Tried("done"), len(inputs[0])
    clean = np.ones(count, bool)
    calls = _calls_of(graph)
    for read in reads:
        name = next((each for each in calls.get(read.name, [])), None)
        if name is None:
            result.where.append(f"{read.name} is no layer of the graph")
            continue
        calls[read.name].remove(name)
        _add(result, read, _ranks(graph, name, traced), clean)
    for mine, theirs in zip(wanted, outputs, strict=True):
        difference = np.abs(mine.numpy() - np.asarray(theirs)).reshape(count, -1).max(1)
        result.error = max(
            result.error, float((difference * clean).max() / max(1e-6, float(mine.abs().max())))
        )
    return result


def _inputs_of(graph: Graph) -> list[str]:
    return [f"x{number or ''}" for number in range(8)]


def _calls_of(graph: Graph) -> dict[str, list[str]]:
    """Return the values that low-bit layers read, in order, by the name of the layer in torch."""
    found: dict[str, list[str]] = {}
    for node in graph.nodes:
        if node.op in ("Convolution", "Linear") and graph.value(node.inputs[0]).encoding is not None:
            name = node.name.split("/")[0]
            stem, _, number = name.rpartition("_")
            name = stem if number.isdigit() and stem in found else name
            if node.inputs[0] not in found.get(name, [])[-1:] or "/" not in node.name:
                found.setdefault(name, []).append(node.inputs[0])
    return found


def _ranks(graph: Graph, name: str, traced: dict[str, Any]) -> npt.NDArray[np.int64] | None:
    """Return ranks of the levels of a value's codes; of equal levels the first."""
    encoding = graph.value(name).encoding
    assert encoding is not None
    while name not in traced:
        maker = graph.producer(name)
        if maker is None or maker.op not in ("Reshape", "Flatten", "Unsqueeze", "Squeeze", "Identity"):
            return None
        name = maker.inputs[0]
    ranked = encoding.integer_levels()[0][encoding.code_of_rank()[0]]
    order = np.searchsorted(ranked, encoding.integer_levels()[0])
    return np.asarray(order[np.asarray(traced[name]).astype(np.intp)])


def _add(
    result: Tried, read: _Read, found: npt.NDArray[np.int64] | None, clean: npt.NDArray[np.bool_]
) -> None:
    count = len(clean)
    if found is None or found.size != read.ranks.size:
        result.where.append(f"{read.name}: codes are not traced")
        return
    result.layers += 1
    result.codes += read.ranks.size
    forms = _forms(read.ranks, read.features_last, count)
    nears = _forms(read.near, read.features_last, count)
    rows = _forms(found, False, count)[0]
    differing, near = min(
        ((form != rows, close) for form, close in zip(forms, nears, strict=True)),
        key=lambda pair: pair[0].sum(),
    )
    fresh = differing & clean[:, None]
    result.rounded += int((fresh & near).sum())
    result.wrong += int((fresh & ~near).sum())
    if (fresh & ~near).any():
        result.where.append(f"{read.name}: {int((fresh & ~near).sum())} of {fresh.size}")
    clean &= ~differing.any(1)


def _forms(array: npt.NDArray[Any], features_last: bool, count: int) -> list[npt.NDArray[Any]]:
    """Return a row for each sample, in the orders that a graph may have what a layer reads."""
    arrays = [array]
    if array.ndim > 2:
        arrays = [array, np.moveaxis(array, -1, 1)]
        arrays += [np.moveaxis(array, 1, 0), np.moveaxis(np.moveaxis(array, 1, 0), -1, 1)]
    return [each.reshape(count, -1) for each in arrays if each.shape[0] in (count, 1)] or [
        array.reshape(count, -1)
    ]


@contextmanager
def _watched(model: nn.Module) -> Iterator[list[_Read]]:
    """Collect what every call of a layer with a quantized input reads."""
    reads: list[_Read] = []
    undo = []
    for name, layer in model.named_modules():
        if isinstance(layer, LowBit) and layer.weight_quantizer is not None:
            for quantizer in layer.inputs():
                undo.append(_watch(quantizer, name, layer, reads))
    try:
        yield reads
    finally:
        for quantizer in undo:
            del quantizer.integers


def _watch(quantizer: InputQuantizer, name: str, layer: LowBit, reads: list[_Read]) -> Any:
    plain = quantizer.integers

    def integers(x: Tensor, encoding: Any) -> Tensor:
        steps = torch.from_numpy(np.asarray(quantizer.thresholds(), np.float32))
        given = x.detach().float().contiguous()
        if (mode := getattr(layer, "padding_mode", "zeros")) != "zeros":
            given = nn.functional.pad(given, layer._reversed_padding_repeated_twice, mode=mode)
        levels = encoding.integer_levels()[0][encoding.code_of_rank()[0]]
        ranks = np.searchsorted(levels, levels[torch.bucketize(given, steps).numpy()])
        distance = (given[..., None] - steps).abs().amin(-1)
        near = (distance <= NEAR * float(given.abs().max())).numpy()
        if len(given) > 1:  # not what a state of zeros gives, a constant
            reads.append(_Read(name, ranks, near, layer.weight.ndim == 2))
        return plain(x, encoding)

    quantizer.integers = integers  # type: ignore[method-assign]
    return quantizer
