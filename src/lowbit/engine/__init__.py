"""The engine: a planned network in C++, called from Python.

    program = Program(graph)
    program.run(x)             # float32 [n, ...] -> float32 [n, ...], a new array
    program.run_into(x, out)   # the same into an array of yours, without an allocation

``run`` and ``run_into`` are built-in functions and take only contiguous float32 arrays of the network's
shape, without NaN: anything else is refused, never misread (then ``out`` may be half written). Infinity is a
number and takes the outermost code. NaN that a network makes itself, as zero over zero, stays NaN among
floats and has the lowest code where it meets an encoder.

Kernels are chosen at load for this machine; the environment variable ``LOWBIT_KERNELS``, or ``kernels=``,
forces a level as an upper bound. ``LOWBIT_PIN_WORKERS=1`` keeps worker threads off the caller's processor.
"""

import copyreg
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.budget import RAISE, allowed, budget
from lowbit.engine import _core
from lowbit.errors import EngineError, TooLargeError
from lowbit.ir import Graph, from_text, to_text, verify
from lowbit.program import REMEDY, ProgramPlan, Step, plan

Floats = npt.NDArray[np.float32]

__all__ = ["Memory", "Program", "StepTime", "check_threads", "kernel_levels", "measure_peak"]


def check_threads(threads: int) -> None:
    """Refuse what is no number of threads.

    Raises:
        EngineError: it is not.
    """
    if not isinstance(threads, int | np.integer) or threads < 1:
        raise EngineError(
            "that many threads cannot be used", where="threads", expected="1 or more", found=repr(threads)
        )


def kernel_levels() -> list[str]:
    """Return the kernel levels that this machine can run, plainest first."""
    return list(_core.levels())


def measure_peak(level: str = "") -> dict[str, float]:
    """Return multiply-adds per second of one core, in registers alone.

    ``popcount``: binary, word by word; ``pairs``: binary, one popcount for two words, where kernels do that;
    ``dot``: bytes, where the level has an instruction for them.

    Raises:
        EngineError: the level is unknown or not available here.
    """
    return dict(_core.measure_peak(level))


@dataclass(frozen=True)
class StepTime:
    """One step of a program, measured.

    Attributes:
        value: the name of the graph's value that it makes.
        operation: of the engine.
        kernel: the level of the kernel that ran.
        why: why this operation was chosen, where there was a choice.
        seconds: for the whole batch.
        unit: the peak that bounds its products: ``popcount``, ``dot``, ``float``, or none.
        work: multiply-adds of that unit for the whole batch.
    """

    value: str
    operation: str
    kernel: str
    why: str
    seconds: float
    unit: str
    work: float


@dataclass(frozen=True)
class Memory:
    """What a program takes, in bytes.

    Attributes:
        constants: weights, thresholds and tables.
        arena: values of one block of samples, for all threads; they share their places over time.
    """

    constants: int
    arena: int


class Program:
    """A network ready to run. Safe to call from several threads; calls run one after another.

    It and its `run` can be pickled and copied: the copy is planned again from the network's text form, for
    the machine where it is made. After a fork the child runs it on one thread.

    Attributes:
        run: ``run(x)`` returns the network's output for float32 ``x [n, ...]``.
        run_into: ``run_into(x, out)`` writes it into ``out``.
        input_shape, output_shape: the batch first, a name where it is open.
    """

    run: Callable[[Floats], Floats]
    run_into: Callable[[Floats, Floats], None]

    def __init__(
        self,
        graph: Graph,
        *,
        threads: int = 1,
        kernels: str = "",
        plane_pairs: int | None = None,
        memory: str | int | None = None,
        pin_workers: bool = False,
    ) -> None:
        """Plan and load a graph.

        Args:
            graph: verified, with one input and one output.
            threads: that share a call; they wait for work by spinning briefly, then sleep.
            kernels: the highest kernel level to use; the best one when empty.
            plane_pairs: see `lowbit.program.plan`; what is faster with these kernels when None.
            memory: the most that it may take: bytes, or ``"8G"``; `lowbit.budget.budget` when None.
            pin_workers: keep worker threads off the caller's processor, where Linux likes to wake them and
                they would wait for it. Not by default: it surprises other libraries of the process.

        Raises:
            EngineError: the engine does not run this graph, or the level is not available.
            TooLargeError: it would take more memory than it may; nothing was taken.
        """
        check_threads(threads)
        pairs = (
            (_plane_pairs(kernels), _convolution_pairs(kernels)) if plane_pairs is None else (plane_pairs,)
        )
        with allowed(memory):
            try:
                planned = plan(graph, *pairs)
                self._core = _build(planned, threads, kernels, pin_workers, graph.name)
            except MemoryError as error:
                what, remedy = "the machine lacks the memory for the program", "Use a smaller network."
                raise TooLargeError(what, where=graph.name, remedy=remedy) from error
        self.input_shape, self.output_shape = planned.input_shape, planned.output_shape
        self._graph = graph.copy()
        self._options: dict[str, Any] = {
            "threads": threads,
            "kernels": kernels,
            "plane_pairs": plane_pairs,
            "memory": memory,
            "pin_workers": pin_workers,
        }
        self._results, self._codes = planned.results, planned.codes  # constants are the core's alone
        self._core.origin = self._graph, self._options  # so that `run` alone can be pickled, for a pool
        # Kept as attributes: a Python method around them would cost a tenth of a small call.
        self.run, self.run_into = self._core.run, self._core.run_into

    @property
    def threads(self) -> int:
        """Threads that share a call."""
        return int(self._core.threads)

    @property
    def memory(self) -> Memory:
        """What the program takes."""
        return Memory(self._core.constant_bytes, self._core.arena_bytes)

    def __reduce__(self) -> tuple[Callable[..., "Program"], tuple[str, dict[str, Any]]]:
        return _reduced(self._core)

    @property
    def kernels(self) -> list[tuple[str, str, str]]:
        """Operation, kernel level and reason of every step, in order."""
        return [
            (operation, level, result.why)
            for (operation, level), result in zip(self._core.steps, self._results, strict=True)
        ]

    @property
    def kernel_level(self) -> str:
        """The level that runs the first matrix product."""
        products = ("fully_connected", "convolution")
        matrix = [level for operation, level, _ in self.kernels if operation.endswith(products)]
        return matrix[0] if matrix else "portable"

    def profile(self, x: Floats, repeats: int = 100) -> list[StepTime]:
        """Return what each step takes on one thread for the whole batch, the best of `repeats`."""
        seconds = self._core.profile(x, repeats)
        return [
            StepTime(result.value, operation, level, result.why, time, unit, work * len(x))
            for result, (operation, level), (unit, work), time in zip(
                self._results, self._core.steps, self._core.work, seconds, strict=True
            )
        ]

    def trace(self, x: Floats) -> dict[str, npt.NDArray[Any]]:
        """Return every step's result by the name of the graph's value, in its shape: codes or floats.

        What lies inside an operator that is made of others has no name in the graph, and is left out.
        """
        arrays: dict[str, npt.NDArray[Any]] = {}
        for result, (_, _, array) in zip(self._results, self._core.trace(x), strict=True):
            if result.value not in self._graph.values:
                continue
            table = self._codes.get(result.value)
            codes = array if table is None else table.of(array)
            arrays[result.value] = codes.reshape(len(x), *result.shape)
        return arrays


