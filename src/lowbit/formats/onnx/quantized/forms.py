"""Graph to ONNX as other people's tools have it: QDQ, which runtimes know, and QONNX, which compilers do.

A low-bit layer becomes a float one between what encodes and decodes (`lowbit.ir.unfold`), and

    QDQ      Encode, Decode           QuantizeLinear, a Clip where codes have fewer bits than the type, and
                                      DequantizeLinear; biases of whole units are int32
    QONNX    Encode with its Decode   Quant, or BipolarQuant; a constant of codes is one of floats before it

Codes are those of affine grids and of fixed point, in QONNX also binary ones and whatever lies on a grid.
All that has no such form is named before anything is written.
"""

import os
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from lowbit.blockers import Blocker, blocker_of, grouped, listed, remedies
from lowbit.errors import TooLargeError, UnsupportedError
from lowbit.formats.onnx.quantized.grid import Grid
from lowbit.formats.onnx.writer import LARGEST_PROTO, Writer
from lowbit.ir import Graph, Node, infer, verify
from lowbit.ir.layers import scheme_of
from lowbit.ir.unfold import Units, unfold
from lowbit.schemes import Encoding
from lowbit.untrusted import write_atomic

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_REMEDY = "Write a .circle or .onnx file instead, or quantize with affine or fixed."


class FormWriter(Writer):
    """Writes a graph that was unfolded."""

    producer = "lowbit quantized"
    name: ClassVar[str]

    def __init__(self, graph: Graph) -> None:
        self.original, unfolded = graph, unfold(graph)
        self.units: dict[str, Units] = unfolded.units
        self.repeated = unfolded.repeated
        self.not_unfolded = unfolded.refused
        self.taken: set[str] = set()
        super().__init__(unfolded.graph)

    def all_refused(self) -> list[Blocker]:
        """Return all that has no such form."""
        ends = [_coded_end(self.original, name) for name in (*self.original.inputs, *self.original.outputs)]
        first = [
            blocker_of(error, node.name or node.outputs[0], node.op) for node, error in self.not_unfolded
        ]
        return grouped([*filter(None, ends), *first, *([] if first else self.refused())])

    def form(self) -> "ModelProto":
        """Return the model.

        Raises:
            UnsupportedError: nodes that have no such form, all of them.
        """
        blockers = type(self)(self.original).all_refused()  # of a writer of its own: nodes are made once
        if blockers:
            raise UnsupportedError(
                f"{self.name} cannot carry {sum(each.count for each in blockers)} parts of this network",
                where=self.original.name,
                expected="affine or fixed-point codes, and standard operators",
                found=listed(blockers),
                remedy=remedies(blockers) or _REMEDY,
            )
        infer(self.graph)
        return self.model()

    def part(
        self, op: str, inputs: list[str], output: str, domain: str = "", **attributes: Any
    ) -> "NodeProto":
        """Return a node that the graph does not have."""
        from onnx import helper

        return helper.make_node(op, inputs, [output], domain=domain, name=output, **attributes)

    def fresh(self, stem: str) -> str:
        """Return a name that nothing has."""
        while stem in self.graph.values or stem in self.tensors or stem in self.taken:
            stem += "_"
        self.taken.add(stem)
        return stem

    def number(self, owner: str, field: str, array: object) -> str:
        """Add a constant and return its name."""
        return self._extra(owner, field, np.asarray(array))

    def halves(self, owner: str, field: str, numbers: npt.NDArray[np.uint8]) -> str:
        """Add a constant of four bits to a number, the even ones in the lower halves, and return its name."""
        from onnx import TensorProto, helper

        name = self._extra(owner, field, numbers)
        if name in self.tensors:
            flat = np.pad(numbers.reshape(-1), (0, numbers.size % 2))
            content = (flat[::2] | flat[1::2] << 4).astype(np.uint8).tobytes()
            self.tensors[name] = helper.make_tensor(name, TensorProto.UINT4, numbers.shape, content, raw=True)
        return name


def _coded_end(graph: Graph, name: str) -> Blocker | None:
    if graph.value(name).encoding is None:
        return None
    what = "an input or output of codes"
    return Blocker(what, (name,), expected="reals", remedy="Put an encoder behind it, or a decoder.")


def grid_of(graph: Graph, node: Node, encoding: Encoding) -> Grid:
    """Return the grid on which levels lie in the order of codes, of codes from 0.

    Raises:
        UnsupportedError: they are on none, or no level is zero.
    """
    levels = encoding.levels()
    step = levels[:, 1] - levels[:, 0]
    even = encoding.linear and bool((step > 0).all())
    zero = -levels[:, 0] / step if even else np.full(len(levels), 0.5)
    whole = np.abs(zero - np.rint(zero)) < 1e-3
    if not even or not whole.all() or ((zero < -0.5) | (zero > levels.shape[1] - 0.5)).any():
        raise no_form(graph, node, "levels that are on no grid with zero")
    top = (1 << encoding.bits) - 1
    return Grid(0, top, step.astype(np.float32), np.rint(zero).astype(np.int64))


def thresholds_of(graph: Graph, encoder: Node) -> npt.NDArray[np.float32]:
    """Return the thresholds of an encoder, its own or those of its encoding."""
    encoding = encoding_of(graph, encoder.outputs[0])
    given = [graph.constant(name) for name in encoder.inputs[1:] if name]
    return np.asarray(given[0] if given else encoding.thresholds()[0], np.float32)


