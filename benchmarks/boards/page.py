"""The kept rows of boards, and their page."""

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]
_FACTS = ("command", "commit", "date", "machine", "data", "tools")


def keep(path: Path, made: Row) -> None:
    """Put measured rows into a file of rows, and write the page beside it."""
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    new = [{**row, **{key: made[key] for key in _FACTS}} for row in made["rows"] if "failed" not in row]
    fresh = {(row["network"], row["board"]) for row in new}
    rows = [row for row in rows if (row["network"], row["board"]) not in fresh] + new
    path.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    path.with_suffix(".md").write_text(page(rows))


def page(rows: list[Row]) -> str:
    """Return the page of all rows."""
    lines = []
    for row in rows:
        differing = f"{row['differing']} of {row['samples']:,}" if "differing" in row else ""
        ram = f"{row['ram']:,}" if "ram" in row else "not planned"
        cells = (
            row["network"],
            row["core"],
            f"{row['instructions']:,}",
            f"{row['code']:,} + {row['library']:,}",
            f"{row['constants']:,}",
            f"{ram} + {row['stack']:,}",
            f"{row['top1']:.2%} of {row['samples']:,}" if "top1" in row else "",
            differing,
        )
        lines.append(f"| {' | '.join(cells)} |")
    tools = sorted({text for row in rows for text in row["tools"].values()})
    return "\n".join([_HEAD, *lines, "", *(f"* {text}" for text in tools), ""])


_HEAD = """# Networks on emulated microcontroller boards

Made by `python -m benchmarks.boards … --keep results/boards.json`; each row there has its command, commit
and tools. **Instructions, not cycles**: counted by the emulator (`-icount shift=0`), the mean of an
inference; the counter is proved with a loop of known length. All is compiled with one compiler and `-O2`.

* Code is that of the network alone, plus what it needs of the compiler's own library (`libgcc`). Constants
  are all of them: weights, thresholds, tables. RAM is `.data` and `.bss`, plus the deepest stack of a run.
* "Differ" says how many samples have another output than lowbit's engine: scores where floats come out, the
  class where pixels go in and int32 scores come out (the networks `mcu-…`).
* BitNetMCU: the C and the models of github.com/cpldcpu/BitNetMCU, commit def8bc4 (2026-01-02), called as its
  demonstration for microcontrollers does, on pictures of 16x16 that are made and normalized on the host.
  The pictures of `mcu-…` are MNIST's own bytes; what makes 14x14 of them is part of the network and counted.
* CMSIS-NN: github.com/ARM-software/CMSIS-NN, commit 99f736a (v7.0.0-43, 2026-07-15), on the same int8
  `.tflite`; its buffers are not planned here. Cortex-M4 has its DSP instructions, other cores plain C.
* "Quantized to 8 bits": `lowbit.quantize` of the float `.tflite`, affine weights and activations of these
  bits; the first and the last layer have 8.
* "Weights of 4 bits, activations of 8": `lowbit quantize --weights affine:4 --activations affine:8` of all
  layers, with 256 samples. Weights take 11,008 bytes (DS-CNN) and 38,692 (ResNet-8), 0.50 of those at 8 bits
  (22,016 and 77,360).
* RV32E (`rv32ec`) has no multiplication; BitNetMCU's fully connected layers have a form of their own for it.

Trained by `recipes/mcu-….toml` on MNIST (exact), figures and curves in `results/mcu-…-seed0.json`, networks
in `results/networks/`. Weights of 4 bits: mcu-fc-4 12,144 bytes, mcu-conv 10,968, mcu-conv-small 4,648,
mcu-depthwise 3,486; powers of two of 3 bits: mcu-conv-pow2 9,000. Rows of several commits stand together:
each has its own in the file of rows. The autoencoder has no classes.

| network | core | instructions | code + library | constants | RAM + stack | top-1 | differ |
|---|---|---|---|---|---|---|---|"""
