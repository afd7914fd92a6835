"""TFLite files of several operators: dilations, called graphs, variables, shape arithmetic, refusals."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from lowbit.engine import Program
from lowbit.errors import LowbitError, ModelFormatError, UnsupportedError, UsageError
from lowbit.formats.circle.foreign_options import (
    CallOnceOptions,
    CompositeOptions,
    IfOptions,
    ShapeOptions,
    VarHandleOptions,
    WhileOptions,
)
from lowbit.formats.circle.reader import read_content
from lowbit.formats.circle.schema import (
    VALID,
    AddOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    FullyConnectedOptions,
    MulOptions,
    Operator,
    PackOptions,
    Pool2DOptions,
    ReshapeOptions,
    Sparsity,
    SqueezeOptions,
    StridedSliceOptions,
)
from lowbit.formats.input_shapes import fixed_inputs
from lowbit.ir import Graph, evaluate, verify
from tests.formats.test_stored_constants import sparse
from tests.formats.test_tflite_operators import in_litert
from tests.formats.tflite_author import Author, parameters

Floats = npt.NDArray[np.float32]


def author(seed: int = 0) -> Author:
    return Author(np.random.default_rng(seed), version=1)


def beside(main: Author) -> Author:
    """Return who writes another graph of the same file."""
    return Author(main.random, buffers=main.buffers, codes=main.codes, version=1)


def read(content: bytes) -> Graph:
    graph = read_content(content, "net.tflite")
    verify(graph)
    return graph


def check(content: bytes, *inputs: npt.NDArray[np.generic], tolerance: float = 1e-5) -> Graph:
    """Check that reference and engine give what LiteRT gives, and return the graph."""
    graph, theirs = read(content), in_litert(content, list(inputs))
    ours = Program(graph).run(*inputs)
    for found in (evaluate(graph, dict(zip(graph.inputs, inputs, strict=True))).values(), _all(ours)):
        for mine, wanted in zip(found, theirs, strict=True):
            np.testing.assert_allclose(mine, wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max())
    return graph


def _all(results: object) -> Sequence[npt.NDArray[np.generic]]:
    return results if isinstance(results, tuple) else (results,)  # type: ignore[return-value]


def _edges(*rows: tuple[int, int]) -> npt.NDArray[np.int32]:
    return np.array(rows, np.int32)


def constant(by: Author, data: npt.ArrayLike, dtype: str = "int32") -> int:
    array = np.asarray(data, dtype)
    return by.tensor(array.shape, dtype, None, array)


def dilated(seed: int, *, depthwise: bool, between: bool) -> tuple[bytes, Floats, tuple[int, int]]:
    """Return a plain convolution between exchanges, an input, and the dilation that it stands for."""
    by = author(seed)
    block = [int(n) for n in by.random.integers(1, 4, 2)]
    kernel = [int(n) for n in by.random.integers(1, 4, 2)]
    length = [int(by.random.integers(8, 12)) for _ in range(2)]
    before = [int(by.random.integers(0, (k - 1) * b + 1)) for b, k in zip(block, kernel, strict=True)]
    after = [(k - 1) * b - p for b, k, p in zip(block, kernel, before, strict=True)]
    crops = [-(n + (k - 1) * b) % b for n, b, k in zip(length, block, kernel, strict=True)]
    pads = _edges(*((p, a + c) for p, a, c in zip(before, after, crops, strict=True)))
    x = by.tensor((1, *length, 4), "float32")
    split = by.tensor((1, 1, 1, 4), "float32")
    by.operator("SPACE_TO_BATCH_ND", (x, constant(by, block), constant(by, pads)), split)
    outputs = 4 if depthwise else 3
    shape = (1, *kernel, 4) if depthwise else (3, *kernel, 4)
    weights = constant(by, by.random.normal(size=shape), "float32")
    bias = constant(by, by.random.normal(size=outputs), "float32")
    last = by.tensor((1, 1, 1, outputs), "float32")
    if depthwise:
        by.operator("DEPTHWISE_CONV_2D", (split, weights, bias), last, DepthwiseConv2DOptions(VALID, 1, 1, 1))
    else:
        by.operator("CONV_2D", (split, weights, bias), last, Conv2DOptions(VALID, 1, 1, 1))
    if between:
        more = by.tensor((1, 1, 1, outputs), "float32")
        last = by.operator("ADD", (last, constant(by, np.ones(outputs), "float32")), more, AddOptions())
    y = by.tensor((1, *length, outputs), "float32")
    crop = _edges(*((0, c) for c in crops))
    by.operator("BATCH_TO_SPACE_ND", (last, constant(by, block), constant(by, crop)), y)
    return by.content(x, y), by.random.normal(size=(1, *length, 4)).astype(np.float32), (block[0], block[1])


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("between", [False, True])
def test_a_convolution_between_exchanges_is_dilated(depthwise: bool, between: bool) -> None:
    for seed in range(6):
        content, x, dilation = dilated(seed, depthwise=depthwise, between=between)
        graph = check(content, x)
        (layer,) = [node for node in graph.nodes if node.op == "Conv"]
        assert layer.attributes["dilations"] == dilation and "Reshape" not in {n.op for n in graph.nodes}
        several = np.concatenate([x, 2 * x, -x])
        (found,) = evaluate(graph, {graph.inputs[0]: several}).values()
        np.testing.assert_allclose(Program(graph).run(several), found, rtol=1e-5, atol=1e-5)


def test_a_causal_sequence_is_a_dilated_convolution_of_a_map() -> None:
    """As Keras' Conv1D: padded in front, exchanged, an axis of length 1 added and taken away by reshapes."""
    for coded in (False, True):
        by = author()

        def made(*shape: int, by: Author = by, coded: bool = coded) -> int:
            return by.codes_of(shape, 0.03, 4) if coded else by.tensor(shape, "float32")

        x, padded, split = made(1, 16, 3), made(1, 20, 3), made(2, 10, 3)
        by.operator("PAD", (x, constant(by, _edges((0, 0), (4, 0), (0, 0)))), padded)
        block, none = constant(by, [2]), constant(by, _edges((0, 0)))
        by.operator("SPACE_TO_BATCH_ND", (padded, block, none), split)
        wide, flat, narrow, y = made(2, 1, 10, 3), made(2, 1, 8, 5), made(2, 8, 5), made(1, 16, 5)
        by.operator("EXPAND_DIMS", (split, constant(by, 1)), wide)
        if coded:
            kernel = by.weights((5, 1, 3, 3), 0, wide, 0.4)
        else:
            arrays = [by.random.normal(size=(5, 1, 3, 3)), by.random.normal(size=5)]
            kernel = tuple(constant(by, array, "float32") for array in arrays)
        by.operator("CONV_2D", (wide, *kernel), flat, Conv2DOptions(VALID, 1, 1))
        by.operator("RESHAPE", (flat, constant(by, [-1, 8, 5])), narrow, ReshapeOptions((-1, 8, 5)))
        by.operator("BATCH_TO_SPACE_ND", (narrow, block, none), y)
        content = by.content(x, y)
        graph = read(content)
        (layer,) = [node for node in graph.nodes if node.op in ("Conv", "Convolution")]
        assert layer.attributes["dilations"] == (1, 2) and (layer.op == "Convolution") == coded
        if not coded:
            check(content, by.random.normal(size=(1, 16, 3)).astype(np.float32))


