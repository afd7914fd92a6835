"""A network as text of C: its ports, its steps in the arena, and the file around them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from lowbit.c99.arena import Block, placed
from lowbit.c99.fused import fused, gathered
from lowbit.c99.inputs import Whole, stored_input
from lowbit.c99.maps import settled
from lowbit.c99.stored import Stored
from lowbit.c99.table import EMITTERS, ON_INPUTS
from lowbit.c99.unit import Unit
from lowbit.ir import Graph
from lowbit.program import ProgramPlan
from lowbit.version import __version__


@dataclass(frozen=True, eq=False)
class Source:
    """A generated program.

    Attributes:
        name: what its functions and macros begin with.
        code, header: the text of both files.
        inputs, outputs: of the network, as they are stored.
        values: all that is stored, by number, and what it is called in the network.
        arena: bytes of memory.
        weights, constants: bytes of both.
        code_size: bytes of instructions, as far as they can be told from the text: for Thumb.
        proved: whether the order of integer scores was looked at for all sums.
        largest: the value in the network whose step has most constants, and their bytes.
        busiest: the value whose step needs most memory, and its bytes.
    """

    name: str
    code: str
    header: str
    inputs: tuple[Stored, ...]
    outputs: tuple[Stored, ...]
    values: tuple[tuple[Stored, str], ...]
    arena: int
    weights: int
    constants: int
    code_size: int
    proved: bool
    largest: tuple[str, int]
    busiest: tuple[str, int]


def identifier(text: str) -> str:
    """Return a name as an identifier of C."""
    made = re.sub(r"[^0-9A-Za-z_]", "_", text) or "network"
    return f"net_{made}" if made[0].isdigit() or made[0] == "_" else made


def source_of(
    graph: Graph,
    planned: ProgramPlan,
    name: str,
    whole: Whole | None = None,
    *,
    integers: bool = False,
    traced: bool = False,
) -> Source:
    """Return the program of a plan that has no blockers.

    Args:
        graph: the network.
        planned: its plan.
        name: an identifier.
        whole: the integers that its first input takes; None: floats.
        integers: whether its outputs are integers.
        traced: whether each value is shown to a function as soon as it is made; see `NAME_trace`.
    """
    unit = Unit(integers=integers)
    inputs = tuple(
        stored_input(port, number, whole if number == 0 else None)
        for number, port in enumerate(planned.inputs)
    )
    for each in inputs:
        unit.values[each.number] = each
    called: list[tuple[int, str]] = []
    folded = fused(planned)
    if not traced:
        unit.gathered = gathered(folded, planned.numbers)
    for number, step in folded.items():
        unit.current = number
        x = [unit.values[source] for source in step.sources]
        if not isinstance(step, ON_INPUTS):
            x = [settled(unit, each) for each in x]
        unit.values[number] = EMITTERS[type(step)](unit, step, x, number)
        value = planned.results[number - len(inputs)].value
        if value:
            called.append((number, value))
    outputs = tuple(_output(unit, number, index) for index, number in enumerate(planned.numbers))
    ports = _Ports(name, inputs, outputs, called, whole)
    return _written(unit, graph, planned, ports, traced=traced)


def _output(unit: Unit, number: int, index: int) -> Stored:
    """Let an output's last statement write to where the caller wants it."""
    stored = unit.values[number]
    text = "output" if index == 0 else f"output_{index}"
    return replace(stored, text=text)


_HEADER = """/* {title}: a network compiled by lowbit {version}. */
#ifndef {name}_H
#define {name}_H

#include <stddef.h>
#include <stdint.h>

{macros}

#ifdef __cplusplus
extern "C" {{
#endif

/* Runs the network once. Not reentrant: it computes in one static arena. */
{prototypes}

#ifdef __cplusplus
}}
#endif

#endif
"""

