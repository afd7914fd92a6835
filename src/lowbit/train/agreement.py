"""How often the files of a network differ from the module that was trained, over a whole data set.

Low-bit layers compute small integers, the same everywhere. A layer in floats before them adds in another
order in every program, so a value that lies within rounding of a threshold can get the neighbouring code:
such codes are counted here, and classes beside them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lowbit.backends import BACKENDS, Runner
from lowbit.errors import EngineError, MissingExtra
from lowbit.formats import read_model
from lowbit.ir import Graph
from lowbit.nn import Conv2d, Linear
from lowbit.train.samples import Samples

Floats = npt.NDArray[np.float32]
Codes = dict[str, npt.NDArray[np.generic]]

_BLOCK = 250


def agreement(module: nn.Module, model: Path, samples: Samples) -> dict[str, Any]:
    """Return how many codes and classes differ from the module's.

    Args:
        module: in eval mode, on the CPU.
        model: its ``.onnx``, or ``.txt`` where that cannot be written.
        samples: to compare over.

    Returns:
        ``samples``; ``codes`` and ``codes_engine`` (in all, and those that differ in the engine), or, where
        the engine does not run the network or its layers are not the module's (fixed point throughout is a
        graph of its own), ``logits`` and ``logits_reference``; ``classes_engine`` and ``classes_onnxruntime``
        (those that differ); ``why_not`` where a program does not run it.
    """
    graph = read_model(model)
    result: dict[str, Any] = {"samples": len(samples), "why_not": {}}
    engine, session = _engine(graph, result), _onnxruntime(model, result)
    reference = BACKENDS["reference"].load(graph)
    for start in range(0, len(samples), _BLOCK):
        inputs = samples.inputs(samples.pictures(slice(start, start + _BLOCK))).cpu()
        x = np.ascontiguousarray(inputs.numpy())
        with _observed(module) as codes, torch.no_grad():
            logits = module(inputs).numpy()
        if engine is not None:
            _add(result, "classes_engine", engine.run(x)[0].argmax(1) != logits.argmax(1))
        if engine is not None and codes.keys() <= {node.name for node in graph.nodes}:
            _add_engine(result, engine, graph, x, codes)
        else:
            _add(result, "logits_reference", reference.run(x)[0] != logits)
            _add(result, "logits", np.ones(logits.shape, bool))
        if session is not None:
            found = session.run(None, {session.get_inputs()[0].name: x})[0]
            _add(result, "classes_onnxruntime", found.argmax(1) != logits.argmax(1))
    return result


def by_engine(module: nn.Module, model: Path, samples: Samples) -> dict[str, Any]:
    """Return what the engine makes of a written file, and how many classes differ from the module's.

    Args:
        module: in eval mode, on the CPU.
        model: its ``.circle``.
        samples: to compare over.

    Returns:
        ``top1``, ``classes`` (those that differ) and ``logits_apart``, the largest difference of a logit over
        the largest logit; or ``why_not``, where the engine does not run it.
    """
    result: dict[str, Any] = {"why_not": {}}
    engine = _engine(read_model(model), result)
    if engine is None:
        return {"why_not": result["why_not"]["engine"]}
    right, different, apart, largest = 0, 0, 0.0, 0.0
    for start in range(0, len(samples), _BLOCK):
        chosen = slice(start, start + _BLOCK)
        inputs = samples.inputs(samples.pictures(chosen)).cpu()
        with torch.no_grad():
            logits = module(inputs).numpy()
        found = engine.run(np.ascontiguousarray(inputs.numpy()))[0]
        right += int(np.count_nonzero(found.argmax(1) == samples.labels[chosen].cpu().numpy()))
        different += int(np.count_nonzero(found.argmax(1) != logits.argmax(1)))
        apart, largest = max(apart, float(abs(found - logits).max())), max(largest, float(abs(logits).max()))
    return {"top1": right / len(samples), "classes": different, "logits_apart": apart / (largest or 1.0)}


def _add_engine(result: dict[str, Any], engine: Runner, graph: Graph, x: Floats, codes: Codes) -> None:
    traced = engine.trace(x)
    for layer, ranks in codes.items():
        name = _source(graph, layer, traced)
        encoding = graph.value(name).encoding
        assert encoding is not None
        levels = encoding.integer_levels()[0]  # of two codes with one level, either may stand
        wanted = levels[encoding.code_of_rank()[0]][ranks]
        _add(result, "codes_engine", levels[traced[name]].reshape(ranks.shape) != wanted)
        _add(result, "codes", np.ones(ranks.shape, bool))


def _engine(graph: Graph, result: dict[str, Any]) -> Runner | None:
    try:
        return BACKENDS["engine"].load(graph)
    except EngineError as error:
        result["why_not"]["engine"] = str(error)
        return None


def _onnxruntime(model: Path, result: dict[str, Any]) -> Any:
    if model.suffix != ".onnx":
        return None
    from lowbit.backends.onnxruntime import session

    try:
        return session(model)  # the file itself, as others get it
    except MissingExtra:
        result["why_not"]["onnxruntime"] = "not installed"
        return None


@contextmanager
def _observed(module: nn.Module) -> Iterator[Codes]:
    """Collect the ranks of what every layer with a quantized input reads."""
    codes: Codes = {}
    hooks = []
    for name, layer in module.named_modules():
        if isinstance(layer, Conv2d | Linear) and layer.input_quantizer is not None:
            hooks.append(layer.register_forward_pre_hook(_watch(name, layer, codes)))
    try:
        yield codes
    finally:
        for hook in hooks:
            hook.remove()


def _watch(name: str, layer: Conv2d | Linear, codes: Codes) -> Callable[[nn.Module, tuple[Tensor]], None]:
    assert layer.input_quantizer is not None
    steps = torch.from_numpy(layer.input_quantizer.thresholds())

    def watch(module: nn.Module, inputs: tuple[Tensor]) -> None:
        codes[name] = torch.bucketize(inputs[0].contiguous(), steps).numpy()

    return watch


def _source(graph: Graph, layer: str, traced: Codes) -> str:
    """Return the value that a layer reads, as the engine has it: for it, another shape is the same value."""
    value = next(node.inputs[0] for node in graph.nodes if node.name == layer)
    while value not in traced:
        value = next(node.inputs[0] for node in graph.nodes if value in node.outputs)
    return value


def _add(result: dict[str, Any], name: str, different: npt.NDArray[np.bool_]) -> None:
    result[name] = result.get(name, 0) + int(np.count_nonzero(different))
