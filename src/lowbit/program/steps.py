"""What a program is made of: plain data that says what to run, on which values, with which constants.

One dataclass for each step that the engine has. The engine reads its fields by name into the struct of the
same name in ``cpp/core/steps.h``; a test compares the two. A step reads values by number: the network's
inputs come first, then each step's result gets the next one. Constants by channel are ``[o, ...]``; of a
convolution, what differs between borders is ``[regions * o, ...]``, by the numbers of
`lowbit.program.windows`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lowbit.ir.window import Axis

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float32]
Reals = npt.NDArray[np.float64]
Wide = npt.NDArray[np.int64]
Form = Literal["planes", "bytes", "words", "reals"]
Rule = Literal["ranks", "shift_up", "shift_down", "round_even", "round_up", "round_down", "real"]
NOWHERE = 0xFFFFFFFF
"""The place of what `Gather` fills."""

Function = Literal[
    "identity",
    "tanh",
    "sigmoid",
    "elu",
    "exponential",
    "logarithm",
    "absolute",
    "square_root",
    "reciprocal",
    "error",
    "sine",
    "cosine",
    "floor",
    "ceiling",
    "truncate",
    "round",
    "negative",
    "sign",
    "is_true",
    "is_false",
    "is_nan",
    "relu",
    "tangent",
    "arc_sine",
    "arc_cosine",
    "arc_tangent",
    "hyperbolic_sine",
    "hyperbolic_cosine",
    "inverse_hyperbolic_sine",
    "inverse_hyperbolic_cosine",
    "inverse_hyperbolic_tangent",
]
Operation = Literal[
    "add",
    "subtract",
    "multiply",
    "divide",
    "subtract_from",
    "divide_into",
    "minimum",
    "maximum",
    "power",
    "modulo",
    "remainder",
    "quotient",
    "less",
    "less_or_equal",
    "greater",
    "greater_or_equal",
    "equal",
    "both",
    "either",
    "one_alone",
]
Reduction = Literal["sum", "mean", "maximum", "minimum", "product", "sum_of_squares", "absolute_sum"]
Writing = Literal["replace", "add", "multiply", "minimum", "maximum"]
Cell = Literal["rnn", "gru", "lstm"]
Direction = Literal["forward", "reverse", "bidirectional"]


@dataclass(frozen=True, eq=False)
class Constants:
    """What has arrays: the engine takes them dense."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray) and not value.flags.c_contiguous:
                object.__setattr__(self, name, np.ascontiguousarray(value))

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, those of parts included."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray | Constants))


@dataclass(frozen=True, eq=False)
class Step(Constants):
    """One operation.

    Attributes:
        sources: numbers of the values it reads.
    """

    sources: tuple[int, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True, eq=False)
class PlaneEnding(Constants):
    """``table[#{acc > thresholds[o]}]`` as packed codes."""

    thresholds: Integers
    table: Bytes


@dataclass(frozen=True, eq=False)
class ByteEnding(Constants):
    """``table[#{acc > thresholds[o]}]`` as bytes."""

    thresholds: Integers
    table: Bytes


@dataclass(frozen=True, eq=False)
class AffineEnding(Constants):
    """``clip(rint(scale * acc / out_scale) + out_zero, 0, out_top)`` as bytes."""

    scale: Reals
    out_scale: float
    out_zero: float
    out_top: float


@dataclass(frozen=True, eq=False)
class RealEnding(Constants):
    """``float32(scale * acc + bias)``, in float64 until the end."""

    scale: Reals
    bias: Reals


@dataclass(frozen=True, eq=False)
class WordWeights(Constants):
    """Whole levels of weights ``[o, n]``, and what sums start with ``[o]``."""

    weights: npt.NDArray[np.int16]
    constant: Wide


@dataclass(frozen=True, eq=False)
class PlaneWeights(Constants):
    """Levels ``sum of factor * sign`` of weights, plus an offset, and factors of the input's planes.

    Attributes:
        planes: ``[o, b, words]``.
        factors: ``[o, b]``.
        offsets: ``[o]``, or none at all.
        input_factors: one for each plane of the input.
    """

    planes: Words
    factors: Integers
    offsets: Integers
    input_factors: Integers


@dataclass(frozen=True, eq=False)
class ByteWeights(Constants):
    """``acc = sum_n u_n (w_on + row_factor_o) + constant_o`` of bytes u.

    Attributes:
        weights: ``[o, n]``.
        constant: ``[o]``, or for each region.
        row_factor: ``[o]``, or none at all.
    """

    weights: npt.NDArray[np.int8]
    constant: Integers
    row_factor: Integers


