"""A circuit as Verilog: a line for each value, with its range.

Module ``NAME`` takes all inputs at once and gives all results, ``stages`` clocks with ``enable`` later.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from lowbit.rtl.integers import Range
from lowbit.rtl.unroll.circuit import (
    Above,
    Choice,
    Circuit,
    Clip,
    Constant,
    Count,
    Greater,
    Input,
    Larger,
    Offset,
    Operation,
    Shift,
    Sum,
    Table,
    operands,
)
from lowbit.rtl.unroll.pipeline import Pipeline
from lowbit.rtl.unroll.sharing import bits_of

WORD = 32
"""Bits of a result."""


class Text:
    """Writes a circuit.

    Args:
        name: of the module.
        circuit: all values.
        results: what goes out, each as a word of `WORD` bits, the first in the lowest.
        pipeline: where registers stand.
        widths: bits of every input, the first in the lowest.
        notes: comments above values.
    """

    def __init__(
        self,
        name: str,
        circuit: Circuit,
        results: Sequence[int],
        pipeline: Pipeline,
        widths: Sequence[int],
        notes: Mapping[int, str],
    ) -> None:
        self._name, self._circuit, self._results = name, circuit, results
        self._pipeline, self._widths, self._notes = pipeline, widths, notes
        self._alive = circuit.alive(results)
        self._until = self._needed_until()

    def lines(self) -> Iterator[str]:
        """Yield the module."""
        total, results = sum(self._widths), WORD * len(self._results)
        yield f"module {self._name} ("
        yield "    input clock,"
        yield "    input enable,"
        yield f"    input [{total - 1}:0] numbers,"
        yield f"    output reg [{results - 1}:0] results"
        yield ");"
        for value, operation in enumerate(self._circuit.operations):
            if value in self._notes:
                yield f"\n  // {self._notes[value]}"
            if self._alive[value]:
                yield from self._value(value, operation)
        last = self._pipeline.stages - 1
        words = ", ".join(self._word(value, last) for value in reversed(self._results))
        yield "\n  always @(posedge clock) if (enable) begin"
        for value, until in enumerate(self._until):
            for at in range(self._pipeline.stage[value] + 1, until + 1):
                yield f"    {self._named(value, at)} <= {self._named(value, at - 1)};"
        yield f"    results <= {{{words}}};"
        yield "  end"
        yield "endmodule"

    def _needed_until(self) -> list[int]:
        """Return the last stage in which each value is read."""
        stage = self._pipeline.stage
        until = list(stage)
        for value, operation in enumerate(self._circuit.operations):
            if self._alive[value]:
                for operand in operands(operation):
                    until[operand] = max(until[operand], stage[value])
        for value in self._results:
            until[value] = self._pipeline.stages - 1
        return [
            stage[value] if isinstance(operation, Constant) or not self._alive[value] else last
            for value, (operation, last) in enumerate(zip(self._circuit.operations, until, strict=True))
        ]

    def _value(self, value: int, operation: Operation) -> Iterator[str]:
        if isinstance(operation, Constant):
            return
        stage, kind = self._pipeline.stage[value], self._kind(self._circuit.ranges[value])
        made = _WRITE[type(operation)](self, operation, stage, value)
        yield f"  wire {kind} {self._named(value, stage)} = {made};  // {self._circuit.ranges[value]}"
        for at in range(stage + 1, self._until[value] + 1):
            yield f"  reg {kind} {self._named(value, at)};"

    def _kind(self, found: Range) -> str:
        width = max(1, bits_of(found))
        return f"signed [{width - 1}:0]" if found.low < 0 else f"[{width - 1}:0]"

    def _named(self, value: int, stage: int) -> str:
        first = self._pipeline.stage[value]
        return f"v{value}" if stage == first else f"v{value}_{stage - first}"

    def read(self, value: int, stage: int) -> str:
        """Return a value as it is in a stage, signed."""
        operation, found = self._circuit.operations[value], self._circuit.ranges[value]
        if isinstance(operation, Constant):
            return constant(operation.number)
        name = self._named(value, stage)
        return name if found.low < 0 else f"$signed({{1'b0, {name}}})"

    def plain(self, value: int, stage: int) -> str:
        """Return a value as its bits are."""
        operation = self._circuit.operations[value]
        return constant(operation.number) if isinstance(operation, Constant) else self._named(value, stage)

    def bits(self, value: int, stage: int, first: int, end: int) -> str:
        """Return some bits of a value, its sign as often as they ask for it."""
        found, name = self._circuit.ranges[value], self.plain(value, stage)
        width = max(1, bits_of(found))
        top = min(end, width)
        own = [f"{name}[{top - 1}:{first}]" if (first, top) != (0, width) else name] if top > first else []
        missing = end - max(first, width)
        if missing > 0:
            sign = f"{name}[{width - 1}]" if found.low < 0 else "1'b0"
            own.insert(0, f"{{{missing}{{{sign}}}}}")
        return f"{{{', '.join(own)}}}" if len(own) > 1 else own[0]

    def range(self, value: int) -> Range:
        """Return the range of a value."""
        return self._circuit.ranges[value]

    def start(self, number: int) -> int:
        """Return the lowest bit of an input."""
        return sum(self._widths[:number])

    def width(self, number: int) -> int:
        """Return the bits of an input."""
        return self._widths[number]

    def _word(self, value: int, stage: int) -> str:
        """Return a result, its sign extended."""
        operation, found = self._circuit.operations[value], self._circuit.ranges[value]
        if isinstance(operation, Constant):
            return f"{WORD}'d{operation.number % (1 << WORD)}"
        width, name = max(1, bits_of(found)), self._named(value, stage)
        filling = f"{name}[{width - 1}]" if found.low < 0 else "1'b0"
        return f"{{{{{WORD - width}{{{filling}}}}}, {name}}}" if width < WORD else name


def constant(number: int) -> str:
    """Return a signed constant."""
    width = Range(number, number).bits
    return f"-{width + 1}'sd{-number}" if number < 0 else f"{width}'sd{number}"


def _sum(text: Text, op: Sum, stage: int, value: int) -> str:
    """Return a sum; the bits below the shifted operand are the other's.

    Signs are written out, so that Yosys makes a carry chain of every sum: where it sees sums of sums it takes
    compressors, which need more look-up tables.
    """
    width, shift, sign = max(1, bits_of(text.range(value))), op.right_shift, "-" if op.minus else "+"
    if op.left_shift:
        left = f"({text.read(op.left, stage)} <<< {op.left_shift})"
        return f"{left} {sign} {text.read(op.right, stage)}"
    high = text.bits(op.left, stage, shift, width)
    made = f"{high} {sign} {text.bits(op.right, stage, 0, width - shift)}" if width > shift else ""
    return f"{{{made}, {text.bits(op.left, stage, 0, shift)}}}" if shift else made


def _offset(text: Text, op: Offset, stage: int, _: int) -> str:
    number = text.read(op.value, stage)
    return f"{constant(op.constant)} - {number}" if op.minus else f"{number} + {constant(op.constant)}"


def _clip(text: Text, op: Clip, stage: int, value: int) -> str:
    found, number = text.range(op.value), text.read(op.value, stage)
    moved = f"({number} >>> {op.shift})" if op.shift else number
    low, high = found.low >> op.shift, found.high >> op.shift
    made = moved
    if high > op.high:
        made = f"{number} >= {constant((op.high + 1) << op.shift)} ? {constant(op.high)} : {made}"
    if low < op.low:
        below = (
            f"{text.plain(op.value, stage)}[{_top(found)}]"
            if op.low == 0
            else f"{number} < {constant(op.low << op.shift)}"
        )
        made = f"{below} ? {constant(op.low)} : {made}"
    return made


def _top(found: Range) -> int:
    return bits_of(found) - 1


def _above(text: Text, op: Above, stage: int, _: int) -> str:
    """Return a comparison with a constant, bit by bit: what look-up tables take, and carry chains do not."""
    found, name = text.range(op.value), text.plain(op.value, stage)
    width = max(1, bits_of(found))
    bits = op.threshold % (1 << width)
    made = ""
    for at in range(width):
        bit, is_one = f"{name}[{at}]", bool(bits >> at & 1)
        if at == width - 1 and found.low < 0:  # the sign counts the other way round
            bit, is_one = f"~{bit}", not is_one
        made = f"({bit} {'&' if is_one else '|'} {made})" if made else "" if is_one else bit
    return f"~{made}" if op.inverted else made


def _count(text: Text, op: Count, stage: int, _: int) -> str:
    """Return the position of the last 1: half of the bits, by the one in the middle."""
    names = [text.plain(bit, stage) for bit in op.bits]
    digits = _counted(names)
    return f"{{{', '.join(reversed(digits))}}}" if len(digits) > 1 else digits[0]


def _counted(bits: Sequence[str]) -> list[str]:
    """Return the binary digits of a count, the lowest first."""
    if not bits:
        return []
    half = 1 << (len(bits).bit_length() - 1)
    middle, low, high = bits[half - 1], _counted(bits[: half - 1]), _counted(bits[half:])
    found = []
    for at, digit in enumerate(low):
        above = high[at] if at < len(high) else ""
        found.append(f"({middle} ? {above} : {digit})" if above else f"(~{middle} & {digit})")
    return [*found, middle]


def _table(text: Text, op: Table, stage: int, value: int) -> str:
    """Return a table as choices by its bits."""
    found, name = text.range(op.value), text.plain(op.value, stage)
    width = max(1, bits_of(found))
    entries = {(op.low + at) % (1 << width): entry for at, entry in enumerate(op.entries)}

    def chosen(bits: int, fixed: int) -> str:
        own = {entry for at, entry in entries.items() if at >> bits == fixed}
        if len(own) <= 1:
            return constant(own.pop() if own else 0)
        one, zero = chosen(bits - 1, fixed << 1 | 1), chosen(bits - 1, fixed << 1)
        return f"({name}[{bits - 1}] ? {one} : {zero})"

    return chosen(width, 0)


def _choice(text: Text, op: Choice, stage: int, _: int) -> str:
    return f"{text.plain(op.bit, stage)} ? {text.read(op.one, stage)} : {text.read(op.zero, stage)}"


_WRITE: Mapping[type, Callable[..., str]] = {
    Input: lambda text, op, stage, _: f"numbers[{text.start(op.number)} +: {text.width(op.number)}]",
    Sum: _sum,
    Offset: _offset,
    Shift: lambda text, op, stage, _: f"{text.read(op.value, stage)} <<< {op.shift}",
    Clip: _clip,
    Above: _above,
    Count: _count,
    Table: _table,
    Larger: lambda text, op, stage, _: "{0} > {1} ? {0} : {1}".format(
        text.read(op.left, stage), text.read(op.right, stage)
    ),
    Greater: lambda text, op, stage, _: f"{text.read(op.left, stage)} > {text.read(op.right, stage)}",
    Choice: _choice,
}