def test_convolutions_that_share_an_exchange_are_both_dilated() -> None:
    """As gated convolutions: two of one dilation on one padded sequence, an axis added for both."""
    by = author()
    x, split, wide = (by.tensor(shape, "float32") for shape in ((1, 12, 3), (3, 4, 3), (3, 1, 4, 3)))
    block, none = constant(by, [3]), constant(by, _edges((0, 0)))
    by.operator("SPACE_TO_BATCH_ND", (x, block, none), split)
    by.operator("EXPAND_DIMS", (split, constant(by, 1)), wide)
    ends = []
    for name in ("TANH", "LOGISTIC"):
        weights = constant(by, by.random.normal(size=(5, 1, 2, 3)), "float32")
        bias = constant(by, by.random.normal(size=5), "float32")
        shapes = (3, 1, 3, 5), (3, 3, 5), (1, 9, 5), (1, 9, 5)
        made, narrow, joined, end = (by.tensor(shape, "float32") for shape in shapes)
        by.operator("CONV_2D", (wide, weights, bias), made, Conv2DOptions(VALID, 1, 1))
        by.operator("SQUEEZE", (made,), narrow, SqueezeOptions((1,)))
        by.operator("BATCH_TO_SPACE_ND", (narrow, block, none), joined)
        ends.append(by.operator(name, (joined,), end))
    y = by.operator("MUL", (ends[0], ends[1]), by.tensor((1, 9, 5), "float32"), MulOptions())
    graph = check(by.content(x, y), by.random.normal(size=(1, 12, 3)).astype(np.float32))
    layers = [node for node in graph.nodes if node.op == "Conv"]
    assert [layer.attributes["dilations"] for layer in layers] == [(1, 3), (1, 3)]