@dataclass(frozen=True, eq=False)
class RankEnding(Constants):
    """``table[#{acc > thresholds[o]}]`` in any form."""

    form: Form
    thresholds: Wide
    table: npt.NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class ShiftedEnding(Constants):
    """``clip(round(acc 2^-shift), low, high) - base``, in integers."""

    form: Form
    rule: Rule
    shift: int
    low: int
    high: int
    base: int


@dataclass(frozen=True, eq=False)
class RoundedEnding(Constants):
    """``clip(round((scale * acc + bias) / step), low, high) - base``, in float64; bias may be empty."""

    form: Form
    rule: Rule
    scale: Reals
    bias: Reals
    step: float
    low: int
    high: int
    base: int


Ending = PlaneEnding | ByteEnding | AffineEnding | RealEnding | RankEnding | ShiftedEnding | RoundedEnding
"""How a layer of integers ends: what becomes of its accumulator."""


@dataclass(frozen=True, eq=False)
class EncodePlanes(Step):
    """``table[#{x > thresholds}]`` as packed codes."""

    thresholds: Floats
    table: Bytes


@dataclass(frozen=True, eq=False)
class EncodeBytes(Step):
    """``table[#{x > thresholds}]`` as bytes."""

    thresholds: Floats
    table: Bytes


@dataclass(frozen=True, eq=False)
class EncodeAffine(Step):
    """``clip(rint(x / scale) + zero, 0, top)`` as bytes."""

    scale: float
    zero: float
    top: float


@dataclass(frozen=True, eq=False)
class PlaneFullyConnected(Step):
    """Sums of products of levels, by counting bits."""

    weights: PlaneWeights
    ending: Ending


@dataclass(frozen=True, eq=False)
class ByteFullyConnected(Step):
    """Sums of products of bytes."""

    weights: ByteWeights
    ending: Ending


@dataclass(frozen=True, eq=False)
class FloatFullyConnected(Step):
    """``x w^T + bias`` in float32; `rows` of a sample lie one after another."""

    weights: Floats
    bias: Floats
    rows: int = 1


@dataclass(frozen=True, eq=False)
class WeightOnlyFullyConnected(Step):
    """Floats times coded weights; see `lowbit.ir.weight_only`."""

    planes: Words
    factors: Floats
    offsets: Floats
    bias: Floats


@dataclass(frozen=True, eq=False)
class WeightGroups(Constants):
    """Codes with a factor for every group of inputs: level = factor * (code - 2**(bits - 1)) + offset.

    Planes ``[o, bits, words]``, factors and offsets ``[o, groups]``; no offsets where all are zero.
    """

    planes: Words
    factors: Floats
    offsets: Floats
    group: int


@dataclass(frozen=True, eq=False)
class GroupedFullyConnected(Step):
    """Floats times coded weights with groups; see `lowbit.ir.weight_only`."""

    weights: WeightGroups
    bias: Floats
    rows: int = 1


@dataclass(frozen=True, eq=False)
class Arrange(Step):
    """Elements in the order (channel, height, width) as a map, channels innermost."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class Flatten(Step):
    """A map's elements in the order (channel, height, width)."""


@dataclass(frozen=True, eq=False)
class PlaneConvolution(Step):
    """`PlaneFullyConnected` over windows; weights in the order (row, column, channel of the group)."""

    rows: Axis
    columns: Axis
    group: int
    weights: PlaneWeights
    ending: Ending


@dataclass(frozen=True, eq=False)
class ByteConvolution(Step):
    """`ByteFullyConnected` over windows."""

    rows: Axis
    columns: Axis
    group: int
    weights: ByteWeights
    ending: Ending


@dataclass(frozen=True, eq=False)
class FloatConvolution(Step):
    """`FloatFullyConnected` over windows."""

    rows: Axis
    columns: Axis
    group: int
    weights: Floats
    bias: Floats


@dataclass(frozen=True, eq=False)
class MaxPool(Step):
    """The largest of each window; of planes, the code of the largest rank (`ranks` by code)."""

    rows: Axis
    columns: Axis
    ranks: Bytes


@dataclass(frozen=True, eq=False)
class AveragePool(Step):
    """The mean of each window; taps outside the map count where `count_all`."""

    rows: Axis
    columns: Axis
    count_all: bool


@dataclass(frozen=True, eq=False)
class ScaleChannels(Step):
    """``x * scale[channel] + shift[channel]``, rounded twice."""

    scale: Floats
    shift: Floats


@dataclass(frozen=True, eq=False)
class Concatenate(Step):
    """The channels of maps side by side, or values that are no maps one after another."""


