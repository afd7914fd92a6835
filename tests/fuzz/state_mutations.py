"""Mutated settings and state, read: values or an error of ours.

    python -m tests.fuzz.state_mutations [--count 2000] [--seed 0]

Recipes, plans, rows of published figures, sweeps, results, hardware reports, curves, checkpoints and the text
form. These readers are ours and written in Python, so one process reads everything.
"""

import argparse
import json
import random
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lowbit.errors import LowbitError
from lowbit.formats import read_model
from lowbit.ir import to_text
from lowbit.quantization import Plan
from lowbit.report.hardware import read_hardware
from lowbit.reproduce import kept, read_rows
from lowbit.sweep import Sweep
from lowbit.train.metrics import read_curve
from lowbit.train.recipe import Recipe
from lowbit.verification import certificate, check, verify
from tests.ir.networks import lowbit_mlp

ROOT = Path(__file__).parents[2]
WORDS = (
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"=",
    b"\n",
    b"null",
    b"true",
    b"nan",
    b"-1",
    b"1e999",
    b"9" * 30,
    b"\x00",
)

PLAN = b"""bits = 2
samples = 512
method = "restore"
damping = 0.5

[layers.fc2]
scheme = "affine"
bits = 8
"""
SWEEP = {
    "command": "lowbit sweep",
    "data": "digits",
    "models": [{"name": "mlp", "top1": 0.95, "bytes": 4000}],
    "rows": [
        {
            "model": "mlp",
            "scheme": "lq",
            "bits": 2,
            "rounding": "restore",
            "seed": 0,
            "top1": 0.9,
            "divergence": 0.1,
            "bytes": 9,
        },
        {"model": "mlp", "scheme": "pow2", "bits": 4, "rounding": "restore", "seed": 0, "error": "no"},
    ],
}
ROWS = b"""["L3-rounded-6.7"]
what = "LST-1 in Q6.7 (13 bits) by rounding alone"
published = 0.9828
source = "LST-1 talk, 2025"
result = "fixed-point"
select = { format = "Q6.7", rounding = "nearest" }
command = "python benchmarks/fixed_point.py --data {data} --runs {runs} --json {json}"
headline = true
"""
CURVE = b"".join(json.dumps({"epoch": n, "loss": 1 / n}).encode() + b"\n" for n in (1, 2, 3))


@dataclass(frozen=True)
class Kind:
    """Good content, the name of its file, and what reads the file."""

    name: str
    content: bytes
    read: Callable[[Path], object]


def kinds() -> dict[str, Kind]:
    """Return every kind by name."""
    recipe = (ROOT / "recipes" / "lst1.toml").read_bytes()
    result = (ROOT / "results" / "fixed-point.json").read_bytes()
    hardware = {"variant": "shared", "target": "xc7", "cycles_per_image": 1568, "lut": 271}
    return {
        "recipe": Kind("a.toml", recipe, Recipe.read),
        "plan": Kind("plan.toml", PLAN, Plan.read),
        "rows": Kind("rows.toml", ROWS, lambda path: read_rows(path.parent)),
        "sweep": Kind("sweep.json", json.dumps(SWEEP).encode(), Sweep.read),
        "result": Kind("fixed-point.json", result, _kept),
        "hardware": Kind("report.json", json.dumps(hardware).encode(), read_hardware),
        "curve": Kind("metrics.jsonl", CURVE, lambda path: read_curve(path.parent, 3)),
        "certificate": Kind("net.json", *_certified()),
        "text": Kind("model.txt", to_text(lowbit_mlp((9, 5, 3), 2, 3)).encode(), read_model),
    }


def _kept(path: Path) -> object:
    return kept(read_rows(ROOT / "recipes")["L3-rounded-6.7"], path.parent)


def _certified() -> tuple[bytes, Callable[[Path], object]]:
    """Return a certificate, and what checks one whose hash somebody made to fit."""
    with tempfile.TemporaryDirectory() as folder:
        network, kept = Path(folder) / "net.txt", Path(folder) / "net.json"
        network.write_text(to_text(lowbit_mlp((9, 5, 3), 2, 3)))
        verify(network, backends=["engine:portable"], samples=2).certificate.write(kept)
        content, text = kept.read_bytes(), network.read_text()

    def read(path: Path) -> object:
        beside = path.with_name("net.txt")
        beside.write_text(text)
        with suppress(ValueError, RecursionError):
            given = json.loads(path.read_bytes())
            if isinstance(given, dict):
                given.pop("sha256", None)
                path.write_text(json.dumps(given | {"sha256": certificate.hash_of(given)}))
        return check(beside, path)

    return content, read


def mutated(content: bytes, draw: random.Random) -> bytes:
    """Return content with one to three places flipped, lost, doubled or replaced."""
    made = bytearray(content)
    for _ in range(draw.randint(1, 3)):
        place, length = draw.randrange(len(made) + 1), draw.randint(1, 12)
        match draw.randrange(5):
            case 0 if place < len(made):
                made[place] ^= 1 << draw.randrange(8)
            case 1:
                del made[place : place + length]
            case 2:
                made[place:place] = made[place : place + length]
            case 3:
                made[place : place + 1] = draw.choice(WORDS)
            case _:
                number = b"%d" % draw.choice((0, -1, 1 << 31, 1 << 63, 10**20))
                made[place : place + length] = number
    return bytes(made)


def faults(kind: Kind, count: int, seed: int, folder: Path) -> list[str]:
    """Return what raised something that is not ours, with the mutation's number."""
    draw, found = random.Random(seed), []  # noqa: S311
    path = folder / kind.name
    path.write_bytes(kind.content)
    kind.read(path)  # the good one is read
    for number in range(count):
        path.write_bytes(mutated(kind.content, draw))
        try:
            kind.read(path)
        except LowbitError:
            continue
        except Exception:
            found.append(f"{kind.name} {number}: {traceback.format_exc(limit=-2)}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in kinds().items():
            place = Path(folder) / name
            place.mkdir()
            found = faults(kind, options.count, options.seed, place)
            sys.stdout.write(
                f"{name}: {options.count} mutations, {len(found)} raw exceptions\n" + "".join(found[:3])
            )


if __name__ == "__main__":
    main()