def test_graphs_that_nothing_calls_are_left_out_with_a_note() -> None:
    main, other = author(), author()
    x, y = main.tensor((1, 3), "float32"), main.tensor((1, 3), "float32")
    main.operator("TANH", (x,), y)
    graph = read(main.content_of((x,), (y,), other.subgraph((), ())))
    assert any("left out: graphs" in note for note in graph.notes)


def conditional(known: bool | None) -> bytes:
    """Return x > 0 summed over the graph: x + 1 in one branch, 3 x in the other."""
    main = author()
    x, y = main.tensor((1, 4), "float32"), main.tensor((1, 4), "float32")
    if known is None:
        total, flag = main.tensor((), "float32"), main.tensor((), "bool")
        main.operator("SUM", (x, constant(main, [0, 1])), total)
        main.operator("GREATER", (total, constant(main, 0, "float32")), flag)
    else:
        flag = constant(main, known, "bool")
    main.operator("IF", (flag, x), y, IfOptions(1, 2))
    graphs = []
    for name, number, options in (("ADD", 1.0, AddOptions()), ("MUL", 3.0, MulOptions())):
        by = beside(main)
        a, b = by.tensor((1, 4), "float32"), by.tensor((1, 4), "float32")
        by.operator(name, (a, constant(by, number, "float32")), b, options)
        graphs.append(by.subgraph((a,), (b,)))
    return main.content_of((x,), (y,), *graphs)


def test_a_condition_chooses() -> None:
    x = np.array([[1, 2, -1, 0.5]], np.float32)
    for content in (conditional(None), conditional(True), conditional(False)):
        check(content, x)
        check(content, -x)
    assert "Where" not in {node.op for node in read(conditional(True)).nodes}


def loop(*, by_input: bool, rounds: int = 5) -> bytes:
    """Return x doubled and one added, as often as a counter says that is a constant, or is given."""
    main = author()
    x, y = main.tensor((1, 3), "float32"), main.tensor((1, 3), "float32")
    count, left = main.tensor((), "int32"), main.tensor((), "int32")
    first = count if by_input else constant(main, 0)
    main.operator_of_several("WHILE", (first, x), (left, y), WhileOptions(1, 2))
    condition, body = beside(main), beside(main)
    i, state, goes = (
        condition.tensor((), "int32"),
        condition.tensor((1, 3), "float32"),
        condition.tensor((), "bool"),
    )
    condition.operator("LESS", (i, constant(condition, rounds)), goes)
    i2, state2 = body.tensor((), "int32"), body.tensor((1, 3), "float32")
    i3, twice, more = body.tensor((), "int32"), body.tensor((1, 3), "float32"), body.tensor((1, 3), "float32")
    body.operator("ADD", (i2, constant(body, 1)), i3, AddOptions())
    body.operator("MUL", (state2, constant(body, 2, "float32")), twice, MulOptions())
    body.operator("ADD", (twice, constant(body, [[0, 1, 2]], "float32")), more, AddOptions())
    graphs = condition.subgraph((i, state), (goes,)), body.subgraph((i2, state2), (i3, more))
    return main.content_of((count, x) if by_input else (x,), (y,), *graphs)


def test_a_loop_of_known_rounds_is_unrolled() -> None:
    graph = check(loop(by_input=False), np.array([[1, -2, 0.5]], np.float32))
    assert [node.op for node in graph.nodes].count("Mul") == 5
    check(loop(by_input=False, rounds=0), np.array([[1, -2, 0.5]], np.float32))


def test_a_loop_that_depends_on_an_input_or_never_ends_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"rounds depend on an input.*WHILE"):
        read(loop(by_input=True))
    with pytest.raises(UnsupportedError, match="calls are too many"):
        read(loop(by_input=False, rounds=2**31 - 1))


