"""The node of a low-bit layer: which operator its encodings ask for, and its constants."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from lowbit.ir import Graph, Node, Value
from lowbit.ir.deployed import INT32_MAX, accumulator_bound
from lowbit.ir.graph import Attribute
from lowbit.planes import pack
from lowbit.quantization.weights import CodedWeights
from lowbit.schemes import Affine, Encoding, FixedPoint, LearnedBasis, PowerOfTwo, table_decode

Array = npt.NDArray[np.float64]


def low_bit_node(
    graph: Graph,
    name: str,
    inputs: tuple[str, str],
    coded: CodedWeights,
    bias: Array,
    shape: tuple[int, ...],
    attributes: Mapping[str, Attribute],
) -> Node:
    """Return a low-bit layer, its constants added to the graph; the caller places it.

    Args:
        graph: gets the constants.
        name: of the layer.
        inputs: names of the codes that it reads and of its output.
        coded: weights `[o, n]` in the order of `shape`.
        bias: `[o]`, real.
        shape: `(o, n)`, or `(o, kh, kw, c / group)` for a convolution.
        attributes: of a convolution's window.
    """
    codes, output = inputs
    source, encoding = graph.value(codes).encoding, coded.encoding
    convolution = len(shape) == 4
    bias_dtype = "float32"
    if isinstance(encoding, Affine) and isinstance(source, Affine):
        op, stored = "Affine", Value("", "code", shape, coded.codes.reshape(shape), encoding)
        bias, bias_dtype = np.asarray(integer_bias(bias, source, coded)), "int32"
    elif isinstance(encoding, PowerOfTwo):
        op, stored = "Pow2", Value("", "code", shape, coded.codes.reshape(shape), encoding)
    else:
        basis = _per_output(encoding, len(coded.codes))
        op, stored = "LQ", Value("", "planes", shape, pack(coded.codes, basis.bits), basis)
    weights = graph.fresh_name(f"{name}/weights")
    graph.add(Value(weights, stored.dtype, shape, stored.data, stored.encoding))
    constant = graph.add_constant(graph.fresh_name(f"{name}/bias"), bias, bias_dtype)
    op += "Conv" if convolution else "FullyConnected"
    chosen = dict(attributes) if convolution else {}
    return Node(op, (codes, weights, constant), (output,), chosen, name, "lowbit")


def add_encoder(graph: Graph, source: str, encoding: Encoding, thresholds: npt.ArrayLike, name: str) -> Node:
    """Return a node that encodes a value, its codes added to the graph; the caller places it.

    Args:
        graph: gets the codes.
        source: the value.
        encoding: of the codes.
        thresholds: what separates codes; affine and fixed-point codes are rounded instead.
        name: of the node.
    """
    codes = graph.fresh_name(f"{source}/codes")
    graph.add(Value(codes, "code", graph.value(source).shape, None, encoding))
    inputs: tuple[str, ...] = (source,)
    if not isinstance(encoding, Affine | FixedPoint):
        inputs += (graph.add_constant(graph.fresh_name(f"{codes}/thresholds"), thresholds),)
    return Node("Encode", inputs, (codes,), {}, graph.fresh_name(name), "lowbit")


def integer_bias(bias: Array, source: Affine, coded: CodedWeights) -> npt.NDArray[np.int32]:
    """Return the bias in units of the accumulator, rounded half to even.

    Where weights next to nothing have next to no scale, it saturates as far out as the products leave room.
    """
    integers = np.asarray(table_decode(coded.codes, coded.encoding.integer_levels()), np.int32)
    room = INT32_MAX - accumulator_bound(source.integer_levels()[0], integers)
    scale = source.integer_scale()[0] * coded.encoding.integer_scale()
    return np.asarray(np.clip(np.rint(bias / scale), -room, room), np.int32)


def _per_output(encoding: Affine | LearnedBasis, outputs: int) -> LearnedBasis:
    """Return the encoding as a learned basis with a row per output."""
    basis = encoding.to_learned_basis() if isinstance(encoding, Affine) else encoding
    repeats = outputs // basis.channels
    return LearnedBasis(
        np.repeat(basis.basis, repeats, axis=0),
        np.repeat(basis.offset, repeats),
        np.repeat(basis.top, repeats),
    )
