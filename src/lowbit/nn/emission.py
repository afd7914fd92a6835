"""The nodes of one call of a module: a table of what torch calls it and what the graph calls it.

Nodes and constants have the names of the modules, as the zoo's graphs have them.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from lowbit.errors import UnsupportedError
from lowbit.ir import Graph, Node, infer
from lowbit.ir.graph import Attribute
from lowbit.ir.infer import infer_node
from lowbit.nn.fixed_point import FixedPointInput, FixedPointWeight, Tabulated
from lowbit.nn.layers import Conv2d, Layer, Linear, input_encoding
from lowbit.quantization.node import add_encoder, low_bit_node
from lowbit.schemes import FixedPoint

Names = Mapping[fx.Node, str]


class Emission:
    """A graph that is being written from a module."""

    def __init__(self, graph: Graph, model: nn.Module) -> None:
        self.graph, self.model = graph, model
        self.formats: dict[str, FixedPoint | None] = {}  # of every layer with weights, None for others

    def add(self, operator: str, name: str, *inputs: str, **attributes: Attribute) -> str:
        """Append a node of `operator` or `domain.operator` and return the name of its output."""
        domain, _, op = operator.rpartition(".")
        name = self.graph.fresh_name(name)
        return self.append(Node(op, inputs, (f"{name}.out",), attributes, name, domain))

    def append(self, node: Node) -> str:
        """Append a node and return the name of its output."""
        self.graph.nodes.append(node)
        infer_node(self.graph, node)
        return node.outputs[0]

    def constant(self, name: str, data: Tensor | npt.ArrayLike) -> str:
        """Add a float constant and return its name."""
        array = data.detach().cpu().numpy() if isinstance(data, Tensor) else np.asarray(data)
        return self.graph.add_constant(self.graph.fresh_name(name), np.array(array, order="C"))

    def rank(self, name: str) -> int:
        """Return how many axes a value has."""
        return len(self.graph.value(name).shape)

    def finish(self, name: str, output: str) -> None:
        """Call a value the graph's output."""
        if self.graph.producer(name) is None or self.graph.consumers(name):
            name = self.add("Identity", output, name)
        position = next(index for index, node in enumerate(self.graph.nodes) if name in node.outputs)
        self.graph.nodes[position] = replace(self.graph.nodes[position], outputs=(output,))
        del self.graph.values[name]
        infer(self.graph)


def emit(emission: Emission, call: fx.Node, names: Names) -> str:
    """Append the nodes of a call and return the name of what it gives.

    Raises:
        UnsupportedError: the graph has no operator for it.
    """
    if call.op == "call_module":
        module, name = emission.model.get_submodule(str(call.target)), str(call.target)
        write = next((write for kind, write in _MODULES.items() if isinstance(module, kind)), None)
        if write is not None and len(call.args) == 1 and call.args[0] in names:
            return write(emission, module, name, names[call.args[0]])  # type: ignore[index]
    elif call.op in ("call_function", "call_method") and call.target in _CALLS:
        return _CALLS[call.target](emission, call, names)
    raise UnsupportedError(
        "there is no operator for this call",
        where=f"{emission.graph.name}/{call.name}",
        found=f"{call.op} {call.target}",
    )


def _float_linear(emission: Emission, module: nn.Linear, name: str, source: str) -> str:
    emission.formats[name] = None
    return _linear(emission, name, source, module.weight, module.bias)


def _linear(emission: Emission, name: str, source: str, weight: Tensor, bias: Tensor | None) -> str:
    if emission.rank(source) == 2:
        inputs = [emission.constant(f"{name}.weight", weight)]
        inputs += [] if bias is None else [emission.constant(f"{name}.bias", bias)]
        return emission.add("Gemm", name, source, *inputs, transB=1)
    matrix = emission.constant(f"{name}.weight", weight.T)
    if bias is None:
        return emission.add("MatMul", name, source, matrix)
    product = emission.add("MatMul", f"{name}/product", source, matrix)
    return emission.add("Add", name, product, emission.constant(f"{name}.bias", bias))


def _float_convolution(emission: Emission, module: nn.Conv2d, name: str, source: str) -> str:
    emission.formats[name] = None
    return _convolution(emission, module, name, source, module.weight)


def _convolution(emission: Emission, module: nn.Conv2d, name: str, source: str, weight: Tensor) -> str:
    inputs = [emission.constant(f"{name}.weight", weight)]
    inputs += [] if module.bias is None else [emission.constant(f"{name}.bias", module.bias)]
    return emission.add("Conv", name, source, *inputs, **_window(module))


