"""The integers of a layer, and how its sums end."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lowbit.ir import Graph, Node, Value
from lowbit.ir.deployed import DeployedLayer, deployed_layer, integer_thresholds, row_length
from lowbit.ir.deployed_convolution import deployed_convolution
from lowbit.ir.layers import is_product
from lowbit.ir.window import Window
from lowbit.planes import unpack
from lowbit.rtl.array.endings import FEW, Ending, Steps, ending_of
from lowbit.rtl.array.functions import coded_layer, compared_layer
from lowbit.rtl.array.network import Basis, Layer, Shape
from lowbit.schemes import Encoding

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Constants:
    """The integers of a layer.

    Attributes:
        layer: scale, and what is added to sums.
        bias: ``bias64`` by border class, ``[row classes, column classes, o]``.
        weights: ``[o, kh, kw, c / group]``, in the order of the stream.
        levels: integer level of every rank that comes in.
        basis: of input and weights, where both have one.
        window: rows, then columns.
    """

    layer: DeployedLayer
    bias: Floats
    weights: Integers
    levels: Integers
    basis: Basis | None
    window: Window

    def is_few(self, target: Encoding) -> bool:
        """Return whether the layer compares its sums itself: memories of more thresholds are large."""
        return (1 << target.bits) - 1 <= FEW


def constants_of(graph: Graph, node: Node, shape: Shape, window: Window) -> Constants:
    """Return the integers of a layer that reads maps of a shape, or samples that were such maps."""
    encoding, weights, bias = (
        graph.value(node.inputs[0]).encoding,
        graph.value(node.inputs[1]),
        node.inputs[2],
    )
    assert encoding is not None
    given = graph.value(bias) if graph.value(bias).encoding is not None else graph.constant(bias)
    basis, levels = _basis(encoding, weights), _levels(encoding)
    if not is_product(node):
        found = deployed_convolution(encoding, weights, given, window)
        return Constants(found.layer, found.bias, found.weights.astype(np.int64), levels, basis, window)
    layer = deployed_layer(encoding, weights, given)
    integers = layer.weights.astype(np.int64)

    def streamed(rows: Integers) -> Integers:
        """The graph flattens [c, h, w], the stream is [h, w, c]."""
        return rows.reshape(-1, *shape).transpose(0, 2, 3, 1).reshape(len(rows), 1, 1, -1)

    basis = None if basis is None else replace(basis, codes=streamed(basis.codes))
    return Constants(layer, layer.bias[None, None], streamed(integers), levels, basis, window)


def ending_of_layer(graph: Graph, node: Node, constants: Constants) -> Ending | None:
    """Return how the sums of a layer become codes; None where no ending is proven."""
    target, layer, bias = graph.value(node.outputs[0]).encoding, constants.layer, constants.bias
    assert target is not None
    if any(node.inputs[3:]):
        given = graph.constant(node.inputs[3])
        steps = integer_thresholds(given, layer.scale, bias, wide=layer.is_wide).astype(np.int64)
        if steps.shape[-1] <= FEW:
            return Steps(steps - layer.addend[:, None])
        return ending_of(compared_layer(layer, bias, constants.levels, target, steps))
    activation = str(node.attributes.get("activation", "none"))
    return ending_of(coded_layer(layer, bias, constants.levels, target, activation))


def stage_of(name: str, node: Node, constants: Constants, thresholds: Integers | None, source: str) -> Layer:
    """Return a layer as a stage."""
    group = int(node.attributes.get("group", 1))  # type: ignore[arg-type]
    return Layer(
        name,
        constants.levels,
        constants.weights,
        constants.window,
        thresholds,
        constants.basis,
        (source,),
        group,
    )


def _levels(encoding: Encoding) -> Integers:
    """Return the integer levels by rank."""
    return np.asarray(encoding.integer_levels()[0][encoding.code_of_rank()[0]], np.int64)


def _basis(encoding: Encoding, weights: Value) -> Basis | None:
    """Return both bases; a weight offset is one more bit, that of its sign."""
    if weights.encoding is None or {encoding.storage, weights.encoding.storage} != {"planes"}:
        return None
    source, own = encoding.as_basis(), weights.encoding.as_basis()
    assert source is not None and own is not None and weights.data is not None
    codes = unpack(weights.data, row_length(weights)).astype(np.int64)
    coefficients, offsets = own.multipliers.astype(np.int64), own.integer_weight_offset().astype(np.int64)
    if offsets.any():
        codes |= ((offsets > 0).astype(np.int64) << own.bits)[:, None]
        coefficients = np.column_stack([coefficients, np.abs(offsets)])
    ranks = encoding.code_of_rank()[0].astype(np.int64)
    shape = [int(extent) for extent in weights.shape]
    return Basis(ranks, tuple(source.multipliers[0].tolist()), codes.reshape(shape), coefficients)
