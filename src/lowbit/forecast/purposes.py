"""What a network may be for, and what it costs there: a row for each, read by ``lowbit plan --target``.

    cpu                         µs of a call with one sample on this machine, bytes of memory
    c99:flash=64K,ram=16K       bytes of flash, RAM and stack, for a microcontroller
    xc7z020, ecp5-45k, …        look-up tables, DSPs, RAMs of 18 Kbit, clocks per picture, of an FPGA

What a network costs is measured or counted on an outline (`lowbit.forecast.outline`), never guessed, except
what an FPGA takes, which the array engine estimates from counts of synthesized units.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from lowbit.bench import random_inputs
from lowbit.bench.timing import Call, interleaved_medians
from lowbit.budget import size_of
from lowbit.c99.target import generated, sizes_of
from lowbit.engine import Program
from lowbit.errors import LowbitError, UsageError
from lowbit.ir import Graph
from lowbit.rtl.array.budget import DEVICES, OF_FAMILY
from lowbit.rtl.hardware import hardware
from lowbit.rtl.primitives.target import Target

_Made = TypeVar("_Made")

_ROUNDS = 9


@dataclass(frozen=True)
class Cost:
    """What a network costs somewhere.

    Attributes:
        figures: by name; empty where it does not run there.
        why: what is in the way, or by how much a limit is exceeded; "" where nothing is.
    """

    figures: Mapping[str, float] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True)
class Purpose:
    """A row, with the limits that were said.

    Attributes:
        name: as commands call it.
        figures: names of what is counted, with their units.
        limits: the most of each, where it has one.
    """

    name: str
    figures: Mapping[str, str]
    _measure: Callable[[Sequence[Graph]], list[Cost]]
    limits: Mapping[str, int] = field(default_factory=dict)

    def measure(self, graphs: Sequence[Graph]) -> list[Cost]:
        """Return what each network costs; those beyond a limit say by how much."""
        return [self._limited(found) for found in self._measure(graphs)]

    def _limited(self, found: Cost) -> Cost:
        over = [
            f"{name}: {found.figures[name]:,.0f} {self.figures[name]}, "
            f"{found.figures[name] - most:,.0f} above {most:,}"
            for name, most in self.limits.items()
            if not found.why and found.figures[name] > most
        ]
        return Cost(found.figures, "; ".join(over)) if over else found


def _cpu(graphs: Sequence[Graph]) -> list[Cost]:
    """Time all networks in one interleaved run."""
    programs = [_tried(Program, graph) for graph in graphs]
    calls: dict[str, Call] = {
        str(number): partial(program.run, *random_inputs(program, 1))
        for number, program in enumerate(programs)
        if isinstance(program, Program)
    }
    times = interleaved_medians(calls, _ROUNDS)
    found = []
    for number, program in enumerate(programs):
        if not isinstance(program, Program):
            found.append(program)
            continue
        memory = program.memory
        figures = {"time": times[str(number)], "memory": memory.constants + memory.arena}
        found.append(Cost(figures))
    return found


def _c99(graphs: Sequence[Graph]) -> list[Cost]:
    found = []
    for graph in graphs:
        source = _tried(partial(generated, name="network"), graph)
        found.append(source if isinstance(source, Cost) else Cost(sizes_of(source)))
    return found


def _device(name: str, graphs: Sequence[Graph]) -> list[Cost]:
    found = []
    for graph in graphs:
        made = _tried(partial(hardware, engine="array", budget=name, target=_family(name)), graph)
        if isinstance(made, Cost):
            found.append(made)
            continue
        taken = made.estimate()
        figures = {"lut": taken.lut, "dsp": taken.dsp, "ramb18": taken.ramb18}
        found.append(Cost({**figures, "clocks": made.design.cycles_per_image}))
    return found


def _family(name: str) -> Target:
    """Return the family of a device; `generic`, which has all of them, is the last."""
    return next(family for family, devices in OF_FAMILY.items() if name in devices)


def _tried(make: Callable[[Graph], _Made], graph: Graph) -> _Made | Cost:
    """Return what is made of a graph, or a cost that says what is in the way."""
    try:
        return make(graph)
    except LowbitError as error:
        return Cost(why=error.facts)


_FPGA = {"lut": "LUT", "dsp": "DSP", "ramb18": "RAM", "clocks": "clocks"}

PURPOSES: Mapping[str, Purpose] = {
    "cpu": Purpose("cpu", {"time": "µs", "memory": "bytes"}, _cpu),
    "c99": Purpose("c99", {"flash": "bytes", "ram": "bytes", "stack": "bytes"}, _c99),
    **{name: Purpose(name, _FPGA, partial(_device, name)) for name in DEVICES},
}


def purpose(text: str) -> Purpose:
    """Return a purpose with its limits, of ``cpu``, ``c99:flash=64K,ram=16K`` or ``xc7z020``.

    Raises:
        UsageError: there is none of that name, or it has no such figure.
        DataError: a limit is no size.
    """
    name, _, said = text.partition(":")
    row = PURPOSES.get(name)
    if row is None:
        expected = ", ".join(PURPOSES)
        raise UsageError("no such target", where="--target", expected=expected, found=repr(name))
    limits: dict[str, int] = {}
    for part in filter(None, said.split(",")):
        figure, _, size = part.partition("=")
        if figure not in row.figures:
            expected = " or ".join(f"{each}=…" for each in row.figures)
            raise UsageError(f"{name} has no such limit", where="--target", expected=expected, found=part)
        limits[figure] = size_of(size, f"{name}: {figure}")
    return Purpose(row.name, row.figures, row._measure, limits)
