"""The node of a low-bit layer: its constants, stored and biased as its encodings ask for."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lowbit.errors import NumericError
from lowbit.ir import Graph, Node, Value
from lowbit.ir.deployed import INT32_MAX, accumulator_bound
from lowbit.ir.graph import DTYPES, Attribute
from lowbit.ir.operators.registry import code_dtype, storage_dtype
from lowbit.planes import pack
from lowbit.schemes import Encoding, LearnedBasis, largest_float32_below, table_decode
from lowbit.schemes.coded import CodedWeights
from lowbit.schemes.pair import bias_in_units

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
    source, convolution = graph.value(codes).encoding, len(shape) == 4
    _require_finite(bias, name)
    found = _in_units(coded, bias, source, name)
    if found is None:
        stored, constant = _as_planes(coded), graph.add_constant(graph.fresh_name(f"{name}/bias"), bias)
    else:
        stored = found[0]
        constant = graph.add_constant(graph.fresh_name(f"{name}/bias"), found[1], "int32")
    weights = graph.add(_packed(graph.fresh_name(f"{name}/weights"), stored, shape))
    op, chosen = ("Convolution", dict(attributes)) if convolution else ("Linear", {})
    return Node(op, (codes, weights, constant), (output,), chosen, name, "lowbit")


def _packed(name: str, coded: CodedWeights, shape: tuple[int, ...]) -> Value:
    """Return weights as a constant, as their encoding stores them."""
    dtype = storage_dtype(coded.encoding)
    data = (
        pack(coded.codes, coded.encoding.bits)
        if dtype == "planes"
        else np.asarray(coded.codes.reshape(shape), DTYPES[dtype])
    )
    return Value(name, dtype, shape, data, coded.encoding)


def _in_units(
    coded: CodedWeights, bias: Array, source: Encoding | None, where: str
) -> tuple[CodedWeights, npt.NDArray[np.int32]] | None:
    """Return weights and bias where sums and bias are rounded as one, else None."""
    if source is None or not bias_in_units(source, coded.encoding):
        return None
    return with_integer_bias(coded, bias, source, where)


def _as_planes(coded: CodedWeights) -> CodedWeights:
    """Return weights as planes with a row of parameters for each output, where their levels are of planes."""
    basis, outputs = coded.encoding.as_basis(), len(coded.codes)
    if basis is None:
        return coded
    if basis.channels < outputs:
        basis = LearnedBasis.joined([basis], [outputs])
    return replace(coded, encoding=basis)


def add_encoder(graph: Graph, source: str, encoding: Encoding, thresholds: npt.ArrayLike, name: str) -> Node:
    """Return a node that encodes a value, its codes added to the graph; the caller places it.

    Args:
        graph: gets the codes.
        source: the value.
        encoding: of the codes.
        thresholds: what separates codes; encodings that round need none.
        name: of the node.
    """
    codes = graph.fresh_name(f"{source}/codes")
    graph.add(Value(codes, code_dtype(encoding), graph.value(source).shape, None, encoding))
    inputs: tuple[str, ...] = (source,)
    if not encoding.rounds:
        inputs += (graph.add_constant(graph.fresh_name(f"{codes}/thresholds"), thresholds),)
    return Node("Encode", inputs, (codes,), {}, graph.fresh_name(name), "lowbit")


def with_integer_bias(
    coded: CodedWeights, bias: Array, source: Encoding, where: str
) -> tuple[CodedWeights, npt.NDArray[np.int32]]:
    """Return weights and their bias in units of the accumulator, rounded half to even.

    The unit is the input's scale times the output's. Where weights are so small that the bias would leave
    int32 in it, the output's scale is widened until it fits, and its weights get the nearest codes on the
    wider grid. An output of zeros gets the scale that keeps its bias to the last digit of a float32. Sums
    alone that leave int32 leave the bias all of it.

    Args:
        coded: weights `[o, n]` whose encoding rounds.
        bias: real, `[o]`.
        source: the encoding of the input.
        where: the layer.

    Raises:
        NumericError: a bias leaves int32 and the encoding has no other scale.
    """
    scale = np.broadcast_to(coded.encoding.integer_scale(), bias.shape)
    wanted = _wanted_scale(coded, bias, source, scale)
    if (wanted != scale).any():
        coded = _widened(coded, np.where(wanted != scale, wanted, 0.0), scale, where)
    unit = source.integer_scale()[0] * coded.encoding.integer_scale()
    return coded, np.rint(bias / unit).astype(np.int32)


def _wanted_scale(coded: CodedWeights, bias: Array, source: Encoding, scale: Array) -> Array:
    """Return the scale of every output by which its bias fits beside its sums."""
    integers = np.asarray(table_decode(coded.codes, coded.encoding.whole_levels()), np.int32)
    bound = accumulator_bound(source.integer_levels()[0], integers)
    room = INT32_MAX - (bound if bound < INT32_MAX else 0)
    input_scale = source.integer_scale()[0]
    least = np.abs(bias) / (input_scale * room)
    if coded.encoding.channels == 1 < len(bias):  # one scale for all outputs
        return np.asarray(np.maximum(scale, least.max()))
    empty = ~integers.any(axis=1) & (bias != 0)
    exact = np.abs(bias) / (input_scale * min(_EXACT, room))
    return np.asarray(np.where(empty, np.maximum(exact, least), np.maximum(scale, least)))


def _widened(coded: CodedWeights, wanted: Array, scale: Array, where: str) -> CodedWeights:
    """Return weights on wider grids, the next float32 above; where nothing is wanted they stay."""
    wider = _float32_above(np.maximum(wanted, np.finfo(np.float32).tiny)).astype(np.float64)
    factor = np.where(wanted > 0, wider / scale, 1.0)
    encoding = coded.encoding.scaled(factor[: coded.encoding.channels])
    if encoding is None:
        raise NumericError(
            "a bias leaves int32 in units of the sums",
            where=where,
            expected="a bias of at most 2147483647 units",
            found=f"one of {float((wanted / scale).max()):.3g} times as many",
            remedy="Give weights or inputs fewer bits behind the point.",
        )
    return CodedWeights(encoding, encoding.encode(coded.values()))


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
