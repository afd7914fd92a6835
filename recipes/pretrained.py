"""How the pretrained networks and their list were made; needs MNIST and the trained float networks.

    python recipes/pretrained.py --data DIR --runs DIR

`--runs` is where `lowbit train` put its runs. Writes the files of `ROWS` that the package carries and
`src/lowbit/networks/networks.json`: of every network the hash and bytes of its file, what it gets right of
the test set, and what made it. Files that lie beside the package (`results/networks`) are read as they are.
"""

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import lowbit
from lowbit import api
from lowbit.plan import Plan

PACKAGE = Path(lowbit.__file__).parent / "networks"
BESIDE = Path("results/networks")


@dataclass(frozen=True)
class Row:
    """A network: its name, what it is, and the run and plan, or the file, that it is made of."""

    name: str
    about: str
    run: str = ""
    plan: Plan | None = None
    file: str = ""
    carried: bool = True


ROWS = (
    Row("mnist-mlp-1bit", "784-680-10, tanh, 1 bit", "mlp-784-680-10-seed0", Plan("lq:1", "lq:1")),
    Row("mnist-mlp-2bit", "784-680-10, tanh, 2 bits", "mlp-784-680-10-seed0", Plan("lq:2", "lq:2")),
    Row("mnist-lst1-q6.7", "LST-1, fixed point Q6.7", "lst1-seed0", Plan("fixed:6.7", "fixed:6.7")),
    Row("mnist-conv-4bit", "convolutions, 4 bits, for microcontrollers", file="mcu-conv-seed0"),
    Row("mnist-conv-small-4bit", "the same in 5.4 kB of weights", file="mcu-conv-small-seed0", carried=False),
    Row("mnist-conv-pow2", "the same in powers of two", file="mcu-conv-pow2-seed0", carried=False),
    Row("mnist-depthwise-4bit", "depthwise convolutions, 4 bits", file="mcu-depthwise-seed0", carried=False),
    Row("mnist-fc-4bit", "fully connected, 4 bits", file="mcu-fc-4-seed0", carried=False),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--runs", type=Path, required=True)
    options = parser.parse_args()
    rows = {row.name: made(row, options.data, options.runs) for row in ROWS}
    (PACKAGE / "networks.json").write_text(json.dumps(rows, indent=1) + "\n")
    for name, facts in rows.items():
        print(f"{name}: {facts['bytes']} bytes, top-1 {facts['top1']:.2%}")


def made(row: Row, data: str, runs: Path) -> dict[str, object]:
    """Make a network's file, where it is carried, and return what is known of it."""
    path = PACKAGE / f"{row.name}.circle" if row.carried else BESIDE / f"{row.file}.circle"
    if row.file and row.carried:
        path.write_bytes((BESIDE / f"{row.file}.circle").read_bytes())
    how = f"results/{row.file}.circle: trained at low bits, recipes/{row.file.removesuffix('-seed0')}.toml"
    if row.plan is not None:
        api.quantize_file(runs / row.run / "model.onnx", path, data, row.plan)
        how = f"lowbit quantize of recipes/{row.run.removesuffix('-seed0')}.toml, {row.plan}"
    content = path.read_bytes()
    return {
        "file": path.name,
        "carried": row.carried,
        "about": row.about,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "data": "MNIST, all 10,000 of the test set",
        "top1": api.evaluate(path, data)["top1"],
        "made": how.replace("results/", "results/networks/"),
    }


if __name__ == "__main__":
    main()