def _plane_pairs(kernels: str) -> int:
    """Return up to how many pairs of planes counting bits beats summing bytes with these kernels.

    Measured on Zen 5 for one sample of 784-680-10 at 3 × 3 bits: 2.6 µs by bits and 4.2 µs by bytes with
    AVX-512, 11.3 and 4.5 with AVX2; elsewhere bytes never win.
    """
    chosen = _core.kernels(kernels)
    if chosen["plane_fully_connected"] == "avx2":
        return 3
    return 9 if chosen["byte_fully_connected"] == "avx512_vnni" else 16


def _convolution_pairs(kernels: str) -> int:
    """Return the same for convolutions, which reuse weights so often that only arithmetic counts.

    The ratio of the peaks (measured on Zen 5: 2.8 T binary and 0.54 T byte products a second); AVX2 has none
    of the instructions, and there bytes win from four pairs on.
    """
    chosen = _core.kernels(kernels)
    if chosen["plane_convolution"] == "avx2":
        return 3
    return 5 if chosen["byte_convolution"] == "avx512_vnni" else 16


def _reduced(core: Any) -> tuple[Callable[..., "Program"], tuple[str, dict[str, Any]]]:
    graph, options = core.origin
    return _restored, (to_text(graph), options)


# A pickle of `run` names the core's program and the attribute; a `Program` has that too.
copyreg.pickle(_core.Program, _reduced)  # type: ignore[arg-type]


def _restored(text: str, options: dict[str, Any]) -> Program:
    """Return a program from what a pickle holds: text that is read like any file, and nothing that runs."""
    graph = from_text(text, "a pickled program")
    verify(graph)
    return Program(graph, **options)


def _build(planned: ProgramPlan, threads: int, kernels: str, pinned: bool, name: str) -> Any:
    input_shape, output_shape = _sample_shape(planned.input_shape), _sample_shape(planned.output_shape)
    builder = _core.Builder(prod(input_shape), kernels, budget())
    try:
        for step, result in zip(planned.steps, planned.results, strict=True):
            _add(builder, step, f"{name}/{result.value}")
        return builder.finish(planned.output, input_shape, output_shape, threads, pinned)
    except TooLargeError as error:
        remedy = f"{RAISE}8G or memory='8G'; or use fewer threads."
        facts = {"where": name, "expected": error.expected, "found": error.found, "remedy": remedy}
        raise TooLargeError(error.message, **facts) from None


def _add(builder: _core.Builder, step: Step, where: str) -> None:
    builder.take(step.nbytes)
    try:
        builder.add(step)
    except EngineError as error:
        raise EngineError(
            f"the engine does not run this {type(step).__name__}",
            where=where,
            expected=error.expected,
            found=error.found,
            remedy=REMEDY,
        ) from error


def _sample_shape(shape: tuple[int | str, ...]) -> list[int]:
    lengths = [length for length in shape[1:] if isinstance(length, int)]
    if len(lengths) != len(shape) - 1:
        raise EngineError(
            "the engine needs the shape of a sample",
            expected="[n, …] with every length but the first known",
            found=str(shape),
            remedy="Export the network with fixed shapes.",
        )
    return lengths
