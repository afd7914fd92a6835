"""From a module to the graph: `to_graph`. A float network stays float; low-bit layers give codes.

torch exports the module with every low-bit layer as one node (`lowbit.nn.opaque`), and the reader of ONNX
files reads that, so whatever it reads can be trained. A layer becomes an encoder and a layer on codes, with
exactly the integers and scales that the module multiplies in eval mode. Passes then remove the floats between
the layers, as they do behind post-training quantization.
"""

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from lowbit.errors import LowbitError, UnsupportedError
from lowbit.formats import onnx as onnx_files
from lowbit.formats import without_unused_inputs
from lowbit.formats.batch import combines_samples, open_batch
from lowbit.ir import Graph, run_passes, verify
from lowbit.ir.passes import LOW_BIT_FORM, settle_layout
from lowbit.nn import opaque
from lowbit.nn.example import Example, Given, apart, example_of, settled
from lowbit.nn.labels import as_called_by_users, called_by_modules
from lowbit.nn.low_bit import LowBit
from lowbit.nn.recorder import record, slow_attention
from lowbit.nn.spelled import Spelled
from lowbit.quantization.fixed_point import to_fixed_point
from lowbit.schemes import FixedPoint
from lowbit.schemes.training.quantizer import InputQuantizer

INPUT, OUTPUT, BATCH = "x", "logits", "n"
OPSET = 17


def to_graph(model: nn.Module, example: Given, name: str = "") -> Graph:
    """Return a module as a graph: of ``x [n, ...]`` (``x``, ``x1``, ... of several) ``logits`` likewise.

    Args:
        model: what eval mode computes is what the graph computes; it is left as it was.
        example: the shape of one sample of its only input, or samples: a tensor, or one for each input.
        name: of the graph; the architecture's, or the class's, when empty.

    Raises:
        UnsupportedError: what torch or the reader of ONNX files has no operator for, each by name, or a
            forward that depends on its input.
    """
    return graph_of(model, example_of(model, example), name)


def graph_of(model: nn.Module, example: Example, name: str = "") -> Graph:
    """Return a module as `to_graph` does."""
    given = settled(model, example)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        return _graph(model, given, name or _name(model))
    finally:
        for module, mode in modes:
            module.training = mode


def _graph(model: nn.Module, given: Example, name: str) -> Graph:
    formats = _formats(model)
    with opaque.exporting(_names(model), given.batch, is_open=True):
        record(model, given)  # refuses what depends on the input
    graph = _read_somehow(model, given, name)
    if any(formats.values()):
        return _in_fixed_point(graph, formats)
    if any(value.encoding is not None for value in graph.values.values()):
        graph = run_passes(graph, LOW_BIT_FORM).graph
    verify(graph)
    return graph


def _read_somehow(model: nn.Module, given: Example, name: str) -> Graph:
    """Return the graph of any number of samples; where that is impossible, of lengths that users gave."""
    errors: list[LowbitError] = []
    fixed = [(given.fixed(), False)] if given.counted else []
    for example, is_open in ((given, True), (given.single(), False), *fixed):
        try:
            graph = _read(model, example, name, is_open)
        except LowbitError as error:
            errors.append(error)
            continue
        if example is given or example.tensors is given.whole or _is_open(graph):
            return graph
    raise errors[0]


def _is_open(graph: Graph) -> bool:
    return any(isinstance(length, str) for name in graph.inputs for length in graph.value(name).shape[:1])


def _refuse_meetings(graph: Graph, model: nn.Module, example: Example) -> None:
    """Refuse an open batch along which elements of samples meet: the trace has as many as the example.

    Where a node may join them, the module says whether it does: what it gives for each sample alone.
    """
    found = [node for node in graph.nodes if combines_samples(graph, node, BATCH)]
    if found and not apart(model, example):
        raise UnsupportedError(
            "samples are not apart along the first axis of the input",
            where=f"{graph.name}/{found[0].name}",
            expected="samples along the first axis",
            found=f"{found[0].op}, which joins them",
            remedy="Keep the first axis, as flatten(1) does; or give as many samples as it is to take.",
        )


