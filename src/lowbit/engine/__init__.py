"""The engine: a planned network in C++, called from Python.

    program = Program(graph)
    program.run(x)             # float32 [n, ...] -> float32 [n, ...], a new array
    program.run_into(x, out)   # the same into an array of yours, without an allocation
    program.run(x, h)          # one array for each input; several outputs are a tuple
    Program.open("net.lbp")    # what `lowbit compile` wrote

``run`` and ``run_into`` are built-in functions and take only contiguous float32 arrays of the network's
shape, without NaN: anything else is refused, never misread (then ``out`` may be half written). Where inputs
or outputs are integers or bool, arrays have those types; the engine holds them as float32, so integers are
exact up to 2^24, and larger ones are refused. Infinity is a number and takes the outermost code. NaN that a
network makes itself, as zero over zero, stays NaN among floats and has the lowest code where it meets an
encoder.

Kernels are chosen at load for this machine; the environment variable ``LOWBIT_KERNELS``, or ``kernels=``,
forces a level as an upper bound. ``LOWBIT_PIN_WORKERS=1`` keeps worker threads off the caller's processor.
"""

import copyreg
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any, Self

import numpy.typing as npt

from lowbit.budget import budget
from lowbit.engine import _core
from lowbit.engine.numbers import check_out, from_floats, to_floats
from lowbit.engine.options import Options, check_threads
from lowbit.engine.traces import Traced, code_table, samples_axis, shown
from lowbit.errors import EngineError
from lowbit.formats import format_of, is_program, read_bytes
from lowbit.ir import Graph, from_text, to_text, verify
from lowbit.program import REMEDY, Port, ProgramPlan, is_open, lengths_to_fix, plan
from lowbit.untrusted import KeptFile, read_file

__all__ = ["Memory", "Program", "StepTime", "check_threads", "kernel_levels", "measure_peak"]


def kernel_levels() -> list[str]:
    """Return the kernel levels that this machine can run, plainest first."""
    return list(_core.levels())


def measure_peak(level: str = "") -> dict[str, float]:
    """Return multiply-adds per second of one core's time, in registers alone, by the kernels up to a level.

    ``popcount``: binary, word by word; ``pairs``: binary, one popcount for two words, where kernels do that;
    ``dot``: bytes, where the level has an instruction for them; ``tiles``: bytes, by a matrix unit;
    ``float``: float32, by a fused product and sum where there is one. `lowbit.bench` measures all levels.

    Raises:
        EngineError: the level is unknown or not available here.
    """
    here = kernel_levels()
    if level and level not in here:
        expected = f"one of {', '.join(here)}"
        raise EngineError(
            "this machine cannot run that kernel level", where="level", expected=expected, found=level
        )
    usable = here[: here.index(level) + 1] if level else here
    latest = {unit: of for unit, of, _ in _core.units() if of in usable and unit != "memory"}
    measured = {unit: _core.measure_unit(unit, of, _PEAK_SECONDS) for unit, of in latest.items()}
    return {unit: work / processor for unit, (work, processor, _) in measured.items() if processor}


_PEAK_SECONDS = 0.02


_IN_PLANES = "popcount"  # the path that tells codes of equal levels apart


@dataclass(frozen=True)
class StepTime:
    """One step of a program, measured.

    Attributes:
        value: the name of the graph's value that it makes.
        operation: of the engine.
        kernel: the level of the kernel that ran.
        why: why this operation was chosen, where there was a choice.
        seconds: for the whole batch.
        unit: what multiplies: ``popcount``, ``dot``, ``tiles``, ``float``, or nothing that is measured.
        work: multiply-adds of that unit for the whole batch.
        products: of a code and a weight, whatever multiplies them; for the whole batch.
        done: multiply-adds of the unit with those that padding adds.
        outputs: elements of what it makes.
        weight_bytes, moved_bytes: of weights, and of what the whole batch reads and writes beside them.
    """

    value: str
    operation: str
    kernel: str
    why: str
    seconds: float
    unit: str
    work: float
    products: float = 0.0
    done: float = 0.0
    outputs: int = 0
    weight_bytes: int = 0
    moved_bytes: int = 0


@dataclass(frozen=True)
class Memory:
    """What a program takes, in bytes.

    Attributes:
        constants: weights, thresholds and tables.
        arena: values of one block of samples, for all threads; they share their places over time.
        alive: the most that values of one sample take at a time; inputs and outputs are the caller's.
    """

    constants: int
    arena: int
    alive: int = 0


