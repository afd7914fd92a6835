"""Draw table and curve of `benchmarks/ptq.py`: accuracy over bits, as Markdown and SVG beside the JSON.

python benchmarks/ptq_report.py results/ptq-mlp.json
"""

import argparse
import json
from itertools import groupby
from pathlib import Path
from typing import Any

Row = dict[str, Any]

SERIES = {
    ("lq", "restore"): ("learned basis, output restored", "#1b6ca8", ""),
    ("lq", "published"): ("learned basis, published method", "#1b6ca8", "5 4"),
    ("affine", "restore"): ("affine, output restored", "#c0392b", ""),
    ("affine", "clipped"): ("affine, clipped and rounded", "#c0392b", "5 4"),
    ("affine", "classic"): ("affine, min/max and rounded", "#c0392b", "1 4"),
}
BITS = (8, 7, 6, 5, 4, 3, 2, 1)
PANEL_WIDTH, PANEL_HEIGHT, GAP, TOP, LEFT = 260, 240, 60, 40, 50
FLOOR = 40.0  # per cent; what lies below is drawn on the floor


def table(rows: list[Row]) -> str:
    """Return a Markdown table: a line per network and method, a column per bits, top-1 in per cent."""
    columns = (32, *BITS)
    lines = [
        f"| network | scheme | method | {' | '.join(map(str, columns))} |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for names, group in groupby(rows, lambda row: (row["network"], row["scheme"], row["method"])):
        accuracy = {row["bits"]: f"{100 * row['top1']:.2f}" for row in group}
        cells = [*names, *(accuracy.get(bits, "") for bits in columns)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def picture(rows: list[Row]) -> str:
    """Return an SVG with a panel per network."""
    networks = list(dict.fromkeys(row["network"] for row in rows))
    width = LEFT + len(networks) * (PANEL_WIDTH + GAP)
    height = TOP + PANEL_HEIGHT + 60 + 18 * len(SERIES)
    parts = [panel([row for row in rows if row["network"] == name], at) for at, name in enumerate(networks)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
    style = 'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
    return "\n".join([head + style, *parts, legend(), "</svg>"]) + "\n"


def panel(rows: list[Row], index: int) -> str:
    """Return one network: axes, the float network's accuracy, and a line per method."""
    left, bottom = LEFT + index * (PANEL_WIDTH + GAP), TOP + PANEL_HEIGHT
    parts = [f'<text x="{left}" y="{TOP - 14}" font-weight="bold">{rows[0]["network"]}</text>']
    for percent in range(int(FLOOR), 101, 20):
        y = height_of(percent)
        parts.append(f'<line x1="{left}" x2="{left + PANEL_WIDTH}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{percent}</text>')
    parts += [
        f'<text x="{place_of(bits, left)}" y="{bottom + 18}" text-anchor="middle">{bits}</text>'
        for bits in BITS
    ]
    parts.append(f'<text x="{left + PANEL_WIDTH / 2}" y="{bottom + 36}" text-anchor="middle">bits</text>')
    for (scheme, method), (_, colour, dashes) in SERIES.items():
        chosen = [row for row in rows if (row["scheme"], row["method"]) == (scheme, method)]
        points = " ".join(f"{place_of(row['bits'], left)},{height_of(100 * row['top1'])}" for row in chosen)
        stroke = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"'
        parts.append(f'<polyline points="{points}" fill="none" {stroke}/>')
    return "\n".join(parts)


def legend() -> str:
    """Return what the lines mean."""
    parts = []
    for index, (name, colour, dashes) in enumerate(SERIES.values()):
        y = TOP + PANEL_HEIGHT + 60 + 18 * index
        line = f'<line x1="{LEFT}" x2="{LEFT + 40}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"'
        parts.append(f'{line} stroke-dasharray="{dashes}"/><text x="{LEFT + 50}" y="{y + 4}">{name}</text>')
    return "\n".join(parts)


def place_of(bits: int, left: float) -> float:
    """Return where a number of bits stands."""
    return round(left + PANEL_WIDTH * (BITS.index(bits) + 0.5) / len(BITS), 1)


def height_of(percent: float) -> float:
    """Return where an accuracy stands."""
    return round(TOP + PANEL_HEIGHT * (100 - max(percent, FLOOR)) / (100 - FLOOR), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("json", type=Path, help="what benchmarks/ptq.py wrote")
    source = parser.parse_args().json
    result = json.loads(source.read_text())
    source.with_suffix(".svg").write_text(picture(result["rows"]))
    commits = ", ".join(dict.fromkeys(row.get("commit", result["commit"]) for row in result["rows"]))
    shown = {**result, "commit": commits}
    facts = "".join(f"- {name}: {shown[name]}\n" for name in ("command", "commit", "machine", "seeds"))
    head = (
        "# Accuracy after post-training quantization\n\n"
        "Top-1 in per cent over bits of weights and activations. The thesis that published the method\n"
        "reports 95.59, 88.86 and 75.11 at 3, 2 and 1 bits for its network of 97.2; `published` is that\n"
        "method here. On images in [0, 1] its two levels without an offset cannot serve; `-signed` is the\n"
        "network trained on images in [-1, 1], where they can. The thesis does not say its range.\n"
    )
    picture_line = f"![curve]({source.with_suffix('.svg').name})\n"
    text = f"{head}\n{table(result['rows'])}\n{picture_line}\n{facts}"
    source.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
