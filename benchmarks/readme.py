"""Writes README's figures, `docs/results.md` and two pages of `results/`: no figure there is typed by hand.

    python benchmarks/readme.py [--check]

``--check`` changes nothing and fails when they and the results differ (a test runs it).
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import figures
import power_of_two
import speed

from lowbit.reproduce import Kept, Row, kept, read_rows
from lowbit.zoo.published import LST1_ACCURACY

ROOT = Path(__file__).parent.parent
ROWS = read_rows(ROOT / "recipes")
START, END = "<!-- figures: made by benchmarks/readme.py from results/ -->", "<!-- end of figures -->"
NETWORKS = {"mnist-97.2": "MNIST", "mnist-98.2": "MNIST", "fashion-88": "Fashion-MNIST"}
PENDING = "pending"
PEERS = ("onnxruntime-fp32", "onnxruntime-int8", "litert-int8")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="only compare")
    options = parser.parse_args()
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text().partition(START)
    wanted = {
        readme: f"{before}{START}\n\n{in_short()}\n\n{END}{rest.partition(END)[2]}",
        ROOT / "docs" / "results.md": f"# What is gained\n\n{tables()}\n",
        ROOT / "results" / "reproduced.md": reproduced(),
        ROOT / "results" / "power-of-two.md": power_of_two.page(),
    }
    if options.check:
        return int(any(not path.exists() or path.read_text() != text for path, text in wanted.items()))
    for path, text in wanted.items():
        path.write_text(text)
    return 0


def in_short() -> str:
    """Return README's figures."""
    return figures.table(result, ROWS, lambda row: kept(row, ROOT / "results"))


def tables() -> str:
    """Return the tables with their conditions."""
    parts = [
        headlines(),
        accuracy(result("ptq-mlp")),
        latency(result("latency-mlp")),
        *speed.tables(result),
        training(result("train-step")),
        hardware(result("hdl-lst1")),
        networks([result(f"hdl-{name}") for name in ("cnv", "vgg16")]),
    ]
    return "\n\n".join(parts)


def headlines() -> str:
    """Return the rows of `recipes/rows.toml` that are meant for the page of results: theirs and ours."""
    lines = [
        "Published by four systems, and ours; all rows, with data, seeds and commands, are in",
        "[results/reproduced.md](../results/reproduced.md), and `lowbit reproduce` prints them:",
        "",
        "| row | what | published | ours |",
        "|---|---|---|---|",
    ]
    for row in ROWS.values():
        ours = kept(row, ROOT / "results")
        if row.headline and ours is not None:
            lines.append(f"| {row.name} | {row.what} | {row.text(row.published)} | {row.text(ours.value)} |")
    return "\n".join(lines)


def accuracy(made: dict[str, Any]) -> str:
    """Return top-1 over bits for the MLPs, output restored from unlabelled samples."""
    lines = [
        "Top-1 of MLP 784-680-10 after quantization from 1,024 unlabelled images (weights and activations of",
        "both layers; median of three seeds; 2-3 CPU seconds):",
        "",
        "| network | float | 3 bits | 2 bits | 1 bit | affine, 8 bits |",
        "|---|---|---|---|---|---|",
    ]
    for network, name in NETWORKS.items():
        found = {
            (row["scheme"], row["bits"]): f"{100 * row['top1']:.2f} %"
            for row in made["rows"]
            if row["network"] == network and row["method"] in ("", "restore")
        }
        keys = [("float", 32), ("lq", 3), ("lq", 2), ("lq", 1), ("affine", 8)]
        lines.append(f"| {name} | {' | '.join(found[key] for key in keys)} |")
    rows = [ROWS[f"Q10-{name}"] for name in ("float", "3", "2", "1")]
    published = " | ".join(row.text(row.published) for row in rows)
    lines.append(f"| published, MNIST | {published} | |")
    more = "All methods and widths: [results/ptq-mlp.md](../results/ptq-mlp.md)."
    lines += ["", f"`{made['command']}`, {made['machine']}. {more}"]
    return "\n".join(lines)


