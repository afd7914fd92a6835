"""Operators on values of any rank: the engine gives what the reference does, in both forms of a program."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lowbit.engine import Program
from lowbit.errors import DataError
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify

Array = npt.NDArray[Any]
Random = np.random.Generator


class Made:
    """A graph that is put together, and arrays for its inputs."""

    def __init__(self, random: Random, batch: str | int) -> None:
        self.random, self.batch = random, batch
        self.graph = Graph("made", (), (), values={})
        self.arrays: dict[str, Array] = {}
        self.rows = 3 if isinstance(batch, str) else batch

    def shape(self, least: int = 1, most: int = 4) -> tuple[int, ...]:
        return tuple(int(n) for n in self.random.integers(1, 7, int(self.random.integers(least, most + 1))))

    def input(self, shape: tuple[int, ...], values: Array | None = None, *, batched: bool = True) -> str:
        """Add an input of a sample's shape behind the batch."""
        name = f"x{len(self.graph.inputs)}"
        whole = (self.rows, *shape) if batched else shape
        array = self.numbers(whole) if values is None else np.broadcast_to(values, whole).copy()
        said = (self.batch, *shape) if batched else shape
        self.graph.values[name] = Value(name, str(array.dtype), said)
        self.graph.inputs = (*self.graph.inputs, name)
        self.arrays[name] = array
        return name

    def numbers(self, shape: tuple[int, ...]) -> Array:
        """Return numbers among which equal ones are frequent."""
        return np.asarray(self.random.integers(-12, 13, shape) / 4, np.float32)

    def constant(self, data: Any, dtype: str = "float32") -> str:
        return self.graph.add_constant(self.graph.fresh_name("c"), np.asarray(data, dtype), dtype)

    def add(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        names = tuple(f"{op}{len(self.graph.nodes)}_{n}" for n in range(outputs))
        self.graph.nodes.append(Node(op, inputs, names, attributes, names[0]))
        self.graph.outputs = names
        return names[0]

    def check(self, tolerance: float = 1e-5) -> None:
        infer(self.graph)
        verify(self.graph)
        expected = evaluate(self.graph, self.arrays)
        program = Program(self.graph)
        found = program.run(*self.arrays.values())
        results = found if isinstance(found, tuple) else (found,)
        for name, array in zip(self.graph.outputs, results, strict=True):
            wanted = expected[name]
            assert array.dtype == wanted.dtype and array.shape == wanted.shape, name
            if wanted.dtype.kind != "f":
                np.testing.assert_array_equal(array, wanted)
                continue
            finite = np.abs(wanted[np.isfinite(wanted)])
            scale = max(1.0, float(finite.max(initial=0)))
            np.testing.assert_allclose(array, wanted, rtol=tolerance, atol=tolerance * scale)


Case = Callable[[Made], None]
CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


@case
def functions(made: Made) -> None:
    last = made.input(made.shape())
    for op in made.random.permutation(["Abs", "Sqrt", "Erf", "Sin", "Cos", "Floor", "Ceil", "Round", "Sign"])[
        :4
    ]:
        last = made.add(str(op), last)
    made.add("Add", last, made.graph.inputs[0])


@case
def logic(made: Made) -> None:
    shape = made.shape()
    first, second = made.input(shape), made.input(shape)
    ops = ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal")
    left = made.add(str(made.random.choice(ops)), first, second)
    right = made.add(str(made.random.choice(ops)), made.constant(0.5), first)
    made.add("Not", made.add(str(made.random.choice(("And", "Or", "Xor"))), left, right))


@case
def sums(made: Made) -> None:
    shape = made.shape()
    given = [made.input(shape) for _ in range(int(made.random.integers(1, 4)))]
    made.add("Sum", *given, made.constant(made.numbers(shape[-1:])))


@case
def infinities(made: Made) -> None:
    shape = made.shape()
    quotient = made.add("Div", made.input(shape), made.add("Abs", made.input(shape)))
    below, above = (int(n) for n in made.random.integers(0, 2, 2))
    made.add("IsInf", quotient, detect_negative=below, detect_positive=above)


@case
def where(made: Made) -> None:
    shape = made.shape(1, 3)
    condition = made.add("Greater", made.input(shape), made.constant(0.0))
    kinds = [made.input(shape), made.constant(-1e30), made.constant(made.numbers(shape[-1:]))]
    chosen = made.random.permutation(3)[:2]
    made.add("Where", condition, *(kinds[n] for n in chosen))


@case
def two_numbers(made: Made) -> None:
    shape = made.shape()
    left, right = made.input(shape), made.input(shape)
    op = str(made.random.choice(["Max", "Min", "Mod", "Pow"]))
    if op == "Pow":
        left = made.add("Abs", left)
    attributes = {"fmod": 1} if op == "Mod" else {}
    if made.random.integers(2):
        right = made.constant(made.numbers(shape[-1:]) + np.float32(3.125))
    made.add(op, left, right, **attributes)


@case
def integers(made: Made) -> None:
    shape = made.shape()
    numbers = made.random.integers(-99, 99, (made.rows, *shape))
    left = made.input(shape, numbers)
    right = made.constant(made.random.choice([-7, -2, 3, 5], shape[-1:]), "int64")
    op = str(made.random.choice(["Div", "Mod", "Mul", "Add", "Sub"]))
    made.add(op, left, right)


@case
def casts(made: Made) -> None:
    shape = made.shape()
    whole = made.add("Cast", made.input(shape), to=7)
    truth = made.add("Cast", made.input(shape), to=9)
    made.add("Mul", made.add("Cast", whole, to=1), made.add("Cast", truth, to=1))


@case
def reductions(made: Made) -> None:
    shape = made.shape(2, 4)
    count = int(made.random.integers(1, len(shape) + 1))
    axes = made.random.permutation(len(shape))[:count] + 1
    if made.random.integers(2):
        axes = axes - len(shape) - 1
    op = str(made.random.choice(["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"]))
    keep = int(made.random.integers(2))
    source = made.input(shape)
    if len(shape) == 3 and made.random.integers(2):
        source = made.add("AveragePool", source, kernel_shape=(1, 1))  # lies as a map
    made.add(op, source, made.constant(axes, "int64"), keepdims=keep)


@case
def softmaxes(made: Made) -> None:
    shape = made.shape(1, 4)
    source = made.input(shape)
    if len(shape) == 3 and made.random.integers(2):
        source = made.add("AveragePool", source, kernel_shape=(1, 1))
    axis = int(made.random.integers(1, len(shape) + 1))
    axis -= int(made.random.integers(2)) * (len(shape) + 1)
    made.add(str(made.random.choice(["Softmax", "LogSoftmax"])), source, axis=axis)


@case
def extremes(made: Made) -> None:
    shape = made.shape(1, 3)
    op, axis = str(made.random.choice(["ArgMax", "ArgMin"])), int(made.random.integers(1, len(shape) + 1))
    keep, last = (int(n) for n in made.random.integers(0, 2, 2))
    made.add(op, made.input(shape), axis=axis, keepdims=keep, select_last_index=last)


@case
def top(made: Made) -> None:
    shape = made.shape(1, 3)
    axis = int(made.random.integers(1, len(shape) + 1))
    count = made.constant([int(made.random.integers(1, shape[axis - 1] + 1))], "int64")
    made.add("TopK", made.input(shape), count, outputs=2, axis=axis, largest=int(made.random.integers(2)))


@case
def running_sums(made: Made) -> None:
    shape = made.shape(1, 3)
    axis = made.constant(int(made.random.integers(1, len(shape) + 1)), "int64")
    exclusive, reverse = (int(n) for n in made.random.integers(0, 2, 2))
    made.add("CumSum", made.input(shape), axis, exclusive=exclusive, reverse=reverse)


@case
def products(made: Made) -> None:
    rows, depth, columns = (int(n) for n in made.random.integers(1, 20, 3))
    heads = made.shape(0, 2)
    left = made.input((*heads, rows, depth))
    kind = int(made.random.integers(3))
    if kind == 0:
        right = made.input((*heads, depth, columns))
    else:
        right = made.constant(made.numbers((*(heads[-1:] if kind == 2 else ()), depth, columns)))
    made.add("MatMul", left, right)


@case
def attention(made: Made) -> None:
    heads, tokens, depth = (int(n) for n in made.random.integers(1, 9, 3))
    query, key, value = (made.input((heads, tokens, depth)) for _ in range(3))
    scores = made.add("MatMul", query, made.add("Transpose", key, perm=(0, 1, 3, 2)))
    made.add("MatMul", made.add("Softmax", scores, axis=-1), value)


@case
def transposed_convolutions(made: Made) -> None:
    axes, group = int(made.random.integers(1, 3)), int(made.random.integers(1, 4))
    inputs, outputs = (int(n) for n in made.random.integers(1, 4, 2))
    kernel, strides, dilations = (
        tuple(int(n) for n in made.random.integers(1, most, axes)) for most in (5, 4, 3)
    )
    pads, extra = [0] * 2 * axes, [0] * axes
    lengths = tuple(int(n) for n in made.random.integers(1, 6, axes))
    for n in range(axes):
        reach = dilations[n] * (kernel[n] - 1) + 1
        whole = strides[n] * (lengths[n] - 1) + reach
        pads[n], pads[axes + n] = (int(p) for p in made.random.integers(0, min(reach, whole // 2 + 1), 2))
        if pads[n] + pads[axes + n] >= whole:
            pads[n] = pads[axes + n] = 0
        extra[n] = int(made.random.integers(0, max(strides[n], dilations[n])))
    weights = made.constant(made.numbers((group * inputs, outputs, *kernel)))
    bias = (made.constant(made.numbers((group * outputs,))),) if made.random.integers(2) else ()
    made.add(
        "ConvTranspose",
        made.input((group * inputs, *lengths)),
        weights,
        *bias,
        strides=strides,
        dilations=dilations,
        pads=tuple(pads),
        output_padding=tuple(extra),
        group=group,
    )


@case
def recurrent(made: Made) -> None:
    op = str(made.random.choice(["LSTM", "GRU", "RNN"]))
    gates, (length, inputs, hidden) = {"LSTM": 4, "GRU": 3, "RNN": 1}[op], made.random.integers(1, 8, 3)
    direction = str(made.random.choice(["forward", "reverse", "bidirectional"]))
    count = 2 if direction == "bidirectional" else 1
    source = made.add("Transpose", made.input((int(length), int(inputs))), perm=(1, 0, 2))
    matrices = [
        made.constant(made.numbers((count, gates * hidden, int(width))) / 4) for width in (inputs, hidden)
    ]
    bias = made.constant(made.numbers((count, 2 * gates * hidden)) / 4) if made.random.integers(2) else ""
    attributes: dict[str, Any] = {"hidden_size": int(hidden), "direction": direction}
    if op == "GRU":
        attributes["linear_before_reset"] = int(made.random.integers(2))
    first = made.add(op, source, *matrices, *([bias] if bias else []), outputs=1, **attributes)
    made.add("Transpose", first, perm=(2, 0, 1, 3))


@case
def embeddings(made: Made) -> None:
    words, width, tokens = (int(n) for n in made.random.integers(1, 9, 3))
    table = made.constant(made.numbers((words, width)))
    places = made.input((tokens,), made.random.integers(-words, words, (made.rows, tokens)))
    made.add("Gather", table, places, axis=0)


@case
def resizing(made: Made) -> None:
    shape = tuple(int(n) for n in made.random.integers(1, 7, 3))
    source = made.input(shape)
    if made.random.integers(2):
        source = made.add("AveragePool", source, kernel_shape=(1, 1))
    sizes = made.constant([made.rows, shape[0], *made.random.integers(1, 12, 2)], "int64")
    scales = made.constant([1, 1, *made.random.choice([0.5, 1.5, 2.0, 3.0], 2)])
    places = ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel")
    given = (
        ("", "", scales) if isinstance(made.batch, str) or made.random.integers(2) else ("", "", "", sizes)
    )
    if scales in given and any(length < 2 for length in shape[1:]):
        given = ("", "", made.constant([1.0, 1.0, 2.0, 3.0]))
    made.add(
        "Resize",
        source,
        *given[1:],
        mode=str(made.random.choice(["nearest", "linear", "cubic"])),
        coordinate_transformation_mode=str(made.random.choice(places)),
    )


@pytest.mark.parametrize("batch", ["n", 1])
@pytest.mark.parametrize("name", CASES)
def test_operators_give_what_the_reference_gives(name: str, batch: str | int) -> None:
    for seed in range(12):
        made = Made(np.random.default_rng([seed, sum(map(ord, name))]), batch)
        CASES[name](made)
        made.check()


def test_an_index_that_the_samples_bring_is_checked() -> None:
    made = Made(np.random.default_rng(1), "n")
    table = made.constant(made.numbers((5, 3)))
    made.add("Gather", table, made.input((4,), np.zeros((3, 4), np.int64)), axis=0)
    infer(made.graph)
    program = Program(made.graph)
    for wrong in (5, -6, 1 << 20):
        x = np.zeros((70, 4), np.int64)
        x[69, 3] = wrong
        with pytest.raises(DataError, match="index"):
            program.run(x)
        with pytest.raises(DataError, match="index"):
            program.trace(x)
    assert program.run(np.full((2, 4), -5, np.int64)).shape == (2, 4, 3)
