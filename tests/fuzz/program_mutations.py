"""Mutated program files, opened and run: an error of ours or a result, in a child that may not die.

    python -m tests.fuzz.program_mutations --count 20000 [--seed 0] [--json FILE]

Hashes are made right again, so that what is behind them is met: lengths, numbers of arrays and of values,
names, and the constants of steps. cpp/fuzz has the same for libFuzzer.
"""

import argparse
import json
import random
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from lowbit.engine import Program
from lowbit.errors import LowbitError
from lowbit.formats import without_unused_inputs
from lowbit.formats.onnx import from_proto
from lowbit.ir import OPERATORS, Graph
from lowbit.program import Port, file
from lowbit.quantization import to_fixed_point
from lowbit.zoo import trained
from tests.backends.support import examples
from tests.conformance.odd_graphs.families import FAMILIES, draw
from tests.fuzz.mutators import NETWORKS

INTEGERS = (0, 1, 2, 3, 7, 16, 64, 255, 256, 65535, 1 << 20, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
WIDE = (*INTEGERS, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
REALS = (0.0, -1.0, 1e30, 1e-40, float("nan"), float("inf"))
MEMORY = 1 << 26
ARENA = 1 << 20  # of a program that is worth running
ROWS = 2
BATCH = 500  # files of one child


def rehashed(content: bytes) -> bytes:
    """Return a file with the size and the hash of its content."""
    fixed = bytearray(content)
    if len(fixed) < 64:
        return bytes(fixed)
    struct.pack_into("<Q", fixed, 16, len(fixed))
    fixed[32:64] = blake2b(bytes(fixed[:32] + fixed[64:]), digest_size=32).digest()
    return bytes(fixed)


def mutated(good: bytes, seed: int) -> bytes:
    """Return a file with one or two changes in its tables, records and constants, rightly hashed."""
    generator, bad = random.Random(seed), bytearray(good)  # noqa: S311
    sections, records = struct.unpack_from("<II", good, 24)
    first = 64 + 64 * sections
    for _ in range(generator.randint(1, 2)):
        kind = generator.randrange(8)
        if kind == 0:
            at = generator.randrange(first, first + records)
            bad[at] = generator.randrange(256)
        elif kind == 1:
            at = generator.randrange(first, first + records - 8)
            struct.pack_into("<I", bad, at, generator.choice(INTEGERS))
        elif kind == 2:
            at = generator.randrange(first, first + records - 8)
            struct.pack_into("<Q", bad, at, generator.choice(WIDE))
        elif kind == 3:
            at = generator.randrange(first, first + records - 8)
            struct.pack_into("<d", bad, at, generator.choice(REALS))
        elif kind == 4 and sections:
            at = 64 + 64 * generator.randrange(sections) + 8 * generator.randrange(8)
            struct.pack_into("<Q", bad, at, generator.choice(WIDE))
        else:
            at = generator.randrange(64, len(bad) - 4)
            struct.pack_into("<I", bad, at, generator.choice(INTEGERS))
    return rehashed(bytes(bad))


def graphs() -> Iterator[Graph]:
    """Yield small networks, odd ones of every family, one in fixed point, examples of every operator."""
    for make in NETWORKS.values():
        yield make()
    for family in FAMILIES:
        with suppress(LowbitError):
            yield without_unused_inputs(from_proto(draw(family, 3).model))
    yield to_fixed_point(trained("digits"), 6, 7)
    for operator in OPERATORS.values():
        for _, graph in examples(operator):
            yield graph


def write_good(folder: Path) -> None:
    """Write the program files of all these networks that the engine runs."""
    for number, graph in enumerate(graphs()):
        with suppress(LowbitError):
            (folder / f"{number}.lbp").write_bytes(file.content_of(graph))


def _shape(program: Program, port: Port) -> tuple[int, ...]:
    """Return the shape of what a call gives an input."""
    if len(port.shape) > len(port.lengths):  # the batch comes first
        return (ROWS, *port.lengths)
    return (ROWS, *port.lengths[1:]) if program.by_rows else port.lengths


def attempt(content: bytes) -> str:
    """Return what became of a file."""
    try:
        program = Program.open(content, memory=MEMORY)
    except LowbitError as error:
        return error.code
    if program.memory.arena > ARENA:
        return "loaded"
    try:
        samples = [np.ones(_shape(program, port), port.dtype) for port in program.inputs]
        program.run(*samples)
        program.trace(*samples)
    except LowbitError as error:
        return f"run: {error.code}"
    return "ran"


def child(folder: Path, first: int, count: int) -> None:
    """Open mutations of a folder's files, saying the number of each before and the outcome after."""
    files = [path.read_bytes() for path in sorted(folder.iterdir())]
    for seed in range(first, first + count):
        print(json.dumps({"seed": seed}), flush=True)  # noqa: T201
        print(json.dumps({"outcome": attempt(mutated(files[seed % len(files)], seed))}), flush=True)  # noqa: T201


def run(folder: Path, count: int, seed: int) -> tuple[Counter[str], list[int]]:
    """Return how often each outcome was, and the seeds of files that ended their child."""
    outcomes: Counter[str] = Counter()
    fatal: list[int] = []
    at = seed
    while at < seed + count:
        size = min(BATCH, seed + count - at)
        words = ["--child", str(at), str(size), "--files", str(folder)]
        command = [sys.executable, "-m", "tests.fuzz.program_mutations", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        outcomes.update(line["outcome"] for line in lines if "outcome" in line)
        begun = sum("seed" in line for line in lines)
        if done.returncode:
            fatal.append(at + begun - 1)
            print(f"seed {fatal[-1]}: {done.returncode}\n{done.stderr[-2000:]}", file=sys.stderr)  # noqa: T201
        at += max(begun, 1) if done.returncode else size
    return outcomes, fatal


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", type=int, nargs=2)
    parser.add_argument("--files", type=Path, help="mutate the files of this folder")
    parser.add_argument("--write", type=Path, help="write the good files to this folder, and end")
    options = parser.parse_args()
    if options.child:
        child(options.files, *options.child)
        return 0
    if options.write:
        write_good(options.write)
        return 0
    with TemporaryDirectory() as made:
        if options.files is None:
            write_good(Path(made))
        outcomes, fatal = run(options.files or Path(made), options.count, options.seed)
    report = {"files": options.count, "seed": options.seed, "outcomes": dict(outcomes), "fatal": fatal}
    print(json.dumps(report, indent=2))  # noqa: T201
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 1 if fatal else 0


if __name__ == "__main__":
    sys.exit(main())
