"""Networks of open lengths: a program for each shape of inputs, planned when such inputs come."""

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.budget import allowed, budget
from lowbit.engine import Memory, Program, StepTime, _restored
from lowbit.ir import Graph, to_text
from lowbit.ir.binding import bound, lengths_given, open_names
from lowbit.program import Port, example_of, lengths_to_fix, plan, read_inputs
from lowbit.untrusted import KeptFile

KEPT = 8
"""Programs that are kept at most, those that ran last; fewer where they would take more than the budget."""


class ProgramByShape(Program):
    """A network that is planned for every shape of inputs that it meets.

    `memory` is that of all programs that are kept, `kernels` those of the one that ran last. Whether
    `by_rows` holds is not known before: it is False, and all inputs of a run are one sample.

    Raises:
        EngineError: the engine does not run it at the lengths that were tried, whatever comes.
    """

    def _load(self) -> None:
        graph = self._graph
        self._lock, self._programs = Lock(), dict[tuple[int, ...], Program]()
        self._names, self.by_rows = lengths_to_fix(graph), False
        example = example_of(graph)
        if example is not None and not plan(example).by_rows:  # samples are not each other's
            self._names = open_names(graph.value(name).shape for name in read_inputs(graph))
        self.inputs = tuple(_port(graph, name) for name in read_inputs(graph))
        self.outputs = tuple(_port(graph, name) for name in graph.outputs)
        self._read = [graph.inputs.index(port.name) for port in self.inputs]
        self.run, self.run_into = self._run_shaped, self._run_shaped_into

    def keep(self, file: KeptFile) -> None:
        """Keep the graph all the same: it is planned again."""

    @property
    def threads(self) -> int:
        """Threads that share a call."""
        return int(self._options["threads"])

    @property
    def memory(self) -> Memory:
        """What all programs that are kept take."""
        parts = [program.memory for program in self._programs.values()]
        return Memory(sum(part.constants for part in parts), sum(part.arena for part in parts))

    @property
    def kernels(self) -> list[tuple[str, str, str]]:
        """See `Program`; nothing before the first run."""
        latest = next(reversed(self._programs.values()), None)
        return [] if latest is None else latest.kernels

    def profile(self, *inputs: npt.NDArray[Any], repeats: int = 100) -> list[StepTime]:
        """See `Program`."""
        return self.at(*inputs).profile(*inputs, repeats=repeats)

    def trace(self, *inputs: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        """See `Program`."""
        return self.at(*inputs).trace(*inputs)

    def __reduce__(self) -> tuple[Callable[..., Program], tuple[str, dict[str, Any]]]:
        return _restored, (to_text(self._graph), self._options)

    def at(self, *inputs: npt.NDArray[Any]) -> Program:
        """Return the program for arrays of these shapes.

        Raises:
            DataError: the network does not take such arrays.
            GraphError: its operators do not, such as a reshape that does not come out even.
            EngineError: the engine does not run it at these lengths.
            TooLargeError: it would take more memory than it may.
        """
        if len(inputs) != len(self._graph.inputs):
            self._as_floats(inputs)  # says so
        shapes = {port.name: np.shape(inputs[n]) for n, port in zip(self._read, self.inputs, strict=True)}
        known = lengths_given(self._graph, shapes)
        key = tuple(known[name] for name in self._names)
        with self._lock:
            program = self._programs.pop(key, None)
            if program is None:
                program = Program(
                    bound(self._graph, dict(zip(self._names, key, strict=True))), **self._options
                )
                self._make_room(program)
            self._programs[key] = program
        return program

    def _make_room(self, program: Program) -> None:
        """Give up programs that ran longest ago, as many as one more needs."""
        with allowed(self._options["memory"]):
            most = budget() - _taken(program)
        while self._programs and (
            len(self._programs) >= KEPT or sum(map(_taken, self._programs.values())) > most
        ):
            del self._programs[next(iter(self._programs))]

    def _run_shaped(self, *inputs: npt.NDArray[Any]) -> Any:
        return self.at(*inputs).run(*inputs)

    def _run_shaped_into(self, *arrays: Any) -> None:
        self.at(*arrays[:-1]).run_into(*arrays)


def _taken(program: Program) -> int:
    return program.memory.constants + program.memory.arena


def _port(graph: Graph, name: str) -> Port:
    value = graph.value(name)
    return Port(name, value.dtype, value.shape, ())
