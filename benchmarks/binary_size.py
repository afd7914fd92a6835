"""Where every byte of the binary networks is, beside the published sizes.

    python benchmarks/binary_size.py --json results/binary-size.json

Networks are the zoo's with random weights, which do not change a size, written as `.circle` and counted by
`lowbit inspect`. Moved is what a picture needs at least: weights read once, every layer's input read and its
output written, at their bits and as float32. A table is written beside the JSON. MB is 1024 * 1024 bytes.
"""

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from lowbit import api
from lowbit.analysis import layer_bytes
from lowbit.provenance import provenance
from lowbit.zoo import NETWORKS, binary_graph, parameter_count

PUBLISHED_MB = {"vgg16": 14.57, "cnv": 1.87}
KINDS = {
    **dict.fromkeys(("_binary", "/weights"), "planes"),
    **dict.fromkeys(("_scales", "_basis", "_offset", "_top", "/factor_maps"), "scales"),
    **dict.fromkeys((".bias", "/bias", "/thresholds", "/shift_maps"), "biases"),
    "options": "options",
}
"""By the end of a name, in files of the zoo and of training."""
FLOAT_BYTES, MB = 4, 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, required=True, help="where the rows go")
    options = parser.parse_args()
    rows = [measure(name) for name in PUBLISHED_MB]
    made = provenance("python benchmarks/binary_size.py --json FILE")
    options.json.write_text(json.dumps({**made, "rows": rows}, indent=1) + "\n")
    options.json.with_suffix(".md").write_text(table(rows))


def measure(name: str) -> dict[str, Any]:
    """Return the bytes of one network of the zoo by kind, and of every layer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.circle"
        api.write(binary_graph(NETWORKS[name]), path)
        return measure_file(path, name)


def measure_file(path: Path, name: str) -> dict[str, Any]:
    """Return the same of a file, whose network the zoo knows by that name."""
    graph, found = api.read(path), api.inspect(path, verify=True)
    kinds: Counter[str] = Counter()
    for row in found["table"]:
        kinds[kind_of(row["what"])] += row["bytes"]
    layers = layer_bytes(graph)
    moved, float_moved = sum(layer.traffic for layer in layers), sum(layer.float_traffic for layer in layers)
    return {
        "network": name,
        "parameters": parameter_count(NETWORKS[name]),
        "float_bytes": FLOAT_BYTES * parameter_count(NETWORKS[name]),
        "published_mb": PUBLISHED_MB.get(name),
        "bytes": found["bytes"],
        "by_kind": dict(kinds),
        "moved_bytes": moved,
        "float_moved_bytes": float_moved,
        "moved_ratio": float_moved / moved,
        "layers": {layer["name"]: layer["bytes"] for layer in found["layers"]},
    }


def kind_of(what: str) -> str:
    """Return the kind of a row of the byte table."""
    return next((kind for end, kind in KINDS.items() if what.endswith(end)), "structure")


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table: a line per network, sizes in MB and bytes by kind."""
    kinds = [*dict.fromkeys(KINDS.values()), "structure"]
    columns = ["network", "parameters", "float, MB", "published, MB", "file, MB"]
    columns += [f"{kind}, bytes" for kind in kinds] + ["moved, MB", "in float, MB", "less"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in rows:
        sizes = (row["float_bytes"] / MB, row["published_mb"], row["bytes"] / MB)
        shown = ("" if size is None else f"{size:.2f}" for size in sizes)
        cells = [row["network"], f"{row['parameters']:,}", *shown]
        cells += [f"{row['by_kind'].get(kind, 0):,}" for kind in kinds]
        cells += [f"{row[key] / MB:.2f}" for key in ("moved_bytes", "float_moved_bytes")]
        cells.append(f"{row['moved_ratio']:.1f} ×")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