_CODE = """/* {title}: a network compiled by lowbit {version}. Strict C99, no library, no allocation. */
#include "{name}.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-tree-loop-distribute-patterns") /* no calls of memset and memcpy */
#endif

#if defined(__GNUC__)
#define MAY_ALIAS __attribute__((__may_alias__))
#else
#define MAY_ALIAS /* values share an arena: turn analysis of aliases by type off */
#endif

typedef int16_t MAY_ALIAS word_t;
typedef uint16_t MAY_ALIAS half_t;
typedef float MAY_ALIAS real_t;

#if defined(__riscv) && !defined(__riscv_mul) && !defined(LOWBIT_NO_MULTIPLY)
#define LOWBIT_NO_MULTIPLY /* may be defined for other cores that only add and shift */
#endif

{parts}
"""

_NOBODY = """static void nobody(int32_t n, const void *value)
{
  (void)n;
  (void)value;
}"""


def _written(unit: Unit, graph: Graph, planned: ProgramPlan, ports: "_Ports", *, traced: bool) -> Source:
    """Return the program of all statements."""
    places, arena = _places(unit, ports.outputs)
    called = [(unit.values[number], value) for number, value in ports.called]
    body = []
    for statement in unit.statements:
        body.append(f"  {statement.text}")
        if traced:
            made = [n for n, (stored, _) in enumerate(called) if stored.number == statement.result.number]
            body += [f"  visit({n}, {statement.result.name});" for n in made]
    if any("for (i" in line for line in body):
        body.insert(0, "  int32_t i;")
    given, name = ports.parameters, ports.name
    prototypes = [f"void {name}_run({given})"]
    functions = [[prototypes[0], "{", *body, "}"]]
    if traced:
        prototypes.append(f"void {name}_trace({given}, void (*visit)(int32_t, const void *))")
        call = f"  {name}_trace({ports.arguments}, nobody);"
        functions = [[_NOBODY], [prototypes[1], "{", *body, "}"], [prototypes[0], "{", call, "}"]]
    texts = [
        f"static uint32_t arena[{arena // 4}];" if arena else "",
        *_used(unit, body),
        *unit.constants.values(),
        "\n".join(f"#define {key} {text}" for key, text in places.items()),
        *("\n".join(lines) for lines in functions),
    ]
    facts = {"title": re.sub(r"[^ -~]|\*/|/\*", "_", graph.name), "version": __version__, "name": name}
    macros = [*ports.macros, f"#define {name}_ARENA_BYTES {arena}"]
    return Source(
        name,
        _CODE.format(parts="\n\n".join(filter(None, texts)), **facts),
        _HEADER.format(
            macros="\n".join(macros), prototypes="\n".join(f"{each};" for each in prototypes), **facts
        ),
        ports.inputs,
        ports.outputs,
        tuple(called),
        arena,
        unit.weight_bytes,
        unit.constant_bytes,
        _code_size([*_used(unit, body), *body]),
        unit.proved,
        *_most(unit, planned),
    )


_OPERATION = re.compile(r"[-+*/%&|^<>=!?]+|\[|\(|->")
_BYTES_OF_OPERATION = (
    2  # the median of 30 networks is 1.7 for a Cortex-M0 at -Os, 1.9 for an M4, 2.8 for RV32EC
)


def _code_size(texts: list[str]) -> int:
    """Return about how many bytes of instructions text becomes."""
    plain = (re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL) for text in texts)
    return sum(_BYTES_OF_OPERATION * len(_OPERATION.findall(text)) for text in plain)


def _used(unit: Unit, body: list[str]) -> list[str]:
    """Return the text of the functions that something calls."""
    kept: list[str] = []
    words = set(re.findall(r"\w+", "\n".join([*body, *unit.constants.values()])))
    for name, text in reversed(unit.functions.items()):
        if name in words:
            kept.append(text)
            words.update(re.findall(r"\w+", text))
    return kept[::-1]