def test_a_graph_that_calls_itself_is_refused() -> None:
    main = author()
    x, y = main.tensor((1, 3), "float32"), main.tensor((1, 3), "float32")
    main.operator("IF", (constant(main, True, "bool"), x), y, IfOptions(1, 1))
    by = beside(main)
    a, b = by.tensor((1, 3), "float32"), by.tensor((1, 3), "float32")
    by.operator("IF", (constant(by, True, "bool"), a), b, IfOptions(1, 1))
    with pytest.raises(UnsupportedError, match="calls are too many"):
        read(main.content_of((x,), (y,), by.subgraph((a,), (b,))))
    with pytest.raises(ModelFormatError, match="a graph is out of range"):
        read(main.content_of((x,), (y,)))


def test_a_composite_is_what_it_is_made_of() -> None:
    main = author()
    x, y = main.tensor((1, 3), "float32"), main.tensor((1, 3), "float32")
    main.operator("STABLEHLO_COMPOSITE", (x,), y)
    options = CompositeOptions("odml.some", 1)
    main.operators[0] = replace(main.operators[0], builtin_options_2=options)
    by = beside(main)
    a, b = by.tensor((1, 3), "float32"), by.tensor((1, 3), "float32")
    by.operator("TANH", (a,), b)
    graph = read(main.content_of((x,), (y,), by.subgraph((a,), (b,))))
    given = np.array([[1, -2, 0.5]], np.float32)
    np.testing.assert_allclose(Program(graph).run(given), np.tanh(given), rtol=1e-6)


def with_variable(*, writes: bool) -> bytes:
    main = author()
    x, y = main.tensor((1, 3), "float32"), main.tensor((1, 3), "float32")
    handle, value = main.tensor((), "int32"), main.tensor((1, 3), "float32")
    main.operators.append(Operator(0, (), (), CallOnceOptions(1)))
    main.codes.append("CALL_ONCE")
    main.operator("VAR_HANDLE", (), handle, VarHandleOptions("", "state"))
    main.operator("READ_VARIABLE", (handle,), value)
    main.operator("ADD", (x, value), y, AddOptions())
    if writes:
        main.operator_of_several("ASSIGN_VARIABLE", (handle, y), ())
    by = beside(main)
    own = by.tensor((), "int32")
    by.operator("VAR_HANDLE", (), own, VarHandleOptions("", "state"))
    by.operator_of_several("ASSIGN_VARIABLE", (own, constant(by, [[1, 2, 3]], "float32")), ())
    return main.content_of((x,), (y,), by.subgraph((), ()))


def test_a_variable_that_is_set_once_is_a_constant() -> None:
    graph = read(with_variable(writes=False))
    assert np.array_equal(Program(graph).run(np.zeros((1, 3), np.float32)), [[1, 2, 3]])
    with pytest.raises(UnsupportedError, match="ASSIGN_VARIABLE"):
        read(with_variable(writes=True))


def test_shapes_of_an_open_batch_are_worked_out() -> None:
    """As Keras' Flatten and Reshape: SHAPE, one length of it, PACK, RESHAPE."""
    by = author()
    x, sizes, first = by.tensor((1, 4, 6), "float32"), by.tensor((3,), "int32"), by.tensor((), "int32")
    by.tensors[x] = replace(by.tensors[x], shape_signature=(-1, 4, 6))
    by.operator("SHAPE", (x,), sizes, ShapeOptions(2))
    bounds = (sizes, constant(by, [0]), constant(by, [1]), constant(by, [1]))
    by.operator("STRIDED_SLICE", bounds, first, StridedSliceOptions(0, 0, 0, 0, 1))
    packed, y = by.tensor((3,), "int32"), by.tensor((1, 8, 3), "float32")
    by.operator("PACK", (first, constant(by, 8), constant(by, 3)), packed, PackOptions(3))
    by.operator("RESHAPE", (x, packed), y)
    graph = check(by.content(x, y), by.random.normal(size=(1, 4, 6)).astype(np.float32))
    assert [node.op for node in graph.nodes] == ["Reshape"] and graph.value(graph.outputs[0]).shape[
        0
    ] == "batch"
    x4 = by.random.normal(size=(4, 4, 6)).astype(np.float32)
    assert np.array_equal(Program(graph).run(x4), x4.reshape(4, 8, 3))