@dataclass(frozen=True, eq=False)
class LookUp(Step):
    """``table[x]`` of bytes."""

    table: Bytes


@dataclass(frozen=True, eq=False)
class Decode(Step):
    """``table[x]`` of codes or bytes."""

    table: Floats


@dataclass(frozen=True, eq=False)
class Activate(Step):
    """A function of every element."""

    function: Function


@dataclass(frozen=True, eq=False)
class Clip(Step):
    """``min(max(x, low), high)``; NaN stays NaN."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Combine(Step):
    """Arithmetic of two values; the second may be repeated a whole number of times."""

    operation: Operation


@dataclass(frozen=True, eq=False)
class CombineConstant(Step):
    """Arithmetic of a value and a row, which may be repeated a whole number of times."""

    row: Floats
    operation: Operation


@dataclass(frozen=True, eq=False)
class Gather(Step):
    """Element `places[n]` at place n, or `fill` where that is `NOWHERE`: a map, or with height 0 none."""

    places: Words
    channels: int
    height: int = 0
    width: int = 0
    fill: float = 0.0


@dataclass(frozen=True, eq=False)
class Constant(Step):
    """The same numbers for every sample, laid flat."""

    numbers: Floats


@dataclass(frozen=True, eq=False)
class AlongAxis(Step):
    """A step along one axis of a sample, seen as ``[outer, axis, inner]``; maps are seen as they lie."""

    outer: int
    axis: int
    inner: int


@dataclass(frozen=True, eq=False)
class Softmax(AlongAxis):
    """The softmax along the axis, or its logarithm."""

    logarithm: bool


@dataclass(frozen=True, eq=False)
class Reduce(AlongAxis):
    """Sum, mean, … of the axis, in float64 until the end: ``[outer, inner]``. NaN is before all else."""

    reduction: Reduction


@dataclass(frozen=True, eq=False)
class FindExtreme(AlongAxis):
    """The place of the largest or smallest element, of equal ones the first or `last`: ``[outer, inner]``."""

    largest: bool
    last: bool


@dataclass(frozen=True, eq=False)
class SortExtremes(AlongAxis):
    """The `count` largest or smallest elements in order, then their places: ``[2, outer, count, inner]``.

    Of equal ones the first comes first. NaN is larger than all else.
    """

    count: int
    largest: bool


@dataclass(frozen=True, eq=False)
class Accumulate(AlongAxis):
    """Each element and those before it summed; `exclusive`: without itself; `backwards`: those behind it."""

    exclusive: bool
    backwards: bool


@dataclass(frozen=True, eq=False)
class Resample(AlongAxis):
    """``y[j] = sum of weights[j, t] * x[places[j, t]]`` along the axis: a map, or with height 0 none."""

    places: Words
    weights: Floats
    channels: int
    height: int = 0
    width: int = 0


@dataclass(frozen=True, eq=False)
class Select(Step):
    """The second value where the first is not 0, else the third; each may be repeated."""


@dataclass(frozen=True, eq=False)
class TakeRows(AlongAxis):
    """Elements of the axis at computed places, negative ones from its end: ``[outer, places, inner]``.

    Reads what it takes from and the places; with a table the places alone. A place outside is an error of the
    samples.
    """

    table: Floats


@dataclass(frozen=True, eq=False)
class TakeElements(Step):
    """Runs of elements at computed places: ``[places, inner]``.

    Reads what it takes from and whole numbers ``n[p, k]``, negative ones from the end of what they count. Run
    p begins at ``first[p] + sum_k n[p, k] * strides[k]``. A number outside is an error of the samples.

    Attributes:
        first: by run.
        lengths, strides: of what each number of a run counts.
        inner: elements of a run.
    """

    first: Words
    lengths: Words
    strides: Words
    inner: int


@dataclass(frozen=True, eq=False)
class PutElements(Step):
    """A copy of the first value, with runs of the third written to the places that `TakeElements` takes from.

    They are written in order; `writing` says what becomes of what is there, NaN of either staying NaN.
    """

    first: Words
    lengths: Words
    strides: Words
    inner: int
    writing: Writing


@dataclass(frozen=True, eq=False)
class MatrixProduct(Step):
    """``[batches, rows, depth]`` times ``[batches, depth, columns]``, or the second one's transpose.

    Either may have fewer batches, which are repeated a whole number of times.
    """

    batches: int
    rows: int
    depth: int
    columns: int
    transposed: bool


@dataclass(frozen=True, eq=False)
class Recurrent(Step):
    """A recurrent layer over a whole sequence, as ONNX has it, with its gates in that order.

    Reads x ``[length, batch, inputs]``, then what it has of lengths ``[batch]`` and first states and cells
    ``[directions, batch, hidden]``. Makes ``[length, directions, batch, hidden]``, zero behind a sequence's
    end, and behind it the last states and an LSTM's last cells.

    Attributes:
        weights, recurrent: ``[directions * gates * hidden, inputs]`` and ``[..., hidden]``.
        bias: ``[directions * 2 * gates * hidden]``, or none.
        peepholes: ``[directions * 3 * hidden]``, or none.
        gate, candidate, output: ONNX' f, g and h.
        bound: of what goes into those of gates and candidates; 0 is none.
        coupled: an LSTM's forget gate is what the input gate leaves.
        reset_after: a GRU resets what its weights have made of the state.
    """

    cell: Cell
    direction: Direction
    length: int
    batch: int
    weights: Floats
    recurrent: Floats
    bias: Floats
    peepholes: Floats
    gate: Function
    candidate: Function
    output: Function
    bound: float
    coupled: bool
    reset_after: bool
    has_lengths: bool
    has_state: bool
    has_cell: bool


@dataclass(frozen=True, eq=False)
class WordFullyConnected(Step):
    """Sums of products of whole levels in words; `rows` of a sample lie one after another."""

    rows: int
    weights: WordWeights
    ending: Ending


@dataclass(frozen=True, eq=False)
class WordConvolution(Step):
    """`WordFullyConnected` over windows."""

    rows: Axis
    columns: Axis
    group: int
    weights: WordWeights
    ending: Ending


@dataclass(frozen=True, eq=False)
class Round(Step):
    """``clip(round(x / step), low, high) - base`` of floats, as bytes or words."""

    form: Form
    rule: Rule
    step: float
    low: int
    high: int
    base: int


@dataclass(frozen=True, eq=False)
class Rank(Step):
    """``table[#{x > thresholds}]`` of floats, as words."""

    thresholds: Floats
    table: npt.NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class LookUpEntries(Step):
    """``table[x - least]`` of bytes or words, as bytes or words."""

    form: Form
    least: int
    table: npt.NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class DecodeWords(Step):
    """``table[x - least]`` of words, as floats."""

    least: int
    table: Floats


@dataclass(frozen=True, eq=False)
class AddWords(Step):
    """``clip(round((x + y) 2^-shift), low, high)`` of two values in words."""

    rule: Rule
    shift: int
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class AverageWords(Step):
    """``clip(round(sum 2^-shift / count), low, high)`` of each window of words; counts as `AveragePool`."""

    rows: Axis
    columns: Axis
    count_all: bool
    rule: Rule
    shift: int
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class RankWords(Step):
    """``table[#{x > thresholds}]`` of words, in any form."""

    form: Form
    thresholds: Integers
    table: npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Result:
    """What a step makes.

    Attributes:
        value: the graph's value, for tracing.
        shape: of one row of it: in the batched form without the batch.
        why: why this step was chosen, where there was a choice.
    """

    value: str
    shape: tuple[int, ...]
    why: str = ""


@dataclass(frozen=True, eq=False)
class CodeTable:
    """The codes of bytes or words.

    Attributes:
        least: the byte or word that the first code belongs to.
        codes: of all from there on.
    """

    least: int
    codes: npt.NDArray[np.unsignedinteger]

    def of(self, entries: npt.NDArray[Any]) -> npt.NDArray[np.unsignedinteger]:
        """Return the codes of bytes or words."""
        return self.codes[entries.astype(np.intp) - self.least]


@dataclass(frozen=True)
class Port:
    """An input or an output of a network.

    Attributes:
        name: of the graph's value.
        dtype: of the caller's array; the engine itself holds numbers as float32.
        shape: as the graph says it, a name where a length is open.
        lengths: of what one row of a run holds; see `ProgramPlan`.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    lengths: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ProgramPlan:
    """A planned network.

    In the *batched* form the first axis of every value is the input's batch, and steps work on what lies
    behind it. In the *whole* form they work on values of any shape, as they are for one sample.

    Attributes:
        inputs, outputs: in the order of the graph. Values 0, 1 … are the inputs.
        steps: in order.
        results: of the steps.
        numbers: of the values that are the outputs.
        codes: for each value of codes that lies as bytes or words, what they stand for.
        batched: the form.
        by_rows: whether the first axis of inputs and outputs counts samples, each computed by itself; in the
            batched form always, in the whole form where it has length one in all of them. Otherwise a run is
            one sample.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    steps: tuple[Step, ...]
    results: tuple[Result, ...]
    numbers: tuple[int, ...]
    codes: Mapping[str, CodeTable]
    batched: bool = True
    by_rows: bool = True
