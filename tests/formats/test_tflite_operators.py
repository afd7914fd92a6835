"""Every operator of TFLite that is read, alone in a file: reference and engine give what LiteRT gives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from lowbit.backends.litert import interpreter
from lowbit.engine import Program
from lowbit.formats.circle import builtin
from lowbit.formats.circle.foreign_options import (
    ArgMaxOptions,
    ArgMinOptions,
    BatchMatMulOptions,
    CumsumOptions,
    DepthToSpaceOptions,
    GatherOptions,
    GeluOptions,
    L2NormOptions,
    LocalResponseNormalizationOptions,
    MirrorPadOptions,
    OneHotOptions,
    ResizeBilinearOptions,
    ResizeNearestNeighborOptions,
    SequenceRNNOptions,
    SpaceToDepthOptions,
    SplitOptions,
    SplitVOptions,
    TransposeConvOptions,
    UnidirectionalSequenceLSTMOptions,
    UnpackOptions,
)
from lowbit.formats.circle.reader import read_content
from lowbit.formats.circle.schema import (
    SAME,
    TENSOR_TYPES,
    VALID,
    AddOptions,
    ConcatenationOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    DivOptions,
    FullyConnectedOptions,
    LeakyReluOptions,
    MulOptions,
    PackOptions,
    Pool2DOptions,
    ReducerOptions,
    ReshapeOptions,
    SoftmaxOptions,
    SqueezeOptions,
    StridedSliceOptions,
    SubOptions,
)
from lowbit.ir import evaluate
from lowbit.ir.graph import DTYPES, Array
from tests.formats.tflite_author import Author

Shape = tuple[int, ...]
MAP: Shape = (1, 5, 6, 4)
ROWS: Shape = (1, 7, 4)


@dataclass(frozen=True)
class Case:
    """One operator.

    Attributes:
        inputs: shapes of what is given when it runs, arrays for constants, in the operator's order.
        options: of the operator.
        outputs: types of the results.
        ranks: of the results; that of the first input where there are none.
        make: makes inputs of a shape.
        tolerance: of the largest result.
        shapes: of the results, where LiteRT asks the file for them.
    """

    inputs: tuple[Any, ...]
    options: object = None
    outputs: tuple[str, ...] = ("float32",)
    ranks: tuple[int, ...] = ()
    make: Callable[[np.random.Generator, Shape], Array] = lambda r, s: r.normal(size=s).astype(np.float32)
    tolerance: float = 2e-6
    shapes: tuple[Shape, ...] = ()


def i32(*numbers: int) -> Array:
    return np.array(numbers, np.int32)


def _positive(random: np.random.Generator, shape: Shape) -> Array:
    return random.uniform(0.1, 2, size=shape).astype(np.float32)


def _integers(random: np.random.Generator, shape: Shape) -> Array:
    return random.integers(-9, 10, size=shape).astype(np.int32)


def _indices(random: np.random.Generator, shape: Shape) -> Array:
    return random.integers(0, 4, size=shape).astype(np.int32)


def _truth(random: np.random.Generator, shape: Shape) -> Array:
    return random.random(size=shape) < 0.5


def _few(random: np.random.Generator, shape: Shape) -> Array:
    """Few numbers, so that some are equal."""
    return random.integers(-1, 2, size=shape).astype(np.float32)


R = np.random.default_rng(0)
W = (R.normal(size=(3, 3, 3, 4)) / 3).astype(np.float32)
D = (R.normal(size=(1, 3, 3, 8)) / 3).astype(np.float32)
B3, B8 = (R.normal(size=n).astype(np.float32) for n in (3, 8))


def _numbers(*shape: int) -> Array:
    return (R.normal(size=shape) / 2).astype(np.float32)


def _lstm(own_input_gate: bool, peepholes: bool) -> tuple[Any, ...]:
    gates = [_numbers(5, 4) if own_input_gate or k else None for k in range(4)]
    recurrent = [_numbers(5, 5) if own_input_gate or k else None for k in range(4)]
    biases = [_numbers(5) if own_input_gate or k else None for k in range(4)]
    looks = [_numbers(5) if peepholes and (own_input_gate or k) else None for k in range(3)]
    return (ROWS, *gates, *recurrent, *looks, *biases, None, None, "state 5", "state 5")


_SPACE: Shape = (2, 4, 6, 3)
CASES: dict[str, list[Case]] = {
    **{
        name: [Case((MAP,)), Case((ROWS,))]
        for name in (
            *("ABS", "CEIL", "COS", "ELU", "FLOOR", "HARD_SWISH", "LOGISTIC", "NEG", "RELU", "RELU6"),
            *("RELU_N1_TO_1", "RELU_0_TO_1", "ROUND", "SIN", "SQUARE", "TANH", "ZEROS_LIKE", "EXP", "SIGN"),
            "LOG_SOFTMAX",
        )
    },
    **{name: [Case((MAP,), make=_positive)] for name in ("LOG", "RSQRT", "SQRT")},
    **{
        name: [
            Case((MAP, MAP), options),
            Case((MAP, (1, 1, 1, 4)), options),
            Case((MAP, _numbers(4) + 3), options),
            Case((ROWS, _numbers(1)), options),
        ]
        for name, options in (
            ("ADD", AddOptions(1)),
            ("SUB", SubOptions(3)),
            ("MUL", MulOptions()),
            ("DIV", DivOptions()),
            ("SQUARED_DIFFERENCE", None),
            ("MAXIMUM", None),
            ("MINIMUM", None),
        )
    },
    **{
        name: [
            Case((MAP, MAP), outputs=("bool",), make=_few),
            Case((ROWS, i32(1)), outputs=("bool",), make=_integers),
        ]
        for name in ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL")
    },
    **{name: [Case((ROWS, ROWS), outputs=("bool",), make=_truth)] for name in ("LOGICAL_AND", "LOGICAL_OR")},
    **{
        name: [Case((ROWS, _numbers(4) * 3 + 0.1)), Case((ROWS, i32(3)), outputs=("int32",), make=_integers)]
        for name in ("FLOOR_DIV", "FLOOR_MOD")
    },
    **{
        name: [
            Case((MAP, i32(1, 2)), ReducerOptions(True)),
            Case((MAP, i32(1, 2)), ReducerOptions(False), ranks=(2,)),
            Case((MAP, i32(3)), ReducerOptions(True)),
            Case((ROWS, i32(-1)), ReducerOptions(False), ranks=(2,)),
            Case((ROWS, i32(0, 1, 2)), ReducerOptions(False), ranks=(0,)),
        ]
        for name in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")
    },
    **{
        name: [Case((ROWS, i32(1)), ReducerOptions(False), ("bool",), (2,), _truth)]
        for name in ("REDUCE_ALL", "REDUCE_ANY")
    },
    **{
        name: [
            Case((MAP, np.int32(3)), options(4), ("int64",), (3,)),
            Case((ROWS, np.int32(1)), options(2), ("int32",), (2,)),
        ]
        for name, options in (("ARG_MAX", ArgMaxOptions), ("ARG_MIN", ArgMinOptions))
    },
    "ADD_N": [Case((ROWS, ROWS, ROWS))],
    "AVERAGE_POOL_2D": [
        Case((MAP,), Pool2DOptions(SAME, 2, 2, 3, 3)),
        Case((MAP,), Pool2DOptions(VALID, 1, 2, 2, 3, 1)),
    ],
    "BATCH_MATMUL": [
        Case(((2, 3, 4), (2, 4, 5)), BatchMatMulOptions()),
        Case(((2, 3, 4), (2, 5, 4)), BatchMatMulOptions(False, True)),
        Case(((2, 4, 3), (2, 4, 5)), BatchMatMulOptions(True, False)),
        Case(((2, 3, 4), _numbers(4, 5)), BatchMatMulOptions()),
    ],
    "BATCH_TO_SPACE_ND": [
        Case(((8, 2, 3, 3), i32(2, 2), np.array([[0, 1], [1, 0]], np.int32))),
        Case(((6, 4, 3), i32(3), np.array([[1, 2]], np.int32))),
    ],
    "BROADCAST_ARGS": [],
    "BROADCAST_TO": [Case(((1, 1, 4), i32(2, 3, 4)))],
    "CAST": [
        Case((ROWS,), outputs=("int32",), make=lambda r, s: r.normal(size=s).astype(np.float32) * 5),
        Case((ROWS,), outputs=("bool",), make=_few),
        Case((ROWS,), make=_integers),
    ],
    "CONCATENATION": [
        Case((MAP, (1, 5, 6, 2)), ConcatenationOptions(3)),
        Case((ROWS, (1, 2, 4), _numbers(1, 1, 4)), ConcatenationOptions(-2)),
    ],
    "CONV_2D": [
        Case((MAP, W, B3), Conv2DOptions(SAME, 2, 1, 1), tolerance=1e-5),
        Case((MAP, W, B3), Conv2DOptions(VALID, 1, 1, 3, 1, 2), tolerance=1e-5),
        Case((MAP, W[:2, :, :, :2], B3[:2]), Conv2DOptions(SAME, 1, 1), tolerance=1e-5),
    ],
    "CUMSUM": [
        Case((ROWS, np.int32(1)), CumsumOptions()),
        Case((MAP, np.int32(-1)), CumsumOptions(True, True)),
    ],
    "Convolution2DTransposeBias": [],
    "DENSIFY": [],
    "DEPTHWISE_CONV_2D": [
        Case((MAP, D, B8), DepthwiseConv2DOptions(SAME, 1, 1, 2, 3), tolerance=1e-5),
        Case((MAP, D[..., :4], B8[:4]), DepthwiseConv2DOptions(VALID, 2, 2, 1, 1), tolerance=1e-5),
    ],
    "DEPTH_TO_SPACE": [Case(((2, 3, 2, 8),), DepthToSpaceOptions(2))],
    "DEQUANTIZE": [],
    "EMBEDDING_LOOKUP": [Case(((6,), _numbers(4, 3)), ranks=(2,), make=_indices)],
    "EXPAND_DIMS": [Case((ROWS, np.int32(at)), ranks=(4,)) for at in (1, -1, 0)],
    "FILL": [],
    "FULLY_CONNECTED": [
        Case(((3, 4), _numbers(5, 4), _numbers(5)), FullyConnectedOptions(1), tolerance=1e-5),
        Case((ROWS, _numbers(5, 4)), FullyConnectedOptions(0, 0, True), tolerance=1e-5),
        Case((ROWS, _numbers(5, 4), _numbers(5)), FullyConnectedOptions(), ranks=(2,), tolerance=1e-5),
        Case((ROWS, _numbers(5, 14)), FullyConnectedOptions(), ranks=(2,), tolerance=1e-5),
    ],
    "GATHER": [
        Case((ROWS, i32(6, 0, 3)), GatherOptions(1)),
        Case((ROWS, np.array([[1, 0], [3, 3]], np.int32)), GatherOptions(2), ranks=(4,)),
        Case((_numbers(4, 6), (2, 3)), GatherOptions(0), ranks=(3,), make=_indices),
    ],
    "GATHER_ND": [Case((ROWS, np.array([[0, 2], [0, 5]], np.int32)), ranks=(2,))],
    "GELU": [Case((MAP,), GeluOptions(False)), Case((ROWS,), GeluOptions(True))],
    "L2_NORMALIZATION": [Case((MAP,), L2NormOptions()), Case((ROWS,), L2NormOptions())],
    "L2_POOL_2D": [Case((MAP,), Pool2DOptions(VALID, 2, 2, 2, 2))],
    "LEAKY_RELU": [Case((MAP,), LeakyReluOptions(0.2))],
    "LOCAL_RESPONSE_NORMALIZATION": [
        Case((MAP,), LocalResponseNormalizationOptions(1, 1.5, 0.3, 0.75), tolerance=1e-5)
    ],
    "LOGICAL_NOT": [Case((ROWS,), outputs=("bool",), make=_truth)],
    "MAX_POOL_2D": [
        Case((MAP,), Pool2DOptions(SAME, 2, 2, 3, 3)),
        Case((MAP,), Pool2DOptions(VALID, 1, 1, 2, 2)),
    ],
    "MIRROR_PAD": [
        Case((MAP, np.array([[0, 0], [2, 1], [1, 3], [0, 0]], np.int32)), MirrorPadOptions(mode))
        for mode in (0, 1)
    ],
    "ONE_HOT": [
        Case(
            ((2, 3), np.int32(4), np.float32(2), np.float32(-1)),
            OneHotOptions(axis),
            ranks=(3,),
            make=_indices,
        )
        for axis in (-1, 1)
    ],
    "PACK": [Case((ROWS, ROWS), PackOptions(2, axis), ranks=(4,)) for axis in (0, 2, -1)],
    "PAD": [
        Case((MAP, np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32))),
        Case((ROWS, np.array([[0, 0], [2, 0], [1, 1]], np.int32))),
    ],
    "PADV2": [Case((MAP, np.array([[0, 0], [1, 2], [0, 1], [1, 0]], np.int32), np.float32(-2)))],
    "POW": [Case((ROWS, np.float32(1.5)), make=_positive), Case((MAP, MAP), make=_positive)],
    "PRELU": [Case((MAP, _positive(R, (1, 1, 4)))), Case((MAP, _positive(R, (5, 6, 4))))],
    "QUANTIZE": [],
    "RANGE": [],
    "RANK": [],
    "RESHAPE": [
        Case((MAP, i32(1, -1)), ReshapeOptions((1, -1)), ranks=(2,)),
        Case((MAP, i32(1, 5, 24)), ranks=(3,)),
    ],
    "RESIZE_BILINEAR": [
        Case((MAP, i32(*size)), ResizeBilinearOptions(*how), tolerance=1e-5)
        for size in ((10, 9), (3, 13), (1, 2))
        for how in ((False, False), (True, False), (False, True))
    ],
    "RESIZE_NEAREST_NEIGHBOR": [
        Case((MAP, i32(*size)), ResizeNearestNeighborOptions(*how))
        for size in ((10, 12), (3, 13), (2, 2))
        for how in ((False, False), (True, False), (False, True))
    ],
    "REVERSE_V2": [Case((MAP, i32(2))), Case((ROWS, i32(1)))],
    "SELECT": [
        Case((_truth(R, ROWS), ROWS, ROWS), ranks=(3,)),
        Case((_truth(R, (3,)), (3, 4), (3, 4)), ranks=(2,)),
    ],
    "SELECT_V2": [Case((_truth(R, (7, 1)), ROWS, np.float32(3)), ranks=(3,))],
    "SHAPE": [],
    "SLICE": [
        Case((MAP, i32(0, 1, 0, 2), i32(1, 3, -1, 2)), shapes=((1, 3, 6, 2),)),
        Case((ROWS, i32(0, 2, 1), i32(-1, 4, -1)), shapes=((1, 4, 3),)),
    ],
    "SOFTMAX": [Case((ROWS,), SoftmaxOptions(1.0)), Case((MAP,), SoftmaxOptions(0.5))],
    "SPACE_TO_BATCH_ND": [
        Case((_SPACE, i32(2, 3), np.array([[0, 0], [0, 0]], np.int32))),
        Case((_SPACE, i32(2, 2), np.array([[1, 1], [0, 2]], np.int32))),
        Case(((2, 5, 3), i32(3), np.array([[2, 2]], np.int32))),
    ],
    "SPACE_TO_DEPTH": [Case(((2, 4, 6, 3),), SpaceToDepthOptions(2))],
    "SPLIT": [
        Case((np.int32(3), MAP), SplitOptions(2), ("float32",) * 2, (4, 4)),
        Case((np.int32(-2), (1, 6, 4)), SplitOptions(3), ("float32",) * 3, (3, 3, 3)),
    ],
    "SPLIT_V": [Case((ROWS, i32(2, -1, 1), np.int32(1)), SplitVOptions(3), ("float32",) * 3, (3, 3, 3))],
    "SQUEEZE": [
        Case(((1, 1, 5, 1),), SqueezeOptions((1,)), ranks=(3,)),
        Case(((1, 1, 5, 3),), SqueezeOptions(), ranks=(2,)),
    ],
    "STRIDED_SLICE": [
        Case((MAP, i32(0, 1, 5, 0), i32(1, 4, 0, 4), i32(1, 2, -1, 1)), StridedSliceOptions(1, 9)),
        Case(
            (ROWS, i32(0, -1, 0), i32(0, 0, 3), i32(1, 1, 2)), StridedSliceOptions(1, 1, 0, 0, 2), ranks=(2,)
        ),
        Case((ROWS, i32(0, 1), i32(0, 3), i32(1, 1)), StridedSliceOptions(0, 0, 1), ranks=(3,)),
        Case((ROWS, i32(0, 0, 2), i32(0, 0, 5), i32(1, 1, 1)), StridedSliceOptions(1, 1, 0, 2), ranks=(4,)),
        Case((ROWS, i32(-1, 6, 3), i32(0, -8, -5), i32(1, -2, -1)), StridedSliceOptions(1, 1)),
    ],
    "TILE": [Case((MAP, i32(1, 2, 1, 3))), Case((ROWS, i32(1, 1, 2)))],
    "TOPK_V2": [Case((ROWS, np.int32(3)), None, ("float32", "int32"), (3, 3))],
    "TRANSPOSE": [Case((MAP, i32(0, 3, 1, 2))), Case((ROWS, i32(0, 2, 1)))],
    "TRANSPOSE_CONV": [
        Case((i32(1, 10, 12, 3), W, MAP), TransposeConvOptions(SAME, 2, 2), ranks=(4,), tolerance=1e-5),
        Case((i32(1, 9, 11, 3), W, MAP), TransposeConvOptions(SAME, 2, 2), ranks=(4,), tolerance=1e-5),
        Case(
            (i32(1, 11, 8, 3), W, MAP, B3), TransposeConvOptions(VALID, 1, 2, 1), ranks=(4,), tolerance=1e-5
        ),
        Case((i32(1, 12, 13, 3), W, MAP), TransposeConvOptions(VALID, 2, 2), ranks=(4,), tolerance=1e-5),
    ],
    "UNIDIRECTIONAL_SEQUENCE_LSTM": [
        Case(_lstm(own, looks), UnidirectionalSequenceLSTMOptions(4), tolerance=1e-5)
        for own in (True, False)
        for looks in (True, False)
    ],
    "UNIDIRECTIONAL_SEQUENCE_RNN": [
        Case(
            (ROWS, _numbers(5, 4), _numbers(5, 5), _numbers(5), "state 5"),
            SequenceRNNOptions(False, 4),
            tolerance=1e-5,
        )
    ],
    "UNPACK": [Case((ROWS,), UnpackOptions(7, 1), ("float32",) * 7, (2,) * 7)],
}
"""Operators without a case are tried elsewhere in this folder."""

NAMED = [(name, at) for name, cases in CASES.items() for at in range(len(cases))]


def file_of(name: str, case: Case, shapes: list[Shape]) -> bytes:
    """Return a file of one operator whose results have these shapes."""
    author, indices, given = Author(np.random.default_rng(0), version=1), [], []
    for each in case.inputs:
        if each is None:
            indices.append(-1)
        elif isinstance(each, str):
            indices.append(author.variable((1, int(each.split()[1]))))
        elif isinstance(each, tuple):
            made = case.make(author.random, each)
            indices.append(author.tensor(each, made.dtype.name))
            given.append(indices[-1])
        else:
            array = np.asarray(each)
            indices.append(author.tensor(array.shape, array.dtype.name, None, array))
    outputs = tuple(author.tensor(shape, dtype) for shape, dtype in zip(shapes, case.outputs, strict=True))
    author.operator_of_several(name, tuple(indices), outputs, case.options)
    return author.content_of(tuple(given), outputs)


def in_litert(content: bytes, inputs: list[Array]) -> list[Array]:
    pytest.importorskip("ai_edge_litert.interpreter")
    ready = interpreter(content, keep_all=True)  # plain kernels
    ready.allocate_tensors()
    ready.reset_all_variables()
    for detail, array in zip(ready.get_input_details(), inputs, strict=True):
        ready.set_tensor(detail["index"], array)
    ready.invoke()
    return [ready.get_tensor(detail["index"]) for detail in ready.get_output_details()]


@pytest.mark.parametrize(("name", "at"), NAMED)
def test_an_operator_gives_what_litert_gives(name: str, at: int) -> None:
    case, random = CASES[name][at], np.random.default_rng(at)
    inputs = [case.make(random, each) for each in case.inputs if isinstance(each, tuple)]
    first = len(next(each for each in case.inputs if isinstance(each, tuple)))
    ranks = case.ranks or (first,) * len(case.outputs)
    theirs = in_litert(file_of(name, case, case.shapes or [(1,) * rank for rank in ranks]), inputs)
    graph = read_content(file_of(name, case, [each.shape for each in theirs]), "net.tflite")
    given = {
        each: array.astype(DTYPES[graph.value(each).dtype])  # integers that are cast are given as floats
        for each, array in zip(graph.inputs, inputs, strict=True)
    }
    ours = Program(graph).run(*given.values())
    both = list(evaluate(graph, given).values()), list(ours if isinstance(ours, tuple) else (ours,))
    for found in both:
        for mine, wanted in zip(found, theirs, strict=True):
            assert mine.shape == wanted.shape
            exact, limit = wanted.dtype.kind != "f", case.tolerance * max(np.abs(wanted).max(), 1e-6)
            difference = np.abs(np.asarray(mine, np.float64) - wanted.astype(np.float64))
            assert difference.max(initial=0) <= (0 if exact else limit)


def test_every_operator_that_is_read_has_a_case() -> None:
    read = {*builtin._IMPORTS, *builtin._OF_SEVERAL}
    assert read == CASES.keys()
    assert TENSOR_TYPES["bool"] == 6