def _window(module: nn.Conv2d) -> dict[str, Attribute]:
    if isinstance(module.padding, str) or module.padding_mode != "zeros":
        raise UnsupportedError("padding has to be a number of zeros", found=str(module))
    window: dict[str, Attribute] = {
        "kernel_shape": module.kernel_size,
        "strides": module.stride,
        "pads": (*module.padding, *module.padding),
    }
    window |= {"dilations": module.dilation} if set(module.dilation) != {1} else {}
    return window | ({"group": module.groups} if module.groups != 1 else {})


def _low_bit(emission: Emission, layer: Layer, name: str, source: str) -> str:
    """Append a layer whose input, weights or both are quantized."""
    reads, has = layer.input_quantizer, layer.weight_quantizer
    if isinstance(reads, FixedPointInput) and isinstance(has, FixedPointWeight):
        return _fixed_point(emission, layer, has, name, source)
    emission.formats[name] = None
    if reads is None or has is None:
        if reads is not None:
            codes = _codes(emission, layer, name, source)
            source = emission.add("lowbit.Decode", f"{name}/decode", codes)
        weight = layer.weight if has is None else has.levels(layer.weight)
        if isinstance(layer, Linear):
            return _linear(emission, name, source, weight, layer.bias)
        return _convolution(emission, layer, name, source, weight)
    if isinstance(layer, Linear) and emission.rank(source) != 2:
        raise UnsupportedError("low-bit layers take flat samples", where=name, expected="[n, features]")
    codes = _codes(emission, layer, name, source)
    coded, weight = has.coded(layer.weight), layer.weight
    shape = tuple(weight.movedim(1, -1).shape)
    moved = np.moveaxis(coded.codes.reshape(weight.shape), 1, -1).reshape(len(weight), -1)
    bias = (
        np.zeros(len(weight)) if layer.bias is None else layer.bias.detach().cpu().numpy().astype(np.float64)
    )
    attributes = _window(layer) if isinstance(layer, Conv2d) else {}
    ordered = replace(coded, codes=np.ascontiguousarray(moved))
    names = (codes, f"{name}.out")
    return emission.append(low_bit_node(emission.graph, name, names, ordered, bias, shape, attributes))


def _fixed_point(emission: Emission, layer: Layer, has: FixedPointWeight, name: str, source: str) -> str:
    """Append a layer with rounded constants; the whole network becomes integers at the end."""
    emission.formats[name] = has.format
    bias = None if layer.bias is None else has.bias(layer.bias)
    return _linear(emission, name, source, has.levels(layer.weight), bias)


def _codes(emission: Emission, layer: Layer, name: str, source: str) -> str:
    """Return the codes of a layer's input; equal encodings of a value are shared."""
    assert layer.input_quantizer is not None
    encoding, thresholds = input_encoding(layer), layer.input_quantizer.thresholds()
    for reader in emission.graph.consumers(source):
        if reader.op == "Encode" and emission.graph.value(reader.outputs[0]).encoding == encoding:
            return reader.outputs[0]
    return emission.append(add_encoder(emission.graph, source, encoding, thresholds, f"{name}/encode"))


def _normalization(emission: Emission, module: nn.BatchNorm2d, name: str, source: str) -> str:
    ones = torch.ones_like(module.running_mean)  # type: ignore[arg-type]
    vectors = {
        "weight": ones if module.weight is None else module.weight,
        "bias": ones * 0 if module.bias is None else module.bias,
        "running_mean": module.running_mean,
        "running_var": module.running_var,
    }
    inputs = [emission.constant(f"{name}.{key}", vector) for key, vector in vectors.items()]  # type: ignore[arg-type]
    return emission.add("BatchNormalization", name, source, *inputs, epsilon=module.eps)


def _prelu(emission: Emission, module: nn.PReLU, name: str, source: str) -> str:
    column = (-1, *[1] * (emission.rank(source) - 2))
    slope = emission.constant(f"{name}.weight", module.weight.detach().view(column))
    return emission.add("PRelu", name, source, slope)


def _clip(emission: Emission, module: nn.Hardtanh, name: str, source: str) -> str:
    bounds = [
        emission.constant(f"{name}.{key}", np.float32(value))
        for key, value in (("min", module.min_val), ("max", module.max_val))
    ]
    return emission.add("Clip", name, source, *bounds)


