"""The nodes of one call of a module: a table of what torch calls it and what the graph calls it.

Nodes and constants have the names of the modules, as the zoo's graphs have them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from lowbit.errors import UnsupportedError
from lowbit.ir import Graph, Node, infer
from lowbit.ir.graph import Attribute
from lowbit.ir.infer import infer_node
from lowbit.nn import functions
from lowbit.nn.fixed_point import Tabulated
from lowbit.nn.layers import Conv2d, Layer, Linear, input_encoding
from lowbit.quantization.node import add_encoder, low_bit_node
from lowbit.schemes import FixedPoint
from lowbit.schemes.training.quantizer import InputQuantizer, WeightQuantizer

Names = functions.Names


class Emission:
    """A graph that is being written from a module."""

    def __init__(self, graph: Graph, model: nn.Module) -> None:
        self.graph, self.model = graph, model
        self.lengths: dict[fx.Node, Any] = {}  # of axes, and whole shapes
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

    def integers(self, name: str, data: Sequence[int]) -> str:
        """Add a constant of integers and return its name."""
        return self.graph.add_constant(self.graph.fresh_name(name), data, "int64")

    def clip(self, name: str, source: str, least: float | None, most: float | None) -> str:
        """Append a Clip, of which either bound may be missing."""
        bounds = {"min": least, "max": most}
        known = {key: value for key, value in bounds.items() if value is not None and abs(value) < inf}
        inputs = [self.constant(f"{name}.{key}", np.float32(value)) for key, value in known.items()]
        return self.add("Clip", name, source, *(["", *inputs] if "min" not in known and inputs else inputs))

    def write_module(self, module: nn.Module, name: str, source: str) -> str:
        """Append the nodes of a module of torch.nn, or of ours.

        Raises:
            UnsupportedError: the graph has no operator for it.
        """
        write = _writer(module)
        if write is None:
            raise UnsupportedError(
                "there is no operator for this module", where=f"{self.graph.name}/{name}", found=str(module)
            )
        return write(self, module, name, source)

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


def emit(emission: Emission, call: fx.Node, names: Names) -> str | None:
    """Append the nodes of a call and return the name of what it gives; None where that is a length.

    Raises:
        UnsupportedError: the graph has no operator for it.
    """
    if call.op != "call_module":
        return functions.write(emission, call, names)
    source = names.get(call.args[0]) if len(call.args) == 1 else None  # type: ignore[arg-type]
    if source is None or call.kwargs:
        raise UnsupportedError("a module reads one tensor", where=str(call.target), found=str(call.args))
    return emission.write_module(emission.model.get_submodule(str(call.target)), str(call.target), source)


def unknown_calls(calls: fx.Graph, model: nn.Module) -> list[str]:
    """Return the calls that the graph has no operator for, as a person would name them."""
    found = []
    for call in calls.nodes:
        if call.op == "call_module":
            module = model.get_submodule(str(call.target))
            if _writer(module) is None:
                found.append(f"{call.target} ({type(module).__name__})")
        elif call.op not in ("placeholder", "output") and not functions.is_known(call):
            found.append(f"{call.name} ({functions.name_of(call)})")
    return found


def _writer(module: nn.Module) -> "Write | None":
    return next((write for kind, write in _MODULES.items() if isinstance(module, kind)), None) or _declared(
        module
    )


def _declared(module: nn.Module) -> "Write | None":
    """Return what writes a module that an operator names as its own: with the module's constants."""
    operator = functions.declared(type(module).__name__)
    if operator is None or type(module) is not getattr(nn, operator.torch, None):
        return None
    constants = set(getattr(module, "__constants__", ())) - {"inplace"}
    if not constants <= operator.attributes.keys():
        return None

    def write(emission: Emission, module: nn.Module, name: str, source: str) -> str:
        attributes = {key: getattr(module, key) for key in sorted(constants)}
        return emission.add(f"{operator.domain}.{operator.name}".lstrip("."), name, source, **attributes)

    return write


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
    if has is not None and layer.activation.has_format and layer.weight_specification.has_format:
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


