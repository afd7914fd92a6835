"""``lowbit compile net.circle -o net.c``: sizes and limits first, then the files, whole or none."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from lowbit.blockers import grouped, listed, remedies
from lowbit.c99.inputs import whole_input
from lowbit.c99.source import Source, identifier, source_of
from lowbit.c99.table import fixed_plan, refused, without_softmax
from lowbit.errors import PlanError, UnsupportedError
from lowbit.ir import Graph
from lowbit.untrusted import read_start, require_writable, write_atomic


def generated(
    graph: Graph, name: str, *, given: str = "", integers: bool = False, traced: bool = False
) -> Source:
    """Return a verified graph as C.

    Args:
        graph: the network.
        name: an identifier that all its names begin with.
        given: what goes in: one of `lowbit.c99.inputs.CHOICES`, or empty.
        integers: whether inputs and outputs are integers.
        traced: see `lowbit.c99.source.source_of`.

    Raises:
        EngineError: what cannot be planned, all of it.
        UnsupportedError: what C99 does not have, all of it; or open lengths.
    """
    whole = whole_input(graph, given, integers=integers)
    planned = fixed_plan(graph)
    if integers:
        planned = without_softmax(planned)
    found = grouped(refused(graph, planned, whole, integers=integers))
    if found:
        raise UnsupportedError(
            f"{len(found)} things keep this network from C99",
            where=graph.name,
            expected=found[0].expected,
            found=listed(found),
            remedy=remedies(found),
        )
    return source_of(graph, planned, name, whole, integers=integers, traced=traced)


def write(
    graph: Graph,
    path: str | os.PathLike[str],
    *,
    say: Callable[[str], None] | None = None,
    input: str = "",
    integer_output: bool = False,
    flash: int = 0,
    ram: int = 0,
) -> dict[str, int]:
    """Write a verified graph as ``net.c``, ``net.h`` beside it and a ``Makefile``, all or none.

    A ``Makefile`` that is there already and not of lowbit stays as it is, and `say` is told so.

    Args:
        graph: the network.
        path: of the ``.c`` file; its stem made an identifier begins the names in it.
        say: is told what it takes, before anything is written.
        input: what goes in: ``float``, or ``pixels``, bytes that stand for pixel / 255; empty: what the
            network declares, else floats, or with `integer_output` pixels.
        integer_output: integers throughout: scores are int32 of one scale, in the order of the real ones, and
            a softmax at the end is left out.
        flash, ram: bytes that must not be exceeded; 0: any number.

    Returns:
        Bytes: ``weights``, ``constants``, ``code``, ``flash``, ``ram`` and ``stack``; code and stack are
        estimates.

    Raises:
        EngineError: what cannot be planned, all of it.
        UnsupportedError: what C99 does not have, all of it.
        PlanError: it exceeds a limit; by how much, and by which layer most of all.
        WriteError: a path cannot be written.
    """
    target = Path(path)
    source = generated(graph, identifier(target.stem), given=input, integers=integer_output)
    sizes = sizes_of(source)
    for line in _lines(sizes):
        _tell(say, line)
    if not source.proved:
        _tell(say, "scores: their order is not proved for all sums; two within 2^-29 of the range may tie")
    _check_limits(
        source,
        ("flash", sizes["flash"], flash, source.largest),
        ("RAM", sizes["ram"], ram, source.busiest),
    )
    # A name that no string of C holds is that of the identifiers.
    header = target.with_suffix(".h") if target.stem.isprintable() and not {*'"\\'} & {*target.stem} else None
    header = header or target.with_name(f"{source.name}.h")
    files = {
        target: source.code.replace(f'#include "{source.name}.h"', f'#include "{header.name}"', 1),
        header: source.header,
    }
    makefile = target.with_name("Makefile")
    if not _PLAIN.fullmatch(target.stem):
        _tell(say, f"no Makefile: make takes no file of the name {target.name!r}")
    elif makefile.exists() and read_start(makefile, len(_MADE)) != _MADE:
        _tell(say, f"{makefile} is not of lowbit and stays as it is")
    else:
        escaped = target.stem.replace(" ", "\\ ")
        files[makefile] = _MADE.decode() + _MAKEFILE.format(stem=target.stem, escaped=escaped)
    for each in files:
        require_writable(each)
    for each, text in files.items():
        write_atomic(each, text.encode())
    return sizes


def _tell(say: Callable[[str], None] | None, line: str) -> None:
    if say is not None:
        say(line)


def _lines(sizes: dict[str, int]) -> tuple[str, str]:
    return (
        f"flash {sizes['flash']:,} bytes: weights {sizes['weights']:,}, other constants "
        f"{sizes['constants']:,}, code about {sizes['code']:,}",
        f"RAM {sizes['ram']:,} bytes in one static arena; stack about {sizes['stack']:,} bytes",
    )


def sizes_of(source: Source) -> dict[str, int]:
    """Return bytes of weights, other constants, code, all of these in flash, RAM, and stack."""
    flash = source.weights + source.constants + source.code_size
    return {
        "weights": source.weights,
        "constants": source.constants,
        "code": source.code_size,
        "flash": flash,
        "ram": source.arena,
        "stack": _STACK,
    }


def _check_limits(source: Source, *limits: tuple[str, int, int, tuple[str, int]]) -> None:
    over = [each for each in limits if each[2] and each[1] > each[2]]
    if over:
        raise PlanError(
            f"the network takes more {' and '.join(what for what, *_ in over)} than there is",
            where=source.name,
            expected=", ".join(f"at most {limit:,} bytes of {what}" for what, _, limit, _ in over),
            found=", ".join(
                f"{taken:,} bytes, {taken - limit:,} too many; most for {name}: {most:,} bytes"
                for _, taken, limit, (name, most) in over
            ),
            remedy="Use fewer bits or smaller layers, or raise the limit.",
        )


_STACK = 160  # the three deepest functions of 30 networks take 40 to 120 bytes


_PLAIN = re.compile(r"[A-Za-z0-9_.-]+( [A-Za-z0-9_.-]+)*")
_MADE = b"# Made by lowbit compile."

_MAKEFILE = """ Such as:
#   make CC=arm-none-eabi-gcc CFLAGS="-mcpu=cortex-m0 -mthumb -Os"
CC ?= cc
CFLAGS ?= -O2
override CFLAGS += -std=c99 -ffreestanding -ffp-contract=off -Wall -Wextra -Wpedantic

{escaped}.o: {escaped}.c {escaped}.h
\t$(CC) $(CFLAGS) -c "{stem}.c" -o "{stem}.o"

clean:
\trm -f "{stem}.o"
.PHONY: clean
"""
