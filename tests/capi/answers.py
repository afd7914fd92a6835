"""The C library of another machine: it runs in an emulator, and answers as the back end does.

``LOWBIT_ANSWERS`` is the command that starts ``answers.c``; scripts/aarch64 says it.
"""

import atexit
import os
import shlex
import struct
import subprocess
from functools import cache
from typing import IO

import numpy as np

from lowbit.backends.backend import Runner, named
from lowbit.backends.library import _ERRORS, _TRACED, empty_rows, given_rows
from lowbit.engine.traces import Traced, code_table, shown
from lowbit.ir import Graph
from lowbit.ir.graph import Array
from lowbit.program.file import content_of, network_of

COMMAND = os.environ.get("LOWBIT_ANSWERS", "")
LEVELS = ("portable", "neon", "neon_dot", "neon_i8mm") if COMMAND else ()
"""Of kernels, that it is asked for; none where there is no emulator."""


@cache
def _pipes() -> tuple[IO[bytes], IO[bytes]]:
    started = subprocess.Popen(shlex.split(COMMAND), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(started.communicate)
    assert started.stdin and started.stdout
    return started.stdin, started.stdout


def load(graph: Graph, *, kernels: str = "") -> Runner:
    """Return the runner of a verified graph, as the back end ``library`` has one.

    Raises:
        LowbitError: what the library says.
    """
    network, content = network_of(graph), content_of(graph)
    traced = {
        step.value: Traced(
            step.shape, step.type, code_table(step.least, step.codes, step.type), network.batched
        )
        for step in network.steps
        if step.type
    }

    def ask(*inputs: Array) -> tuple[tuple[Array, ...], dict[str, Array]]:
        given, rows = given_rows(network, named(graph, inputs))
        outputs, steps = _answer(kernels, content, rows, given)
        made = [empty_rows(network, port, rows) for port in network.outputs]
        for array, found in zip(made, outputs, strict=True):
            array[...] = np.frombuffer(found, array.dtype).reshape(array.shape)
        read = [(name, np.frombuffer(of, _TRACED[kind]).reshape(rows, -1)) for name, kind, of in steps]
        return tuple(made), {**named(graph, inputs), **shown(read, traced, rows)}

    return Runner(lambda *inputs: ask(*inputs)[0], lambda *inputs: ask(*inputs)[1])


def _answer(
    kernels: str, content: bytes, rows: int, given: list[Array]
) -> tuple[list[bytes], list[tuple[str, int, bytes]]]:
    """Return the outputs, and name, type and numbers of every step."""
    into, out = _pipes()

    def number() -> int:
        return int(struct.unpack("<Q", out.read(8))[0])

    def text() -> bytes:
        return out.read(number())

    parts = [kernels.encode(), content, None, *(array.tobytes() for array in given)]
    for part in parts:
        into.write(
            struct.pack("<QQ", rows, len(given)) if part is None else struct.pack("<Q", len(part)) + part
        )
    into.flush()
    status = number()
    if status:
        raise _ERRORS[status - 1](text().decode(), where="liblowbit")
    outputs = [text() for _ in range(number())]
    steps = []
    while number():
        steps.append((text().decode(), number(), text()))
    return outputs, steps