def _read(model: nn.Module, given: Example, name: str, is_open: bool) -> Graph:
    """Return what the reader makes of what torch exports, for any number of samples if it is open."""
    from onnx import load_model_from_string

    with opaque.exporting(_names(model), given.batch, is_open) as export, _functions_of_floats(model):
        file = load_model_from_string(_exported(model, given, is_open))
    file.graph.name = name
    as_called_by_users(file.graph)

    def call(reader: Any, proto: Any, attributes: Mapping[str, Any]) -> None:
        export.emits[str(attributes[opaque.KEY])](reader, proto.input[0], proto.output[0])

    graph = onnx_files.from_proto(file, name, own={opaque.DOMAIN: call})
    if is_open:
        _refuse_meetings(graph, model, given)
    else:
        graph = open_batch(graph)
    if export.moves:
        graph = run_passes(graph, [settle_layout]).graph
    return called_by_modules(without_unused_inputs(graph))


def _exported(model: nn.Module, given: Example, is_open: bool) -> bytes:
    """Return the file that torch writes."""
    flat, file = _Flat(model), io.BytesIO()
    inputs = [f"{INPUT}{number or ''}" for number in range(len(given.tensors))]
    with torch.no_grad(), slow_attention(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself; what depends on inputs was refused
        torch.onnx.register_custom_op_symbolic("lowbit::call", opaque.symbolic, OPSET)  # type: ignore[attr-defined]
        try:
            outputs = [f"{OUTPUT}{number or ''}" for number in range(len(flat(*given.tensors)))]
            export = opaque.active()
            calls = export is not None and bool(export.emits)
            torch.onnx.export(
                flat,
                given.tensors,
                file,  # type: ignore[arg-type]
                input_names=inputs,
                output_names=outputs,
                dynamic_axes={key: {0: BATCH} for key in inputs} if is_open else None,
                opset_version=OPSET,
                dynamo=False,
                do_constant_folding=False,
                training=torch.onnx.TrainingMode.PRESERVE,
                operator_export_type=torch.onnx.OperatorExportTypes.ONNX_FALLTHROUGH,  # the reader names all
                custom_opsets={opaque.DOMAIN: 1} if calls else None,
            )
        except LowbitError:
            raise
        except Exception as error:  # exporters raise anything
            text = " ".join(str(error).split())
            raise UnsupportedError(
                "torch has no way to export this module",
                where=type(model).__name__,
                expected="operators that ONNX has",
                found=f"{type(error).__name__}: {text[:300]}",
            ) from error
    return file.getvalue()


def _names(model: nn.Module) -> dict[int, str]:
    """Return what modules are called, by identity: the first of their names."""
    return {id(module): path for path, module in reversed([*model.named_modules()])}


class _Flat(nn.Module):
    """A module that gives a tuple of tensors, whatever it gives them in."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = False

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        with Spelled():
            given = self.model(*inputs)
        found = [each for each in _pytree.tree_leaves(given) if isinstance(each, Tensor)]
        return tuple(found)


@contextmanager
def _functions_of_floats(model: nn.Module) -> Iterator[None]:
    """Let the grid of a network in fixed point pass its input, which the graph of integers rounds itself."""
    grids = [each for each in model.modules() if isinstance(each, InputQuantizer)]
    try:
        for grid in grids:
            grid.forward = lambda x: x  # type: ignore[method-assign]
        yield
    finally:
        for grid in grids:
            del grid.forward


def _formats(model: nn.Module) -> dict[str, FixedPoint | None]:
    """Return the fixed-point format of every layer with weights, None for others."""
    found: dict[str, FixedPoint | None] = {}
    for name, module in model.named_modules():
        if isinstance(module, LowBit):
            forms = module.weight_specification, module.activation
            fixed = all(form.has_format for form in forms)
            found[name] = module.weight_specification.fixed_point if fixed else None
        elif isinstance(module, nn.Linear | nn.modules.conv._ConvNd | nn.modules.batchnorm._BatchNorm):
            found[name] = None
    return found


def _in_fixed_point(graph: Graph, found: Mapping[str, FixedPoint | None]) -> Graph:
    """Return integers of the one format that all layers have."""
    formats = set(found.values())
    chosen = formats.pop()
    if formats or chosen is None:
        raise UnsupportedError(
            "a fixed-point network has one format in all its layers, and no batch normalization",
            where=graph.name,
            found=", ".join(f"{name} {each or 'float'}" for name, each in found.items()),
        )
    return to_fixed_point(graph, chosen.integer_bits, chosen.fraction_bits, chosen.rounding)


def _name(model: nn.Module) -> str:
    architecture = getattr(model, "architecture", None)
    return str(architecture.name) if architecture is not None else type(model).__name__.lower()