def latency(made: dict[str, Any]) -> str:
    """Return latency of the same network beside its peers."""
    rows = [row for row in made["rows"] if row["level"] == "best"]
    versions = {name: rows[0]["peers"][name]["version"] for name in PEERS}
    lines = [
        "The same network, one thread, batch 1, Python call to Python call, all in one interleaved run;",
        "ratios are the peer's time over ours:",
        "",
        f"| network | file | µs | {' | '.join(f'{name} {versions[name]}' for name in PEERS)} |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        ratios = " | ".join(f"{row['peers'][name]['ratio']:.1f} ×" for name in PEERS)
        lines.append(
            f"| {row['network']} | {row['bytes'] / 1024:.1f} KB | {row['latency_us']:.2f} | {ratios} |"
        )
    lines += ["", f"`{made['command']}`, {made['machine']}. Every kernel level: `results/latency-mlp.json`."]
    return "\n".join(lines)


def training(made: dict[str, Any]) -> str:
    """Return how long Brevitas takes for a training step of a binary block, in our times."""
    ours = {"the same estimator": "lowbit, as Brevitas", "ours (ReCU, quadratic)": "lowbit"}
    lines = [
        "One training step of a 1W1A block (sign, 3×3 convolution, batch normalization; forward, backward,",
        "SGD), one thread: the time of Brevitas over ours, by our estimator, and that of the float block:",
        "",
        f"| channels, picture, batch | {' | '.join(ours)} | float over ours |",
        f"|---|{'---|' * (len(ours) + 1)}",
    ]
    for row in made["rows"]:
        shape, ms = f"{row['channels']}, {row['side']}×{row['side']}, {row['batch']}", row["ms"]
        ratios = [ms["brevitas"] / ms[name] for name in ours.values()] + [ms["torch, float"] / ms["lowbit"]]
        cells = " | ".join(f"{ratio:.2f} ×" for ratio in ratios)
        lines.append(f"| {shape}{', bfloat16' if row['bf16'] else ''} | {cells} |")
    lines += ["", f"`{made['command']}`, {made['machine']}, torch {made['torch']}."]
    return "\n".join(lines)


def hardware(made: dict[str, Any]) -> str:
    """Return the engines of LST-1 beside the published one."""
    heads = {
        "cycles_per_image": "clocks per image",
        "lut": "LUT",
        "ff": "FF",
        "dsp": "DSP",
        "ramb18": "RAMB18",
    }
    lines = [
        "LST-1 as hardware. Every score and class of all test images equals the reference evaluator's, clock",
        "by clock; for the first 200 also with gaps, stalls and a reset. Resources by Yosys, out of context,",
        "AXI-Streams included; the published engine's by the vendor's tool, without which 7-series clocks",
        "are not known. ECP5: nextpnr, LFE5U-45F speed 6, bitstream made; its carry chains count as LUTs.",
        "",
        f"| engine | weights | top-1 | images, wrong | {' | '.join(heads.values())} | MHz |",
        f"|---|---|---|---|{'---|' * len(heads)}---|",
    ]
    for row in made["rows"]:
        weights = f"random, {row['filled_bits']} bits" if row["filled_bits"] else "trained"
        weights += " on the grid" if row.get("recipe") else ""
        top1 = f"{100 * row['top1']:.2f} %" if "top1" in row else ""
        images = f"{row['images']:,}, {row['mismatches']}" if "images" in row else ""
        counts = " | ".join(f"{row[key]:,}" for key in heads)
        name = f"{row['variant']}, Q{row['scheme']}, {row['target']}"
        lines.append(f"| {name} | {weights} | {top1} | {images} | {counts} | {row['fmax_mhz'] or ''} |")
    theirs = made["published"]
    counts = " | ".join(f"{theirs[key]:,}" for key in heads)
    top1 = LST1_ACCURACY[0].said
    lines.append(f"| published, Q6.7, XC7Z010 | trained | {top1} | | {counts} | {theirs['fmax_mhz']} |")
    seconds = max(row["simulation_cpu_s"] for row in made["rows"] if "simulation_cpu_s" in row)
    lines += [
        "",
        f"`{made['command']}`, {made['machine']}; at most {seconds} CPU s for all images of an engine.",
    ]
    return "\n".join(lines)


def networks(found: list[dict[str, Any]]) -> str:
    """Return low-bit networks on the array engine."""
    lines = [
        "Binary networks as a dataflow, a unit per layer; pictures simulated clock by clock, every score and",
        "class compared with the reference evaluator's. Resources by Yosys for 7-series, layer by layer, out",
        "of context. FINN's folding of CNV for Pynq-Z1: 32,768 clocks, 3,052 pictures per second at 100 MHz.",
        "",
        "| network | clocks | pictures per second at 100 MHz | LUT | FF | DSP | RAMB18 | simulated, wrong |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for made in found:
        kinds = (made[kind] for kind in ("lut", "ff", "dsp", "ramb18"))
        counts = " | ".join("" if count is None else f"{count:,}" for count in kinds)
        images = f"{made['images']:,}, {made['mismatches']}" if made["images"] else "none: linted"
        rate = made["frames_per_second_at_100_mhz"]
        lines.append(f"| {made['model']} | {made['cycles_per_image']:,} | {rate:,} | {counts} | {images} |")
    lines += ["", f"`{found[0]['command']}`, {found[0]['machine']}; tables by unit: `results/hdl-*.md`."]
    return "\n".join(lines)


def reproduced() -> str:
    """Return every row: theirs, ours where it is made, the file that says so, and what makes it."""
    found = [(row, kept(row, ROOT / "results")) for row in ROWS.values()]
    lines = [
        "# Published figures and ours",
        "",
        "`lowbit reproduce` lists these rows, `lowbit reproduce ROW` makes one again. Ours is the median of",
        "the seeds; a word in braces is a path of yours, and `lowbit train` takes the data as `--data DIR`.",
        f"Where ours is {PENDING}, the row is declared and not made yet. A test compares settings of a run",
        "with its recipe, and hashes of networks that other figures were taken from with those of their runs",
        "(`benchmarks/freshness.py`).",
        "",
        "| row | what | published | ours | results | CPU s | data | source | made by |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(row, ours) for row, ours in found]
    return "\n".join([*lines, ""])


def _line(row: Row, ours: Kept | None) -> str:
    cells = [row.name, row.what + _goal(row, ours), row.text(row.published)]
    if ours is None:
        cells += [PENDING, "", "", ""]
    else:
        seconds = "" if ours.cpu_s is None else f"{ours.cpu_s:.0f}"
        cells += [row.text(ours.value), _links(ours.files), seconds, ours.data]
    return f"| {' | '.join((*cells, row.source, f'`{row.command}`'))} |"


def _goal(row: Row, ours: Kept | None) -> str:
    """Return our own goal, where a row has one, and whether it is reached."""
    if row.goal is None:
        return ""
    reached = "" if ours is None else ", reached" if ours.value >= row.goal else ", not reached"
    return f" (goal {row.text(row.goal)}{reached})"


def _links(files: tuple[Path, ...]) -> str:
    """Return a link for each file: its name for one, numbers for several."""
    if len(files) == 1:
        return f"[{files[0].stem}]({files[0].name})"
    return ", ".join(f"[{number}]({path.name})" for number, path in enumerate(files, 1))


def result(name: str) -> dict[str, Any]:
    """Return a file of `results/`."""
    return dict(json.loads((ROOT / "results" / f"{name}.json").read_text()))


if __name__ == "__main__":
    sys.exit(main())