def test_numbers_of_shapes_are_constants() -> None:
    """RANK, FILL, RANGE and BROADCAST_ARGS give what is known while the file is read."""
    by = author()
    x, rank, numbers = by.tensor((2, 3), "float32"), by.tensor((), "int32"), by.tensor((3,), "float32")
    by.operator("RANK", (x,), rank)
    start, step = constant(by, 0, "float32"), constant(by, 1.5, "float32")
    by.operator("RANGE", (start, constant(by, 4.5, "float32"), step), numbers)
    shape, wide, y = by.tensor((2,), "int32"), by.tensor((2, 3), "float32"), by.tensor((2, 3), "float32")
    by.operator("BROADCAST_ARGS", (constant(by, [2, 1]), constant(by, [3])), shape)
    by.operator("FILL", (shape, constant(by, 7, "float32")), wide)
    by.operator("ADD", (wide, numbers), y, AddOptions())
    total, z, cast = by.tensor((2, 3), "float32"), by.tensor((2, 3), "float32"), by.tensor((), "float32")
    by.operator("CAST", (rank,), cast)
    by.operator("MUL", (x, y), total, MulOptions())
    by.operator("ADD", (total, cast), z, AddOptions())
    graph = check(by.content(x, z), by.random.normal(size=(2, 3)).astype(np.float32))
    assert [node.op for node in graph.nodes] == ["Mul", "Add"]


def tokens() -> bytes:
    """Return Keras' Dense on [n, t, c]: rows of a matrix between two reshapes, the batch open."""
    by = author()
    x, rows = by.tensor((1, 6, 4), "float32"), by.tensor((6, 4), "float32")
    flat, y = by.tensor((6, 5), "float32"), by.tensor((1, 6, 5), "float32")
    by.tensors[x] = replace(by.tensors[x], shape_signature=(-1, 6, 4))
    by.operator("RESHAPE", (x, constant(by, [-1, 4])), rows, ReshapeOptions((-1, 4)))
    weights = constant(by, by.random.normal(size=(5, 4)), "float32")
    bias = constant(by, by.random.normal(size=5), "float32")
    by.operator("FULLY_CONNECTED", (rows, weights, bias), flat, FullyConnectedOptions(1))
    by.operator("RESHAPE", (flat, constant(by, [-1, 6, 5])), y, ReshapeOptions((-1, 6, 5)))
    return by.content(x, y)


def test_layers_of_tokens_stay_layers_of_tokens() -> None:
    graph = check(tokens(), np.random.default_rng(2).normal(size=(1, 6, 4)).astype(np.float32))
    assert [node.op for node in graph.nodes] == ["MatMul", "Add", "Relu"]


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_means_of_codes_round_as_litert_does(kind: str) -> None:
    """Windows of 2 and 4 give many means in the middle of two codes."""
    for seed, (height, width) in enumerate([(1, 2), (2, 2), (2, 3)]):
        by = author(seed)
        means = parameters([0.03], [5 if kind == "int8" else 120])
        x, y = by.tensor((1, 8, 8, 3), kind, means), by.tensor((1, 8, 8, 3), kind, means)
        by.operator("AVERAGE_POOL_2D", (x,), y, Pool2DOptions(VALID, 1, 1, width, height))
        content, limits = by.content(x, y), np.iinfo(kind)
        codes = by.random.integers(limits.min, limits.max + 1, (1, 8, 8, 3)).astype(kind)
        (theirs,) = in_litert(content, [codes])
        graph, zero = read(content), int(means.zero_point[0])  # type: ignore[index]
        reals = (0.03 * (codes.astype(np.float64) - zero)).astype(np.float32)
        for found in (Program(graph).run(reals), *evaluate(graph, {graph.inputs[0]: reals}).values()):
            assert np.array_equal(np.rint(np.asarray(found) / 0.03 + zero), theirs)


@pytest.mark.parametrize("name", ["REVERSE_V2", "TILE", "GATHER", "SLICE"])
def test_what_moves_codes_copies_them(name: str) -> None:
    """TFLite does so even where a result has another scale."""
    by = author()
    x = by.codes_of((2, 6), 0.02, 3)
    rest, options = {
        "REVERSE_V2": ((constant(by, [1]),), None),
        "TILE": ((constant(by, [1, 2]),), None),
        "GATHER": ((constant(by, [1, 0, 1]),), None),
        "SLICE": ((constant(by, [0, 1]), constant(by, [2, 4])), None),
    }[name]
    shape = (2, 4) if name == "SLICE" else (1, 1)
    y = by.codes_of(shape, 0.027, -11)
    by.operator(name, (x, *rest), y, options)
    content = by.content(x, y)
    codes = by.random.integers(-128, 128, (2, 6)).astype(np.int8)
    (theirs,) = in_litert(content, [codes])
    reals = (0.02 * (codes.astype(np.float64) - 3)).astype(np.float32)
    found = Program(read(content)).run(reals)
    assert np.array_equal(np.rint(found / 0.027 - 11), theirs)


