"""The network's C99, compiled with this machine's C compiler and called."""

import ctypes
import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

import numpy as np

from lowbit.backends.backend import Runner, named
from lowbit.backends.library import empty_rows, given_rows
from lowbit.c99 import blockers
from lowbit.c99.source import Source
from lowbit.c99.table import PLANE_PAIRS
from lowbit.c99.target import generated
from lowbit.engine.traces import Traced, code_table, shown
from lowbit.errors import EngineError
from lowbit.ir import Graph
from lowbit.ir.graph import Array
from lowbit.program.file import network_of

__all__ = ["blockers", "compiled", "compiler", "load"]

_FLAGS = ("-std=c99", "-O1", "-ffp-contract=off", "-fPIC", "-shared", "-w")
_TYPES = {
    "uint8_t": np.uint8,
    "half_t": np.uint16,
    "uint32_t": np.uint32,
    "word_t": np.int16,
    "real_t": np.float32,
}
_Visit = ctypes.CFUNCTYPE(None, ctypes.c_int32, ctypes.c_void_p)


def compiler() -> list[str]:
    """Return the command of the C compiler: that of the variable CC, or the first that there is.

    Raises:
        EngineError: there is none.
    """
    asked = shlex.split(os.environ.get("CC", ""))
    found = asked or [name for name in ("cc", "gcc", "clang") if which(name)][:1]
    if not found or not which(found[0]):
        raise EngineError(
            "there is no C compiler to run generated C with",
            where="PATH",
            expected="cc, gcc or clang, or another one in the variable CC",
            found=" ".join(asked) or "none",
            remedy="Install one, or choose another back end.",
        )
    return found


def load(graph: Graph, /, *, threads: int = 1, flags: Sequence[str] = ()) -> Runner:
    """Return the runner of a verified graph, which computes sample after sample.

    Args:
        graph: what to run.
        threads: there is one, whatever is asked for.
        flags: further ones of the compiler.

    Raises:
        UnsupportedError: what keeps it from C99, all of it.
        EngineError: the same of any program, or there is no C compiler.
    """
    del threads
    network, source = (
        network_of(graph, plane_pairs=PLANE_PAIRS),
        generated(graph, "network", given="float", traced=True),
    )
    library = compiled(source, flags)
    traced = {
        step.value: Traced(
            step.shape, step.type, code_table(step.least, step.codes, step.type), network.batched
        )
        for step in network.steps
        if step.type
    }

    def computed(inputs: tuple[Array, ...], show: _Show) -> tuple[Array, ...]:
        given, rows = given_rows(network, named(graph, inputs))
        made = [empty_rows(network, port, rows) for port in network.outputs]
        typed = [(np.ascontiguousarray(array, np.float32), rows) for array in given]
        results = [np.zeros((rows, stored.count), np.float32) for stored in source.outputs]
        for row in range(rows):
            at = [array.reshape(rows, -1)[row] for array, _ in typed]
            visit = _Visit(lambda index, place, row=row: show(row, index, place))
            library.network_trace(
                *(_pointer(each) for each in (*at, *(result[row] for result in results))), visit
            )
        for array, result in zip(made, results, strict=True):
            array.reshape(rows, -1)[...] = result
        return tuple(made)

    def run(*inputs: Array) -> tuple[Array, ...]:
        return computed(inputs, lambda row, index, place: None)

    def trace(*inputs: Array) -> dict[str, Array]:
        found: dict[int, list[Array]] = {}

        def show(row: int, index: int, place: int) -> None:
            stored = source.values[index][0]
            content = ctypes.string_at(place, stored.nbytes)
            found.setdefault(index, []).append(stored.entries(np.frombuffer(content, _TYPES[stored.ctype])))

        outputs = computed(inputs, show)
        made = [(source.values[index][1], np.stack(rows)) for index, rows in found.items()]
        rows = len(next(iter(found.values()), [None]))
        values = shown(made, traced, rows)
        return {**named(graph, inputs), **values, **dict(zip(graph.outputs, outputs, strict=True))}

    return Runner(run, trace)


_Show = Callable[[int, int, int], None]


def _pointer(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def compiled(source: Source, flags: Sequence[str] = ()) -> ctypes.CDLL:
    """Return a program as a library that is gone from the disk already.

    Args:
        source: the program.
        flags: further ones of the compiler.

    Raises:
        EngineError: the compiler refuses it, or there is none.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder)
        name = source.name
        (path / f"{name}.h").write_text(source.header)
        (path / f"{name}.c").write_text(source.code)
        command = [*compiler(), *_FLAGS, *flags, f"{name}.c", "-o", f"{name}.so"]
        done = subprocess.run(command, cwd=path, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise EngineError(
                "the C compiler does not take what was generated",
                where=" ".join(command),
                found=done.stderr[-2000:],
                remedy="This is a fault of lowbit: please report it with the network.",
            )
        return ctypes.CDLL(str(path / f"{name}.so"))
