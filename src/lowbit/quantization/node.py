"""The node of a low-bit layer: which operator its encodings ask for, and its constants."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lowbit.errors import NumericError
from lowbit.ir import Graph, Node, Value
from lowbit.ir.deployed import INT32_MAX, accumulator_bound, require_int32
from lowbit.ir.graph import Attribute
from lowbit.planes import pack
from lowbit.schemes import (
    Affine,
    Encoding,
    FixedPoint,
    LearnedBasis,
    PowerOfTwo,
    largest_float32_below,
    table_decode,
)
from lowbit.schemes.coded import CodedWeights

Array = npt.NDArray[np.float64]

_EXACT = 1 << 30  # a bias of that many units has more digits than a float32


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
    _require_finite(bias, name)
    if isinstance(encoding, Affine) and isinstance(source, Affine):
        coded, integers = with_integer_bias(coded, bias, source, name)
        op, stored = "Affine", Value("", "code", shape, coded.codes.reshape(shape), coded.encoding)
        bias, bias_dtype = np.asarray(integers), "int32"
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


def with_integer_bias(
    coded: CodedWeights, bias: Array, source: Encoding, where: str
) -> tuple[CodedWeights, npt.NDArray[np.int32]]:
    """Return affine weights and their bias in units of the accumulator, rounded half to even.

    The unit is the input's scale times the output's. Where weights are so small that the bias would leave
    int32 in it, the output's scale is widened until it fits, and its weights get the nearest codes on the
    wider grid. An output of zeros gets the scale that keeps its bias to the last digit of a float32.

    Args:
        coded: affine weights `[o, n]`.
        bias: real, `[o]`.
        source: the encoding of the input.
        where: the layer.

    Raises:
        NumericError: an accumulator could leave int32 whatever the scale.
    """
    assert isinstance(coded.encoding, Affine)
    scale, input_scale = coded.encoding.integer_scale(), source.integer_scale()[0]
    integers = np.asarray(table_decode(coded.codes, coded.encoding.integer_levels()), np.int32)
    bound = accumulator_bound(source.integer_levels()[0], integers)
    require_int32(bound + 1, where)
    room = INT32_MAX - bound
    least = np.abs(bias) / (input_scale * room)
    empty = ~integers.any(axis=1) & (bias != 0)
    least = np.where(empty, np.abs(bias) / (input_scale * min(_EXACT, room)), least)
    wanted = np.where(empty, least, np.maximum(scale, least))
    if len(scale) == 1 and len(bias) > 1:  # one scale for all outputs
        wanted = np.maximum(scale, np.abs(bias).max() / (input_scale * room))
    if (wanted != scale).any():
        wider = _float32_above(np.maximum(wanted, np.finfo(np.float32).tiny))
        encoding = replace(coded.encoding, scale=np.where(wanted != scale, wider, coded.encoding.scale))
        coded = CodedWeights(encoding, encoding.encode(coded.values()))
    unit = input_scale * coded.encoding.integer_scale()
    return coded, np.rint(bias / unit).astype(np.int32)


def _float32_above(values: Array) -> npt.NDArray[np.float32]:
    """Return the least float32 that is not below each value."""
    return -largest_float32_below(-values)


def _require_finite(bias: Array, where: str) -> None:
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(bias.astype(np.float32))
    if bad.any():
        raise NumericError(
            "a bias leaves the range of float32",
            where=where,
            expected="a finite bias",
            found=f"{bias[np.argmax(bad)]} at output {int(np.argmax(bad))}",
            remedy="Check the samples' scale and the network's weights.",
        )


def _per_output(encoding: Encoding, outputs: int) -> LearnedBasis:
    """Return the encoding as a learned basis with a row per output."""
    basis = encoding.as_basis()
    assert basis is not None
    repeats = outputs // basis.channels
    return LearnedBasis(
        np.repeat(basis.basis, repeats, axis=0),
        np.repeat(basis.offset, repeats),
        np.repeat(basis.top, repeats),
    )