def _pool(op: str) -> "Write":
    def write(emission: Emission, module: nn.MaxPool2d, name: str, source: str) -> str:
        plain = not module.ceil_mode and module.padding == 0 and getattr(module, "dilation", 1) == 1
        if not plain:
            raise UnsupportedError("a pool has to be plain", where=name, found=str(module))
        kernel, strides = (
            (value, value) if isinstance(value, int) else tuple(value)
            for value in (module.kernel_size, module.stride)
        )
        return emission.add(op, name, source, kernel_shape=kernel, strides=strides)

    return write


def _plain(op: str) -> "Write":
    return lambda emission, module, name, source: emission.add(op, name, source)


def _flatten(emission: Emission, module: nn.Flatten, name: str, source: str) -> str:
    if (module.start_dim, module.end_dim) != (1, -1):
        raise UnsupportedError("all axes but the first are flattened", where=name, found=str(module))
    return emission.add("Flatten", name, source)


Write = Callable[[Emission, Any, str, str], str]

_MODULES: dict[type[nn.Module] | tuple[type[nn.Module], ...], Write] = {
    Conv2d: _low_bit,
    Linear: _low_bit,
    nn.Linear: _float_linear,
    nn.Conv2d: _float_convolution,
    (nn.BatchNorm1d, nn.BatchNorm2d): _normalization,
    nn.PReLU: _prelu,
    nn.Hardtanh: _clip,
    Tabulated: lambda emission, module, name, source: emission.add(module.name.capitalize(), name, source),
    nn.ReLU: _plain("Relu"),
    nn.Tanh: _plain("Tanh"),
    nn.Sigmoid: _plain("Sigmoid"),
    nn.MaxPool2d: _pool("MaxPool"),
    nn.AvgPool2d: _pool("AveragePool"),
    nn.Flatten: _flatten,
    (nn.Identity, nn.Dropout, nn.Dropout2d, FixedPointInput): lambda emission, module, name, source: source,
}


def _call(op: str, **attributes: Attribute) -> "Call":
    """Return what writes a function of tensors alone."""

    def write(emission: Emission, call: fx.Node, names: Names) -> str:
        tensors = call.args if all(isinstance(value, fx.Node) for value in call.args) else ()
        if not tensors or call.kwargs:
            raise UnsupportedError("a call has to be of tensors", where=call.name, found=str(call.args))
        return emission.add(op, call.name, *(names[value] for value in tensors), **attributes)  # type: ignore[index]

    return write


def _concatenation(emission: Emission, call: fx.Node, names: Names) -> str:
    axis = call.args[1] if len(call.args) > 1 else call.kwargs.get("dim", 0)
    return emission.add("Concat", call.name, *(names[part] for part in call.args[0]), axis=int(axis))  # type: ignore


def _mean(emission: Emission, call: fx.Node, names: Names) -> str:
    source = names[call.args[0]]  # type: ignore[index]
    if tuple(call.args[1:]) != ((2, 3),) or call.kwargs:
        raise UnsupportedError("means are over rows and columns", where=call.name, found=str(call.args[1:]))
    return emission.add("Flatten", call.name, emission.add("GlobalAveragePool", f"{call.name}/maps", source))


def _flattened(emission: Emission, call: fx.Node, names: Names) -> str:
    if tuple(call.args[1:]) != (1,) or call.kwargs:
        raise UnsupportedError("all axes but the first are flattened", where=call.name, found=str(call.args))
    return emission.add("Flatten", call.name, names[call.args[0]])  # type: ignore[index]


def _transposed(emission: Emission, call: fx.Node, names: Names) -> str:
    if call.target is getattr and call.args[1] != "mT":
        raise UnsupportedError("there is no operator for this", where=call.name, found=str(call.args[1]))
    source = names[call.args[0]]  # type: ignore[index]
    rank = emission.rank(source)
    return emission.add("Transpose", call.name, source, perm=(*range(rank - 2), rank - 1, rank - 2))


Call = Callable[[Emission, fx.Node, Names], str]

_CALLS: dict[object, Call] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add"), _call("Add")),
    **dict.fromkeys((torch.relu, functional.relu, "relu"), _call("Relu")),
    **dict.fromkeys((torch.tanh, functional.tanh, "tanh"), _call("Tanh")),
    **dict.fromkeys((torch.sigmoid, functional.sigmoid, "sigmoid"), _call("Sigmoid")),
    **dict.fromkeys((torch.cat, torch.concat), _concatenation),
    **dict.fromkeys((torch.mean, "mean"), _mean),
    **dict.fromkeys((torch.flatten, "flatten"), _flattened),
    getattr: _transposed,
}