def encoding_of(graph: Graph, name: str) -> Encoding:
    """Return the encoding of a value of codes."""
    encoding = graph.value(name).encoding
    assert encoding is not None
    return encoding


def range_of(graph: Graph, encoder: Node, grid: Grid) -> tuple[int, int]:
    """Return the least and the greatest code that an encoder gives, which rounds half to even between.

    Raises:
        UnsupportedError: its thresholds are not those of rounding, to the neighbour of a float32.
    """
    given, rounds = thresholds_of(graph, encoder), grid.encoding()
    own = given if rounds is None else rounds.thresholds()[0]
    highest = np.finfo(np.float32).max
    low, high = int((given <= -highest).sum()), len(given) - int((given >= highest).sum())
    unit = 2 * np.spacing(np.abs(own).max())  # what float32 makes of the levels of a grid
    if rounds is None or (np.abs(own - given) > unit)[low:high].any():
        raise no_form(graph, encoder, "codes by thresholds that are not of rounding half to even")
    return low, high


def exactly(writer: FormWriter, encoder: Node, grid: Grid) -> "tuple[list[NodeProto], str]":
    """Return nodes that round a network's own input as its encoding does, in float64, and what they give.

    Runtimes divide in float32, which makes ties of what is none. Samples lie on grids (bytes over 255), and
    so on ties; behind layers hardly a sum does, and there nothing comes between.
    """
    graph, source, codes = writer.graph, encoder.inputs[0], encoder.outputs[0]
    encoding = encoding_of(graph, codes)
    given, theirs = thresholds_of(graph, encoder), grid.thresholds(encoding)
    own = np.array_equal(given, encoding.thresholds()[0])
    if source not in graph.inputs or theirs is None or not own or np.array_equal(given, theirs):
        return [], source
    made: list[NodeProto] = []

    def then(op: str, *operands: str, **attributes: Any) -> None:
        nonlocal source
        made.append(
            writer.part(
                op, [source, *operands], output := writer.fresh(f"{codes}/{op.lower()}"), **attributes
            )
        )
        source = output

    levels = encoding.levels()[0]
    then("Cast", to=11)
    then("Div", writer.number(codes, "exact.scale", np.float64(levels[1] - levels[0])))
    if encoding.rounding == "even":
        then("Round")
    else:  # a tie takes the lower level
        then("Sub", writer.number(codes, "exact.half", np.float64(0.5)))
        then("Ceil")
    then("Cast", to=1)
    then("Mul", writer.number(codes, "exact.unit", grid.scale[0]))
    return made, source


def no_form(graph: Graph, encoder: Node, what: str) -> UnsupportedError:
    """Return the error of an encoder or decoder whose codes have no form."""
    coded = next(
        name for name in (*encoder.outputs, *encoder.inputs) if graph.value(name).encoding is not None
    )
    encoding = encoding_of(graph, coded)
    return UnsupportedError(
        f"{what} ({scheme_of(encoding)} of {encoding.bits} bits)",
        where=encoder.name,
        expected="affine or fixed-point codes",
        found=f"{scheme_of(encoding)} of {encoding.bits} bits",
        remedy=_REMEDY,
    )


def half_up(
    writer: FormWriter, source: str, output: str, encoding: Encoding
) -> "tuple[list[NodeProto], str]":
    """Return nodes that round reals to a fixed-point format as it says, and what they give: reals."""
    unit = np.float32(encoding.integer_scale()[0])
    low, high = (float(each) for each in encoding.integer_levels()[0, [0, -1]])
    steps = [("Mul", 1 / unit)]
    steps += [("Add", np.float32(0.5))] if encoding.rounding == "nearest" else []
    made: list[NodeProto] = []
    for op, number in steps:
        name = writer.number(output, f"round.{op}", np.float32(number))
        made.append(writer.part(op, [source, name], source := writer.fresh(f"{output}/{op.lower()}")))
    made.append(writer.part("Floor", [source], source := writer.fresh(f"{output}/floor")))
    bounds = [
        writer.number(output, f"round.{end}", np.float32(number))
        for end, number in (("low", low), ("high", high))
    ]
    made.append(writer.part("Clip", [source, *bounds], source := writer.fresh(f"{output}/clip")))
    name = writer.number(output, "round.unit", unit)
    made.append(writer.part("Mul", [source, name], source := writer.fresh(f"{output}/rounded")))
    return made, source


def write_form(kind: type[FormWriter], graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write a graph in a form, whole or not at all.

    Raises:
        UnsupportedError: parts that have no such form, all of them.
        TooLargeError: more bytes than a protobuf file may have.
        WriteError: the file cannot be written.
    """
    verify(graph)
    model = kind(graph).form()
    if model.ByteSize() > LARGEST_PROTO:
        raise TooLargeError(
            "the network does not fit one file",
            where=os.fspath(path),
            expected=f"at most {LARGEST_PROTO} bytes",
            found=f"{model.ByteSize()} bytes",
            remedy="Write a .circle file instead.",
        )
    write_atomic(path, model.SerializeToString(deterministic=True))