def test_sparse_weights_are_those_of_litert() -> None:
    for kind in ("rows", "blocks"):
        by = author()
        full, sparsity, stored = sparse(by.random, kind)
        x, weights = by.tensor((1, 8), "float32"), by.tensor((6, 8), "float32", None, stored)
        assert isinstance(sparsity, Sparsity)
        by.tensors[weights] = replace(by.tensors[weights], sparsity=sparsity)
        dense, y = by.tensor((6, 8), "float32"), by.tensor((1, 6), "float32")
        by.operator("DENSIFY", (weights,), dense)
        by.operator("FULLY_CONNECTED", (x, dense), y, FullyConnectedOptions())
        graph = check(by.content(x, y), by.random.normal(size=(1, 8)).astype(np.float32))
        assert np.array_equal(graph.constant(graph.nodes[0].inputs[1]), full)


def test_weights_of_dynamic_range_are_floats_and_a_note_says_so() -> None:
    by = author()
    x, y = by.tensor((3, 4), "float32"), by.tensor((3, 5), "float32")
    codes = by.random.integers(-127, 128, (5, 4)).astype(np.int8)
    weights = by.tensor((5, 4), "int8", parameters([0.01], [0]), codes)
    by.operator("FULLY_CONNECTED", (x, weights), y, FullyConnectedOptions())
    graph, given = read(by.content(x, y)), by.random.normal(size=(3, 4)).astype(np.float32)
    assert any("weights of 8 bits" in note for note in graph.notes)
    expected = given @ (codes * np.float32(0.01)).T
    np.testing.assert_allclose(Program(graph).run(given), expected, rtol=1e-5, atol=1e-6)
    (theirs,) = in_litert(by.content(x, y), [given])
    assert np.abs(theirs - expected).max() < 0.03 * np.abs(expected).max()


def test_all_that_is_missing_is_named_by_tflite_s_names() -> None:
    main = author()
    x, a, y = (main.tensor((1, 3), "float32") for _ in range(3))
    main.operator("SVDF", (x,), a)
    main.operator("IF", (constant(main, True, "bool"), a), y, IfOptions(1, 1))
    by = beside(main)
    b, c = by.tensor((1, 3), "float32"), by.tensor((1, 3), "float32")
    by.operator("LSH_PROJECTION", (b,), c)
    with pytest.raises(UnsupportedError) as caught:
        read(main.content_of((x,), (y,), by.subgraph((b,), (c,))))
    assert all(name in str(caught.value) for name in ("SVDF", "LSH_PROJECTION"))


def test_activations_of_16_bits_are_refused_by_name() -> None:
    by = author()
    x, y = (by.tensor((1, 3), "int16", parameters([0.01], [0])) for _ in range(2))
    by.operator("RELU", (x,), y)
    with pytest.raises(UnsupportedError, match="int16x8"):
        read(by.content(x, y))


def test_open_lengths_are_named_and_can_be_fixed() -> None:
    by = author()
    x, y = by.tensor((1, 1, 1, 2), "float32"), by.tensor((1, 1, 1, 3), "float32")
    by.tensors[x] = replace(by.tensors[x], name="x", shape_signature=(1, -1, -1, 2))
    weights = constant(by, by.random.normal(size=(3, 3, 3, 2)), "float32")
    bias = constant(by, np.zeros(3), "float32")
    by.operator("CONV_2D", (x, weights, bias), y, Conv2DOptions(0, 1, 1))
    content = by.content(x, y)
    with pytest.raises(LowbitError, match=r"--input-shape x=1,x_1,x_2,2"):
        read(content)
    with fixed_inputs({"x": (1, 6, 7, 2)}):
        graph = read(content)
    assert graph.value(graph.outputs[0]).shape[1:] == (6, 7, 3)
    with pytest.raises(UsageError), fixed_inputs({"z": (1, 6, 7, 2)}):
        read(content)
