"""The C library on the network's program file: what runs without Python, called through its C API."""

import ctypes
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from lowbit.backends.backend import Runner, named
from lowbit.engine import _core
from lowbit.engine.traces import Traced, code_table, samples_axis, shown
from lowbit.errors import (
    DataError,
    EngineError,
    LowbitError,
    ModelFormatError,
    TooLargeError,
    UnsupportedError,
)
from lowbit.ir import Graph
from lowbit.ir.graph import Array
from lowbit.program.file import Network, Port, blockers, content_of, network_of

__all__ = ["blockers", "library", "load"]

_ERRORS: tuple[type[LowbitError], ...] = (
    ModelFormatError,
    UnsupportedError,
    TooLargeError,
    DataError,
    DataError,
    EngineError,
)
"""Of a status, which begins with 1."""

_TRACED = {0: np.float32, 4: np.uint8, 5: np.int16}
"""What a trace gives, by ``lowbit_type``."""

_Visit = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p
)


class Options(ctypes.Structure):
    """``lowbit_options``."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("threads", ctypes.c_size_t),
        ("memory", ctypes.c_size_t),
        ("kernels", ctypes.c_char_p),
        ("pin_workers", ctypes.c_int),
        ("codes_apart", ctypes.c_int),
    )


@cache
def library() -> ctypes.CDLL:
    """Return the C library that this package brings along.

    Raises:
        EngineError: it is not there.
    """
    folder = Path(_core.__file__ or "").parent
    found = sorted(folder.glob("liblowbit.*"))
    if not found:
        raise EngineError(
            "the C library is not beside the engine",
            where=str(folder),
            expected="liblowbit.so",
            remedy="Install lowbit again, from a wheel or its sources.",
        )
    made = ctypes.CDLL(str(found[0]))
    made.lowbit_error.restype = made.lowbit_version.restype = made.lowbit_note.restype = ctypes.c_char_p
    made.lowbit_close.restype = None
    return made


def load(graph: Graph, /, *, threads: int = 1, kernels: str = "", memory: int = 0) -> Runner:
    """Return the runner of a verified graph.

    Args:
        graph: what to run.
        threads: that share a call.
        kernels: the highest level of kernels; the best one when empty.
        memory: bytes that it may take; what the library has for that when 0.

    Raises:
        EngineError: the engine does not run it: everything that is in the way.
        UnsupportedError: lengths are open.
        TooLargeError: it would take more memory than it may.
    """
    network, content = network_of(graph), content_of(graph)

    def opened(*, codes_apart: bool) -> _Opened:
        level = kernels.encode() or None
        return _Opened(content, Options(ctypes.sizeof(Options), threads, memory, level, 0, codes_apart))

    program, tracing = opened(codes_apart=False), cache(partial(opened, codes_apart=True))
    traced = {
        step.value: Traced(
            step.shape,
            step.type,
            code_table(step.least, step.codes, step.type),
            network.batched,
            samples_axis(graph.value(step.value).shape) if step.value in graph.values else 0,
        )
        for step in network.steps
        if step.type
    }

    def run(*inputs: Array) -> tuple[Array, ...]:
        given, rows = given_rows(network, named(graph, inputs))
        made = [empty_rows(network, port, rows) for port in network.outputs]
        program.call("lowbit_run", rows, _pointers(given), _pointers(made))
        return tuple(made)

    def trace(*inputs: Array) -> dict[str, Array]:
        given, rows = given_rows(network, named(graph, inputs))
        made: list[tuple[str, Array]] = []

        def visit(_: object, name: bytes, kind: int, elements: int, at: int) -> None:
            dtype = np.dtype(_TRACED[kind])
            content = ctypes.string_at(at, rows * elements * dtype.itemsize)
            made.append((name.decode(), np.frombuffer(content, dtype).reshape(rows, elements)))

        tracing().call("lowbit_trace", rows, _pointers(given), _Visit(visit), None)
        return {**named(graph, inputs), **shown(made, traced, rows)}

    return Runner(run, trace)


class _Opened:
    """A program of the library, which goes with this object."""

    def __init__(self, content: bytes, options: Options) -> None:
        self._library, self._program = library(), ctypes.c_void_p()
        size = ctypes.c_size_t(len(content))
        self._check(
            self._library.lowbit_open_memory(
                content, size, ctypes.byref(options), ctypes.byref(self._program)
            )
        )
        self._close: Callable[..., Any] = self._library.lowbit_close

    def __del__(self) -> None:
        if getattr(self, "_close", None):
            self._close(self._program)

    def call(self, function: str, rows: int, *arguments: Any) -> None:
        """Call a function of the library on the program.

        Raises:
            LowbitError: what it says.
        """
        self._check(getattr(self._library, function)(self._program, ctypes.c_size_t(rows), *arguments))

    def _check(self, status: int) -> None:
        if status:
            raise _ERRORS[status - 1](self._library.lowbit_error().decode(), where="liblowbit")


def given_rows(network: Network, inputs: dict[str, Array]) -> tuple[list[Array], int]:
    """Return the arrays that the program reads, dense and of its types, and how many rows they are.

    Raises:
        DataError: they do not have its shapes.
    """
    given, counts = [], set()
    for port in network.inputs:
        array = inputs[port.name]
        if np.can_cast(array.dtype, port.type, "same_kind"):  # else it is refused below
            array = np.require(array, port.type, ("C", "A"))
        axes = (1, *port.lengths) if network.batched else port.lengths
        first = 1 if network.by_rows else 0
        counts.add(len(array) if network.by_rows and array.ndim else 1)
        shaped = array.ndim == len(axes) and array.shape[first:] == tuple(axes[first:])
        if array.dtype != port.type or not shaped or len(counts) > 1:
            expected = f"{port.type} [{', '.join(map(str, port.shape))}], as many samples of each"
            raise DataError(
                "the array does not fit the network",
                where=port.name,
                expected=expected,
                found=f"{array.dtype} {list(array.shape)}",
            )
        given.append(array)
    return given, counts.pop()


def empty_rows(network: Network, port: Port, rows: int) -> Array:
    """Return an array for that many rows of an output, as the network has it."""
    axes = (rows, *port.lengths) if network.batched else port.lengths
    return np.empty((rows, *axes[1:]) if network.by_rows else axes, port.type)


def _pointers(arrays: Sequence[Array]) -> Any:
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