def _fixed_point(emission: Emission, layer: Layer, has: WeightQuantizer, name: str, source: str) -> str:
    """Append a layer with rounded constants; the whole network becomes integers at the end."""
    emission.formats[name] = layer.weight_specification.fixed_point
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
    return emission.clip(name, source, module.min_val, module.max_val)


def _pool(op: str) -> "Write":
    def write(emission: Emission, module: nn.MaxPool2d, name: str, source: str) -> str:
        if module.ceil_mode or getattr(module, "divisor_override", None) is not None:
            raise UnsupportedError(
                "a pool rounds down and divides by its size", where=name, found=str(module)
            )
        kernel, strides, padding, dilation = (
            (value, value) if isinstance(value, int) else tuple(value)
            for value in (module.kernel_size, module.stride, module.padding, getattr(module, "dilation", 1))
        )
        window: dict[str, Attribute] = {"kernel_shape": kernel, "strides": strides}
        window |= {"pads": (*padding, *padding)} if any(padding) else {}
        window |= {"dilations": dilation} if set(dilation) != {1} else {}
        includes = op == "AveragePool" and any(padding) and getattr(module, "count_include_pad", False)
        return emission.add(op, name, source, **window, **({"count_include_pad": 1} if includes else {}))

    return write


def _adaptive_pool(op: str) -> "Write":
    def write(emission: Emission, module: nn.AdaptiveAvgPool2d, name: str, source: str) -> str:
        lengths, size = emission.graph.value(source).shape[2:], module.output_size
        wanted = (size, size) if isinstance(size, int) or size is None else tuple(size)
        parts = [have if want is None else want for want, have in zip(wanted, lengths, strict=True)]
        if not all(have % part == 0 for have, part in zip(lengths, parts, strict=True)):  # type: ignore[operator]
            raise UnsupportedError(
                "adaptive windows have one size",
                where=name,
                expected=f"a divisor of {lengths}",
                found=str(wanted),
            )
        if set(parts) == {1}:
            return emission.add(f"Global{op}", name, source)
        kernel = tuple(have // part for have, part in zip(lengths, parts, strict=True))  # type: ignore[operator]
        return emission.add(op, name, source, kernel_shape=kernel, strides=kernel)

    return write


def _softplus(emission: Emission, module: nn.Softplus, name: str, source: str) -> str:
    if module.beta != 1:
        raise UnsupportedError("a softplus has a slope of one", where=name, found=str(module))
    return emission.add("Softplus", name, source)


def _silu(emission: Emission, module: nn.SiLU, name: str, source: str) -> str:
    return emission.add("Mul", name, source, emission.add("Sigmoid", f"{name}/sigmoid", source))


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
    nn.Hardtanh: _clip,  # ReLU6 is one
    nn.LeakyReLU: lambda emission, module, name, source: emission.add(
        "LeakyRelu", name, source, alpha=float(module.negative_slope)
    ),
    nn.ELU: lambda emission, module, name, source: emission.add(
        "Elu", name, source, alpha=float(module.alpha)
    ),
    nn.Hardsigmoid: lambda emission, module, name, source: emission.add(
        "HardSigmoid", name, source, alpha=1 / 6, beta=0.5
    ),
    (nn.Softmax, nn.LogSoftmax): lambda emission, module, name, source: emission.add(
        type(module).__name__, name, source, axis=int(module.dim)
    ),
    nn.Softplus: _softplus,
    nn.SiLU: _silu,
    Tabulated: lambda emission, module, name, source: emission.add(module.name.capitalize(), name, source),
    nn.ReLU: _plain("Relu"),
    nn.Tanh: _plain("Tanh"),
    nn.Sigmoid: _plain("Sigmoid"),
    nn.MaxPool2d: _pool("MaxPool"),
    nn.AvgPool2d: _pool("AveragePool"),
    nn.AdaptiveMaxPool2d: _adaptive_pool("MaxPool"),
    nn.AdaptiveAvgPool2d: _adaptive_pool("AveragePool"),
    nn.Flatten: _flatten,
    (
        nn.Identity,
        nn.Dropout,
        nn.Dropout1d,
        nn.Dropout2d,
        nn.Dropout3d,
        InputQuantizer,  # the grid in front of a fixed-point network, which every input of one has
    ): lambda emission, module, name, source: source,
}