@dataclass(frozen=True)
class Facts:
    """What is known of a program's ends, wherever it came from; see `lowbit.program.ProgramPlan`."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    by_rows: bool
    metadata: dict[str, str]


class Program:
    """A network ready to run. Safe to call from several threads; calls run one after another.

    It and its `run` can be pickled and copied: the copy is planned again from the network's text form, for
    the machine where it is made. After a fork the child runs it on one thread.

    Where the graph leaves more open than the number of samples, or does not compute each sample by itself, it
    is planned when it is run, for the shapes of the arrays; the latest plans are kept
    (`lowbit.engine.by_shape`).

    Attributes:
        run: ``run(*inputs)`` takes an array per input, in the order of the graph, float32 ``[n, ...]`` but
            where the network says another type, and returns the output, or a tuple of all in that order.
        run_into: ``run_into(*inputs, out)`` writes it into ``out``: an array, or a tuple of them.
        inputs, outputs: what the network reads and gives; an input that nothing reads may be any array.
        metadata: what the network's file noted.
        by_rows: whether the first axis of all arrays counts samples; else a run is one sample.
    """

    run: Callable[..., Any]
    run_into: Callable[..., None]

    def __new__(cls, graph: Graph, **options: Any) -> Self:
        """Return a program, or one that plans for each shape where the graph leaves lengths open."""
        from lowbit.engine.by_shape import ProgramByShape

        chosen = ProgramByShape if lengths_to_fix(graph) else cls
        return super().__new__(chosen)  # type: ignore[return-value]

    def __init__(
        self,
        graph: Graph,
        *,
        threads: int = 1,
        kernels: str = "",
        path: str = "",
        memory: str | int | None = None,
        pin_workers: bool = False,
    ) -> None:
        """Plan and load a graph.

        Args:
            graph: verified.
            threads: that share a call; they wait for work by spinning briefly, then sleep.
            kernels: the highest kernel level to use; the best one when empty.
            path: how layers of low bits multiply, where they can: ``popcount`` counts bits, ``dot`` and
                ``tiles`` multiply bytes; the cheapest of each layer when empty. The integers are the same.
            memory: the most that it may take: bytes, or ``"8G"``; `lowbit.budget.budget` when None.
            pin_workers: keep worker threads off the caller's processor, where Linux likes to wake them and
                they would wait for it. Not by default: it surprises other libraries of the process.

        Raises:
            EngineError: the engine does not run this graph, or the level or the path is not available.
            TooLargeError: it would take more memory than it may; nothing was taken.
        """
        self._graph, self._given, self.metadata = graph.copy(), graph.inputs, dict(graph.metadata)
        self._options = dict(vars(Options(threads, kernels, path, memory, pin_workers)))
        self._load()
        if type(self) is Program and not self.by_rows and is_open(graph):
            self._plan_later()

    def _plan_later(self) -> None:
        """Become a program that is planned for each number of samples, where these are not each other's."""
        from lowbit.engine.by_shape import ProgramByShape

        self.__class__ = ProgramByShape
        self._load()

    def _load(self) -> None:
        """Plan and build the graph, and say what it reads and gives."""
        graph, options = self._graph, Options(**self._options)
        with options.applied(graph.name):
            planned = plan(graph)
            core = _build(planned, options, graph.name)
        values, codes = graph.values, planned.codes
        traced = {
            name: Traced(
                each.shape,
                values[name].dtype,
                codes.get(name),
                planned.batched,
                samples_axis(values[name].shape),
            )
            for each in planned.results
            if (name := each.value) in values
        }
        facts = Facts(planned.inputs, planned.outputs, planned.by_rows, dict(graph.metadata))
        self._take(core, facts, traced, graph.inputs)
        core.origin = graph, self._options  # so that `run` alone can be pickled, for a pool

    @classmethod
    def open(
        cls,
        source: str | os.PathLike[str] | bytes,
        *,
        threads: int = 1,
        kernels: str = "",
        path: str = "",
        memory: str | int | None = None,
        pin_workers: bool = False,
    ) -> "Program":
        """Return the program of a ``.lbp``, which ``lowbit compile`` wrote: its path, or its content.

        Args:
            source: of it.
            threads, kernels, path, memory, pin_workers: as of `Program`.

        Raises:
            FileError: it cannot be read, or is damaged.
            UnsupportedError: it is of another version.
            EngineError: the level or the path is not available.
            TooLargeError: it would take more memory than it may; nothing was taken.
        """
        options = Options(threads, kernels, path, memory, pin_workers)
        origin = source if isinstance(source, bytes) else _kept(source)
        content, where = _content(origin), "bytes" if isinstance(source, bytes) else str(source)
        with options.applied(where):
            core, *ends, results, batched, by_rows, notes = _core.open(
                content, where, options.kernels, budget(), options.path, *options.workers
            )
        self = object.__new__(cls)
        table = cache(code_table)  # many values have the same one, of up to 128 KB
        traced = {
            value: Traced(tuple(shape), dtype, table(least, codes, dtype), batched)
            for value, dtype, shape, least, codes in results
            if dtype
        }
        inputs, outputs = (tuple(map(_port, ports)) for ports in ends)
        facts = Facts(inputs, outputs, by_rows, notes)
        self._take(core, facts, traced, tuple(port.name for port in inputs))
        core.origin = origin, vars(options)
        return self

    def keep(self, file: KeptFile) -> None:
        """Give up the graph, whose weights the program has for itself: this file has it, for copies."""
        self._core.origin = file, self._options
        del self._graph

    def _take(
        self,
        core: _core.Program,
        facts: "Facts",
        traced: Mapping[str, Traced],
        given: tuple[str, ...],
    ) -> None:
        """Take what was loaded; `given` are the inputs of a call, some of which nothing may read."""
        self._core, self._traced, self._given = core, traced, given
        self._in_planes: _core.Program | None = None
        self.inputs, self.outputs, self.by_rows = facts.inputs, facts.outputs, facts.by_rows
        self.metadata = facts.metadata
        # Kept as attributes: a Python method around them would cost a tenth of a small call.
        self.run, self.run_into = core.run, core.run_into
        self._read = [given.index(port.name) for port in self.inputs]
        plain = all(port.dtype == "float32" for port in (*self.inputs, *self.outputs))
        if not plain or len(self._read) != len(given):
            self.run, self.run_into = self._run_typed, self._run_typed_into

    @property
    def input_shape(self) -> tuple[int | str, ...]:
        """Of the first input, the batch first; a name where it is open."""
        return self.inputs[0].shape

    @property
    def output_shape(self) -> tuple[int | str, ...]:
        """Of the first output."""
        return self.outputs[0].shape

    def _run_typed(self, *inputs: npt.NDArray[Any]) -> Any:
        made = self._core.run(*self._as_floats(inputs))
        given = made if len(self.outputs) > 1 else (made,)
        typed = tuple(from_floats(array, port) for array, port in zip(given, self.outputs, strict=True))
        return typed if len(self.outputs) > 1 else typed[0]

    def _run_typed_into(self, *arrays: Any) -> None:
        made = self._run_typed(*arrays[:-1])
        several = len(self.outputs) > 1
        for out, array in zip(
            arrays[-1] if several else arrays[-1:], made if several else (made,), strict=True
        ):
            check_out(out, array)
            out[...] = array

    def _as_floats(self, inputs: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        if len(inputs) != len(self._given):
            names = ", ".join(self._given)
            raise TypeError(f"run takes {len(self._given)} arrays, one for each input: {names}")
        return [to_floats(inputs[n], port) for n, port in zip(self._read, self.inputs, strict=True)]

    @property
    def threads(self) -> int:
        """Threads that share a call."""
        return int(self._core.threads)

    @property
    def memory(self) -> Memory:
        """What the program takes."""
        return Memory(self._core.constant_bytes, self._core.arena_bytes, self._core.alive_bytes)

    def __reduce__(self) -> tuple[Callable[..., "Program"], tuple[str | bytes, dict[str, Any]]]:
        return _reduced(self._core)

    @property
    def kernels(self) -> list[tuple[str, str, str]]:
        """Operation, kernel level and reason of every step, in order."""
        return [(operation, level, why) for operation, level, _, why in self._core.steps]

    @property
    def kernel_level(self) -> str:
        """The level that runs the first matrix product."""
        products = ("fully_connected", "convolution")
        matrix = [level for operation, level, _ in self.kernels if operation.endswith(products)]
        return matrix[0] if matrix else "portable"

    def profile(self, *inputs: npt.NDArray[Any], repeats: int = 100) -> list[StepTime]:
        """Return what each step takes on one thread for all samples, the best of `repeats`."""
        seconds, rows = self._core.profile(tuple(self._as_floats(inputs)), repeats), self._rows(inputs)

        def scaled(facts: Sequence[Any], rows: int) -> list[Any]:
            work, products, done, outputs, weights, moved = facts
            return [work * rows, products * rows, done * rows, outputs * rows, weights, moved * rows]

        return [
            StepTime(value, operation, level, why, time, unit, *scaled(facts, rows))
            for (operation, level, value, why), (unit, *facts), time in zip(
                self._core.steps, self._core.work, seconds, strict=True
            )
        ]

    def trace(self, *inputs: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        """Return every step's result by the name of the graph's value, in its shape: codes or numbers.

        What lies inside an operator that is made of others has no name in the graph, and is left out. Samples
        that are computed one by one lie one after another along the axis that the graph leaves open; of a
        program file, which does not say it, along the first.
        """
        core = self._tracing() if self._core.merges_codes else self._core
        made = core.trace(tuple(self._as_floats(inputs)))
        steps = zip(core.steps, made, strict=True)
        named = ((value, array) for (_, _, value, _), (_, _, array) in steps)
        return shown(named, self._traced, self._rows(inputs))

    def _tracing(self) -> _core.Program:
        """Return the same program with all codes in planes, which tell equal levels apart; loaded once."""
        if self._in_planes is None:
            source, options = _source(self._core.origin)
            apart = {**options, "path": _IN_PLANES}
            made = Program.open(source, **apart) if isinstance(source, bytes) else Program(source, **apart)
            self._in_planes = made._core
        return self._in_planes

    def _rows(self, inputs: Sequence[npt.NDArray[Any]]) -> int:
        return len(inputs[self._read[0]]) if self.by_rows else 1


def _reduced(core: Any) -> tuple[Callable[..., "Program"], tuple[str | bytes, dict[str, Any]]]:
    source, options = _source(core.origin)
    return _restored, (to_text(source) if isinstance(source, Graph) else source, options)


_READ_AGAIN = hasattr(os, "pread")  # elsewhere an open file could not be replaced


def _kept(path: str | os.PathLike[str]) -> KeptFile | bytes:
    """Return what a path's bytes can be had of later: the open file, or these themselves."""
    return KeptFile(path) if _READ_AGAIN else read_file(path)


def kept_file(source: object) -> KeptFile | None:
    """Return the open file of a path of our own format, of which programs keep no graph; else None."""
    if not _READ_AGAIN or not isinstance(source, str | os.PathLike) or not format_of(source).hashed:
        return None
    return KeptFile(source)


def give_back(program: Program) -> None:
    """Give the system what loading a large program has left free."""
    if program.memory.constants >= _LARGE:
        _core.give_back()


_LARGE = 1 << 22


def _content(origin: KeptFile | bytes) -> bytes:
    return origin if isinstance(origin, bytes) else origin.read()


def _source(origin: tuple[Any, dict[str, Any]]) -> tuple[Graph | bytes, dict[str, Any]]:
    """Return the graph, or the content of a program file, that a program was made of; and its options."""
    source, options = origin
    if not isinstance(source, KeptFile):
        return source, options
    content = source.read()
    return content if is_program(content) else read_bytes(content), options


# A pickle of `run` names the core's program and the attribute; a `Program` has that too.
copyreg.pickle(_core.Program, _reduced)  # type: ignore[arg-type]


def _restored(source: str | bytes, options: dict[str, Any]) -> Program:
    """Return a program from what a pickle holds: text or a file, read like any other; nothing that runs."""
    if isinstance(source, bytes):
        return Program.open(source, **options)
    graph = from_text(source, "a pickled program")
    verify(graph)
    return Program(graph, **options)


def _port(described: tuple[str, str, Sequence[str], Sequence[int]]) -> Port:
    name, dtype, shape, lengths = described
    axes = tuple(int(length) if length.isdecimal() else length for length in shape)
    return Port(name, dtype, axes, tuple(lengths))


def _build(planned: ProgramPlan, options: Options, name: str) -> _core.Program:
    features = [prod(port.lengths) for port in planned.inputs]
    loader = _core.Loader(features, options.kernels, budget(), options.path)
    try:
        for step, result in zip(planned.steps, planned.results, strict=True):
            loader.take(step.nbytes)
            loader.add(step, result.value, result.why)
        return loader.finish(list(planned.numbers), _axes(planned), planned.by_rows, *options.workers)
    except EngineError as error:
        if error.remedy:
            raise
        facts = {"expected": error.expected, "found": error.found, "remedy": REMEDY}
        raise EngineError(error.message, where=f"{name}/{error.where}", **facts) from error


def _axes(planned: ProgramPlan) -> list[tuple[str, list[int]]]:
    """Return what messages call each input and output, and the axes of its array."""
    named = []
    for kind, ports in (("input", planned.inputs), ("output", planned.outputs)):
        for port in ports:
            where = kind if len(ports) == 1 else f"{kind} {port.name}"
            named.append((where, [1, *port.lengths] if planned.batched else list(port.lengths)))
    return named
