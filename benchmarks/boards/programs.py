"""What is built for a board and run there: sources, what one inference is, its sizes and counts."""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .machines import HERE, Board

KNOWN_LOOP = 200_000
"""Instructions of the loop of `c/main.c` that proves the counter."""

_MOST_SECONDS = 3600


@dataclass(frozen=True)
class Program:
    """Something that runs.

    Attributes:
        name: of reports.
        sources: in C; sizes are of these files.
        call: C that includes what is needed and defines the buffers and `program_run` of `c/board.h`.
        input, output: their types, as NumPy has them.
        flags: more of them.
    """

    name: str
    sources: tuple[Path, ...]
    call: str
    input: str
    output: str
    flags: tuple[str, ...] = ()

    def of_samples(self, samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return samples as it takes them: pixels in [0, 1] are bytes where it takes bytes."""
        kind = np.dtype(self.input)
        if kind == np.uint8 and samples.dtype != np.uint8:
            samples = np.rint(samples * 255)
        made: npt.NDArray[Any] = samples.astype(kind)
        return made


@dataclass(frozen=True)
class Sizes:
    """Bytes of the program's own sources, and of what the compiler's library adds to it."""

    code: int
    constants: int
    ram: int
    library: int


@dataclass(frozen=True)
class Ran:
    """What a board did.

    Attributes:
        outputs: a row for each sample.
        instructions: mean of a run; `least` and `most` of one.
        stack: bytes of the deepest.
        known_loop: instructions counted of `KNOWN_LOOP`.
    """

    outputs: npt.NDArray[Any] = field(repr=False)
    instructions: float
    least: int
    most: int
    stack: int
    known_loop: int


class BoardError(Exception):
    """A program does not build, does not fit, or stops."""


def generated(source: Path, name: str = "") -> Program:
    """Return the program of a network's generated C, whose header lies beside it.

    Raises:
        BoardError: the header has no function to run the network.
    """
    header = source.with_suffix(".h")
    text = header.read_text()
    found = re.search(r"void\s+(\w+)_run\s*\(\s*const\s+(\w+)[^,]*,\s*(\w+)", text)
    if found is None:
        raise BoardError(f"{header} declares no NAME_run(const INPUT *, OUTPUT *)")
    stem, given, made = found.groups()
    call = f"""#include "{header.name}"
{buffers(given, f"{stem}_INPUT_COUNT", made, f"{stem}_OUTPUT_COUNT")}
void program_run(void) {{ {stem}_run((const {given} *)program_input, ({made} *)program_output); }}
"""
    named: dict[str, str] = {alias: kind for kind, alias in re.findall(r"typedef\s+(\w+)\s+(\w+)\s*;", text)}
    taken, gives = (_NUMPY[named.get(each, each)] for each in (given, made))
    return Program(name or source.stem, (source,), call, taken, gives, (f"-I{source.parent.resolve()}",))


def buffers(given: str, inputs: str, made: str, outputs: str) -> str:
    """Return the definitions of a program's buffers: types in C, and how many of them."""
    sizes = f"sizeof({given}) * ({inputs})", f"sizeof({made}) * ({outputs})"
    return f"""#include "board.h"
uint32_t program_input[({sizes[0]} + 3) / 4], program_output[({sizes[1]} + 3) / 4];
const uint32_t program_input_bytes = {sizes[0]}, program_output_bytes = {sizes[1]};"""


_NUMPY = {
    "float": "<f4",
    "double": "<f8",
    "int8_t": "i1",
    "uint8_t": "u1",
    "int16_t": "<i2",
    "uint16_t": "<u2",
    "int32_t": "<i4",
    "uint32_t": "<u4",
    "int64_t": "<i8",
}


def build(program: Program, board: Board, folder: Path) -> Sizes:
    """Build ``folder/program.elf`` and return its sizes.

    Raises:
        BoardError: it does not compile or does not fit.
    """
    (folder / "call.c").write_text(program.call)
    compiler = f"{board.compiler}gcc"
    plain = [compiler, *(flag for flag in board.flags if not flag.startswith("-Wl,")), *program.flags]
    own = [folder / f"own{number}.o" for number in range(len(program.sources))]
    for source, made in zip(program.sources, own, strict=True):
        _tool([*plain, "-c", str(source), "-o", str(made)])
    support = [folder / "call.c", HERE / "main.c", HERE / board.start]
    for source in support:
        _tool([*plain, *_SUPPORT, f"-I{HERE}", "-c", str(source), "-o", str(folder / f"{source.stem}.o")])
    linked = [*map(str, own), *(str(folder / f"{source.stem}.o") for source in support)]
    ends = [
        "-Wl,--gc-sections",
        f"-Wl,-Map,{folder / 'program.map'}",
        "-lgcc",
        "-o",
        str(folder / "program.elf"),
    ]
    _tool([compiler, *board.flags, *linked, *ends])
    return _sizes((folder / "program.map").read_text())


def _tool(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BoardError(f"{' '.join(command[:1])} failed:\n{done.stderr.strip()[:500]}")


# Its loops are memcpy and memset themselves.
_SUPPORT = ("-ffreestanding", "-fno-tree-loop-distribute-patterns")

_PLACED = re.compile(r"^ (\.[\w.$-]+)\s+0x[0-9a-f]+\s+0x([0-9a-f]+) (\S+)$", re.MULTILINE)


def _sizes(linker_map: str) -> Sizes:
    placed = linker_map.split("Linker script and memory map", 1)[1].split(".debug", 1)[0]
    found = {"code": 0, "constants": 0, "ram": 0, "library": 0}
    for section, size, file in _PLACED.findall(placed):
        kind = section.split(".")[1]
        if "libgcc.a" in file or "libm.a" in file:
            found["library"] += int(size, 16)
        elif re.search(r"/own\d+\.o$", file):
            if kind == "text":
                found["code"] += int(size, 16)
            elif kind in ("rodata", "srodata"):
                found["constants"] += int(size, 16)
            elif kind in ("data", "sdata", "bss", "sbss"):
                found["ram"] += int(size, 16)
    return Sizes(**found)


def run(program: Program, board: Board, samples: npt.NDArray[Any], folder: Path) -> Ran:
    """Run the built program over samples, already of the type that it takes.

    Raises:
        BoardError: it stops, takes too long, or does not take all samples.
    """
    (folder / "in.bin").write_bytes(np.ascontiguousarray(samples).tobytes())
    counting = ["-icount", "shift=0", "-semihosting-config", "enable=on,target=native"]
    command = [*board.emulator, *counting, "-nographic", "-monitor", "none", "-serial", "none"]
    done = subprocess.run(
        [*command, "-kernel", "program.elf"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_MOST_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise BoardError(
            f"{program.name} stops on {board.name} with {done.returncode}: {done.stderr.strip()[-500:]}"
        )
    rows = (line.split() for line in (folder / "report.txt").read_text().splitlines())
    said = {name: int(value, 16) for name, value in rows}
    if said["samples"] != len(samples):
        raise BoardError(f"{program.name} took {said['samples']} of {len(samples)} samples on {board.name}")
    total = said["millions"] * 1_000_000 + said["rest"]
    outputs = np.frombuffer((folder / "out.bin").read_bytes(), program.output).reshape(len(samples), -1)
    counts = said["least"], said["most"], said["stack"], said["known_loop"]
    return Ran(outputs, total / len(samples), *counts)


def measured(program: Program, board: Board, samples: npt.NDArray[Any]) -> tuple[Sizes, Ran]:
    """Build and run in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="board-") as name:
        folder = Path(name)
        sizes = build(program, board, folder)
        return sizes, run(program, board, samples, folder)
