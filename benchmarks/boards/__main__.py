"""Networks in C99 on emulated boards: every output beside the engine's, instructions, sizes, stack.

    python -m benchmarks.boards NET.circle --data mnist [--board m0 …] [--limit N] [--json]
    python -m benchmarks.boards --bitnetmcu FOLDER --data mnist …    # BitNetMCU's own C on the same boards
    python -m benchmarks.boards NET.int8.tflite --cmsis FOLDER --data NET.samples.npz …    # CMSIS-NN's

Instructions are counted by the emulator (`-icount shift=0`) and are no cycles of real silicon; the counter is
proved with a loop of known length first. Boards whose compiler or emulator is missing are skipped, with a
line that says so. The exit code is 1 where an output differs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import lowbit
from lowbit.data import Dataset, load
from lowbit.provenance import provenance

from . import bitnetmcu, cmsis, page
from .machines import BOARDS, Board
from .programs import KNOWN_LOOP, BoardError, Program, generated, measured

Row = dict[str, Any]


def main() -> int:
    """Measure what was asked for, and print it."""
    options = _options()
    data = load(options.data, split="test")
    chosen = slice(0, options.limit or len(data.samples))
    rows: list[Row] = []
    for name in options.board or BOARDS:
        board = BOARDS[name]
        if board.missing:
            sys.stderr.write(f"SKIPPED {name}: {' and '.join(board.missing)} not found\n")
            continue
        for row in _rows(options, board, data, chosen):
            rows.append({"board": name, "core": board.about, **row})
            sys.stderr.write(_line(rows[-1]) + "\n")
    tools = {
        board.compiler: _version(f"{board.compiler}gcc") for board in BOARDS.values() if not board.missing
    }
    tools |= {
        board.emulator[0]: _version(board.emulator[0]) for board in BOARDS.values() if not board.missing
    }
    made = {**provenance(_command(options)), "data": Path(data.name).name, "tools": tools, "rows": rows}
    if options.keep:
        page.keep(options.keep, made)
    if options.json:
        sys.stdout.write(json.dumps(made, indent=1) + "\n")
    return int(any(row.get("differing") or "failed" in row for row in rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", type=Path, help="network files")
    parser.add_argument("--data", required=True, help="a name or path of samples")
    parser.add_argument("--limit", type=int, help="so many test samples; else all")
    parser.add_argument("--board", action="append", choices=list(BOARDS), help="one of them; else all")
    parser.add_argument("--integers", action="store_true", help="pixels go in and int32 scores come out")
    parser.add_argument("--bitnetmcu", type=Path, help="a copy of its repository")
    parser.add_argument("--cmsis", type=Path, help="a copy of CMSIS-NN's repository, which runs the networks")
    parser.add_argument("--keep", type=Path, help="a file of rows: these replace those of the same network")
    parser.add_argument("--model", action="append", choices=bitnetmcu.MODELS, help="of BitNetMCU; else all")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def _command(options: argparse.Namespace) -> str:
    """Return the command, without the folders of this machine."""
    unsaid = {"--json", "--keep", str(options.keep)}
    words = [word for word in sys.argv[1:] if word not in unsaid]
    folders = {options.data: "DIR", str(options.bitnetmcu): "BITNETMCU", str(options.cmsis): "CMSIS-NN"}
    folders = {folder: name for folder, name in folders.items() if "/" in folder}
    networks = {str(path): path.name for path in options.networks}
    return " ".join(
        ["python -m benchmarks.boards", *((folders | networks).get(word, word) for word in words)]
    )


def _rows(options: argparse.Namespace, board: Board, data: Dataset, chosen: slice) -> Iterator[Row]:
    labels = data.labels[chosen]
    for path in options.networks:
        if options.cmsis:
            given = cmsis.samples(path, data.samples[chosen])
            yield from _tried(
                path.name,
                lambda folder, path=path, given=given: _cmsis(
                    options.cmsis, path, board, given, labels, folder
                ),
            )
            continue
        yield from _tried(
            path.name,
            lambda folder, path=path: _network(
                path, board, data.samples[chosen], labels, folder, integers=options.integers
            ),
        )
    if options.bitnetmcu:
        pictures = np.rint(data.samples[chosen].reshape(-1, 28, 28) * 255).astype(np.uint8)
        samples = bitnetmcu.samples(pictures)
        for model in options.model or bitnetmcu.MODELS:
            yield from _tried(
                model,
                lambda folder, model=model: _bitnetmcu(
                    options.bitnetmcu, model, board, samples, labels, folder
                ),
            )


def _tried(name: str, measure: Callable[[Path], Row]) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="board-") as folder:
        try:
            yield measure(Path(folder))
        except BoardError as error:
            yield {"network": name, "failed": str(error)}


def _network(
    path: Path, board: Board, samples: npt.NDArray[Any], labels: Any, folder: Path, *, integers: bool
) -> Row:
    source = folder / f"{path.stem.replace('-', '_')}.c"
    lowbit_compile = [sys.executable, "-m", "lowbit", "compile", str(path), "-o", str(source)]
    lowbit_compile += ["--input", "pixels", "--integer-output"] if integers else []
    done = subprocess.run(lowbit_compile, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BoardError(done.stderr.strip() or done.stdout.strip())
    program = generated(source, path.name)
    given = program.of_samples(samples)
    if program.input == "i1":  # the codes that an int8 file declares
        given = cmsis.samples(path, samples)
        samples = cmsis.reals(path, given)
    row, outputs = _measured(program, board, given)
    network = lowbit.load(path)
    shape = tuple(int(length) for length in network.inputs[0].shape[1:])
    wanted = network.run(np.ascontiguousarray(samples.reshape(-1, *shape)))
    wanted = wanted[0] if isinstance(wanted, (list, tuple)) else wanted
    wanted = wanted.reshape(outputs.shape)
    same = outputs.argmax(axis=1) == wanted.argmax(axis=1) if integers else (outputs == wanted).all(axis=1)
    differing = int((~same).sum())
    return {**row, "differing": differing, **_top1(outputs, labels)}


def _cmsis(
    repository: Path, path: Path, board: Board, samples: npt.NDArray[Any], labels: Any, folder: Path
) -> Row:
    row, outputs = _measured(cmsis.program(repository, path, folder), board, samples)
    del row["ram"]  # not planned
    return {**row, **_top1(outputs, labels)}


def _top1(outputs: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Row:
    """Return the share of right classes, where there are several."""
    right = float((outputs.argmax(axis=1) == labels).mean())
    return {"top1": right} if len(np.unique(labels)) > 1 else {}


def _bitnetmcu(
    repository: Path, model: str, board: Board, samples: npt.NDArray[Any], labels: Any, folder: Path
) -> Row:
    row, outputs = _measured(bitnetmcu.program(repository, model, board, folder), board, samples)
    return {**row, "top1": float((outputs[:, 0] == labels).mean())}


def _measured(program: Program, board: Board, samples: npt.NDArray[Any]) -> tuple[Row, npt.NDArray[Any]]:
    sizes, ran = measured(program, board, samples)
    row = {
        "network": program.name,
        "samples": len(samples),
        "instructions": round(ran.instructions),
        "least": ran.least,
        "most": ran.most,
        **vars(sizes),
        "stack": ran.stack,
        "counted_of_known": f"{ran.known_loop} of {KNOWN_LOOP}",
    }
    return row, ran.outputs


def _line(row: Row) -> str:
    if "failed" in row:
        return f"{row['board']:6}{row['network']:24} FAILED: {row['failed']}"
    differing = f", {row['differing']} of {row['samples']} differ" if "differing" in row else ""
    flash = f"code {row['code']:,} + library {row['library']:,}, constants {row['constants']:,}"
    right = f", top-1 {row['top1']:.2%}" if "top1" in row else ""
    return (
        f"{row['board']:6}{row['network']:24}{row['instructions']:>11,} instructions, {flash},"
        f" RAM {row.get('ram', 0):,} + stack {row['stack']:,}{right}{differing}"
    )


def _version(tool: str) -> str:
    done = subprocess.run([tool, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