def _most(unit: Unit, planned: ProgramPlan) -> tuple[tuple[str, int], tuple[str, int]]:
    """Return whose step has most constants, and whose needs most memory: the value's name, and bytes."""
    first = len(planned.inputs)
    names = {first + index: result.value for index, result in enumerate(planned.results)}
    constants = max(unit.owners.items(), key=lambda item: item[1], default=(0, 0))
    memory = max(
        ((each.result.nbytes + each.scratch, each.result.number) for each in unit.statements), default=(0, 0)
    )
    return (names.get(constants[0], ""), constants[1]), (names.get(memory[1], ""), memory[0])


_CONST = {"input": "const ", "output": ""}


@dataclass(frozen=True)
class _Ports:
    """Inputs and outputs of a program in C, and the values that have names in the network."""

    name: str
    inputs: tuple[Stored, ...]
    outputs: tuple[Stored, ...]
    called: list[tuple[int, str]]
    whole: Whole | None

    def _each(self) -> Iterator[tuple[str, str, Stored]]:
        for kind, ports in (("input", self.inputs), ("output", self.outputs)):
            for index, port in enumerate(ports):
                yield kind, f"{kind}_{index}" if index else kind, port

    @property
    def macros(self) -> list[str]:
        """Numbers of elements, and types."""
        lines = []
        for _, port, stored in self._each():
            ctype = {"real_t": "float", "word_t": "int16_t"}.get(stored.ctype, stored.ctype)
            lines.append(f"#define {self.name}_{port.upper()}_COUNT {stored.count}")
            about = f" /* {self.whole.about} */" if self.whole is not None and port == "input" else ""
            lines.append(f"typedef {ctype} {self.name}_{port};{about}")
        return lines

    @property
    def parameters(self) -> str:
        """The parameters of functions."""
        return ", ".join(
            f"{_CONST[kind]}{self.name}_{port} {port}[{self.name}_{port.upper()}_COUNT]"
            for kind, port, _ in self._each()
        )

    @property
    def arguments(self) -> str:
        """Their names."""
        return ", ".join(port for _, port, _ in self._each())


def _places(unit: Unit, outputs: tuple[Stored, ...]) -> tuple[dict[str, str], int]:
    """Return what stands for the place of each value, and the bytes of the arena."""
    last: dict[int, int] = {}
    for index, statement in enumerate(unit.statements):
        for number in statement.reads:
            last[unit.root(number)] = index
    found: dict[str, str] = {}
    written = {unit.root(stored.number): stored.name for stored in outputs}
    blocks: dict[int, Block] = {}  # by the number of the value that has it
    scratch = []
    for index, statement in enumerate(unit.statements):
        result = statement.result
        if statement.scratch:
            scratch.append(Block(f"scratch_{result.number}", statement.scratch, index, index))
        if result.number in written:
            found[result.name] = written[result.number]
            continue
        source = unit.root(statement.reads[0]) if statement.in_place else result.number
        own = blocks.get(source)
        end = last.get(result.number, index)
        if own is not None and last[source] == index and own.nbytes >= result.nbytes:
            own = replace(own, last=end)
            blocks = {key: own if each.name == own.name else each for key, each in blocks.items()}
        else:
            own = Block(result.name, result.nbytes, index, end)
            root = unit.root(statement.reads[0]) if statement.reads else result.number
            if statement.distance >= 0 and root in blocks and last[root] == index:
                own = replace(own, over=blocks[root].name, distance=statement.distance)
        blocks[result.number] = own
    places, total = placed([*{each.name: each for each in blocks.values()}.values(), *scratch])
    for each in scratch:
        found[each.name] = f"((void *)(arena + {places[each.name] // 4}))"
    for statement in unit.statements:
        result = statement.result
        if result.number in blocks:
            place = places[blocks[result.number].name] // 4
            found[result.name] = f"(({result.ctype} *)(arena + {place}))"
    return dict(sorted(found.items())), total
