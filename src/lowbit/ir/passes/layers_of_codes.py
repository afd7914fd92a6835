"""Float layers whose weights are decoded become layers on encoded values.

    Decode(x), Decode(W) -> Conv, Gemm, MatMul [-> Add, Sub]     Convolution, Linear on the codes of x
    x, Decode(W)         -> Conv, Gemm, MatMul [-> Add, Sub]     the same on floats: weight-only

Weights may be transposed and reshaped between; they are constant. A bias that stands for whole units of the
sums, to the last digit of a float32, is one of int32 where input and weights round; else it stays real, and
so it does where a normalization follows, which will fold into it. Lines [n, c, l] become maps of height 1.
What has no such form stays as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lowbit.ir.coded_constants import CodedConstant, coded_constant, is_decoder
from lowbit.ir.deployed import INT32_MAX
from lowbit.ir.graph import Graph, Node, Value
from lowbit.ir.infer import call_of
from lowbit.ir.layers import outputs_last
from lowbit.ir.operators import Trait, has
from lowbit.ir.operators.elementwise import line_of
from lowbit.ir.operators.registry import storage_dtype
from lowbit.ir.passes.channel_affine import channel_affine
from lowbit.ir.passes.infrastructure import Pass
from lowbit.ir.passes.lines_to_maps import of_two_axes
from lowbit.ir.passes.readers import is_encoder, only_reader
from lowbit.planes import pack
from lowbit.schemes import Encoding
from lowbit.schemes.encoding import Codes

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Found:
    """A float layer that can be one of codes.

    Attributes:
        node: that layer.
        weights: outputs first, ``[o, n]`` or ``[o, c / group, ...]``.
        bias: ``[o]``; None where there is none.
        add: the node that adds the bias, if one does.
    """

    node: Node
    weights: CodedConstant
    bias: Floats | None
    add: Node | None = None


def _apply(graph: Graph) -> bool:
    changed = False
    for node in list(graph.nodes):
        found = _found(graph, node)
        if found is not None:
            _replace(graph, found)
            changed = True
    return changed


def _all_found(graph: Graph) -> Iterator[_Found]:
    return (found for found in (_found(graph, node) for node in graph.nodes) if found is not None)


def _found(graph: Graph, node: Node) -> _Found | None:
    if node.domain or not has(node, Trait.LAYER) or len(node.inputs) < 2:
        return None
    coded = coded_constant(graph, node.inputs[1])
    ranks = (3, 4) if has(node, Trait.WINDOW) else (2,)
    if coded is None or coded.codes.ndim not in ranks or not _is_plain(graph, node):
        return None
    weights = coded.outputs_first(outputs_last(node))
    return None if weights is None else _biased(graph, _Found(node, weights, None))


def _is_plain(graph: Graph, node: Node) -> bool:
    """Return whether a layer reads rows or maps as they are, and has no factors."""
    call = call_of(graph, node)
    names = {"alpha": 1.0, "beta": 1.0, "transA": 0}.items()
    plain = all(node.attributes.get(name, usual) == usual for name, usual in names)
    rank = len(call.input(0).shape)
    return (
        plain and call.input(0).data is None and (rank > 1 if not has(node, Trait.WINDOW) else rank in (3, 4))
    )


def _biased(graph: Graph, found: _Found) -> _Found | None:
    """Return a layer with its bias, its own or that of an Add or Sub behind; None where it is computed."""
    node, outputs = found.node, len(found.weights.codes)
    if len(node.inputs) > 2 and node.inputs[2]:
        data = graph.value(node.inputs[2]).data
        if data is None or data.size not in (1, outputs) or (data.ndim and data.shape[-1] != data.size):
            return None
        return replace(found, bias=np.broadcast_to(data.reshape(-1), (outputs,)).astype(np.float64))
    add = only_reader(graph, node)
    if add is None or add.domain or len(add.inputs) != 2:
        return found
    at = 1 if add.inputs[0] == node.outputs[0] else 0
    value = graph.value(add.inputs[at])
    behind = len(graph.value(node.outputs[0]).shape) - 2 if has(node, Trait.WINDOW) else 0
    shape = (1,) * (len(value.shape) - 1 - behind) + (outputs, *[1] * behind)
    if value.data is None or value.shape != shape or len(shape) > behind + 2:
        return found
    line = line_of(add, at, value.data.reshape(-1).astype(np.float64))
    return found if line is None or (line[0] != 1).any() else replace(found, bias=line[1], add=add)


def _replace(graph: Graph, found: _Found) -> None:
    """Put the layer of codes where the float one was, or where its bias was added."""
    node, last = found.node, found.add or found.node
    maker = graph.producer(node.inputs[0])
    source = node.inputs[0]
    coded = None if maker is None or not is_decoder(maker) else graph.value(maker.inputs[0]).encoding
    alike = not found.weights.encoding.group  # what has groups reads floats
    if alike and maker is not None and coded is not None and coded.channels == 1:
        source = maker.inputs[0]
    windowed = has(node, Trait.WINDOW)
    codes = found.weights.codes
    if windowed:
        codes = codes if codes.ndim == 4 else codes[:, :, None]
        codes = np.ascontiguousarray(codes.transpose(0, 2, 3, 1))
    weights = graph.add(_stored(graph.fresh_name(f"{node.name}/weights"), codes, found.weights.encoding))
    bias = _bias(graph, found, graph.value(source).encoding, last)
    kept = {
        name: value
        for name, value in node.attributes.items()
        if name not in ("transB", "alpha", "beta", "transA")
    }
    op = "Convolution" if windowed else "Linear"
    layer = Node(op, (source, weights, bias), last.outputs, kept, node.name, "lowbit")
    lines = windowed and found.weights.codes.ndim == 3
    at = graph.nodes.index(last)
    graph.nodes[at : at + 1] = _on_maps(graph, layer) if lines else [layer]
    if found.add is not None:
        graph.nodes.remove(node)


def _stored(name: str, codes: Codes, encoding: Encoding) -> Value:
    """Return weights as a constant, as their encoding stores them."""
    dtype = storage_dtype(encoding)
    data = pack(codes.reshape(len(codes), -1), encoding.bits) if dtype == "planes" else codes
    return Value(name, dtype, codes.shape, data, encoding)


def _bias(graph: Graph, found: _Found, source: Encoding | None, last: Node) -> str:
    outputs = len(found.weights.codes)
    name = graph.fresh_name(f"{found.node.name}/bias")
    reader = only_reader(graph, last)
    folds = reader is not None and channel_affine(graph, reader) is not None
    coded = reader is not None and is_encoder(reader)
    if source is not None and not folds and (found.bias is not None or coded):
        units = _in_units(
            np.zeros(outputs) if found.bias is None else found.bias, source, found.weights.encoding
        )
        if units is not None:
            return graph.add_constant(name, units, "int32")
    return graph.add_constant(name, np.zeros(outputs) if found.bias is None else found.bias)


def _in_units(bias: Floats, source: Encoding, weights: Encoding) -> npt.NDArray[np.int32] | None:
    """Return a bias as whole units of the sums; None where it is none, or where thresholds are compared."""
    if not (source.rounds and weights.rounds):
        return None
    unit = source.integer_scale()[0] * weights.integer_scale()
    units = np.rint(bias / unit)
    again = (units * unit).astype(np.float32)
    near = np.abs(again.astype(np.float64) - bias) <= 2 * np.spacing(np.abs(bias.astype(np.float32)))
    return units.astype(np.int32) if near.all() and (np.abs(units) <= INT32_MAX).all() else None


def _on_maps(graph: Graph, layer: Node) -> list[Node]:
    """Return a convolution of lines as one of maps of height 1, between what makes maps of lines and back."""
    source, target = layer.inputs[0], layer.outputs[0]
    axes = graph.add_constant(graph.fresh_name(f"{layer.name}/axes"), [2], "int64")
    before, after = (
        graph.add(replace(graph.value(name), name=graph.fresh_name(f"{name}/map"), shape=()))
        for name in (source, target)
    )
    attributes = {name: of_two_axes(name, value) for name, value in layer.attributes.items()}
    map_layer = replace(layer, inputs=(before, *layer.inputs[1:]), outputs=(after,), attributes=attributes)
    return [
        Node("Unsqueeze", (source, axes), (before,), {}, graph.fresh_name(f"{layer.name}/unsqueeze")),
        map_layer,
        Node("Squeeze", (after, axes), (target,), {}, graph.fresh_name(f"{layer.name}/squeeze")),
    ]


layers_of_codes = Pass("layers-of-codes", _apply, ensures=lambda graph: next(_all_found(graph), None) is None)
