"""Networks that come quantized, and our QONNX: equal classes in the engine and in runtimes that are theirs?

    LOWBIT_DATA=DIR python benchmarks/quantized_files.py --json FILE [--python PATH] [--only PART] [--page]

Four trained networks by ONNX Runtime's own quantizer (QDQ, QOperator, dynamic) run in the engine and in ONNX
Runtime, as the file stands (no optimizations) and by default. Where classes differ, is the runtime at odds
with itself, or do scores tie there? With `--python`, an interpreter that has Brevitas and qonnx, Brevitas'
QONNX and QCDQ and our QONNX of the four networks run too, QONNX in qonnx's executor. Makers that are absent
are rows that say so. Writes a page beside the JSON.
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray
from onnxruntime import GraphOptimizationLevel
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from tests.corpus.trained.scenes import scenes
from tests.corpus.trained.tasks import _folder
from tests.corpus.trained.words import words

import lowbit
from lowbit.backends.onnxruntime import session
from lowbit.data import load
from lowbit.engine import Program
from lowbit.plan import Plan
from lowbit.provenance import provenance

ROOT = Path(__file__).resolve().parents[1]
KEPT, OTHERS = ROOT / "results" / "networks", ROOT / "tests" / "corpus" / "brevitas_networks.py"
NETWORKS = ("ds_cnn", "resnet8", "mobilenet_v1_025", "unet")
COUNT, CALIBRATE, BATCH = 1000, 64, 50
SECONDS = 20  # of qonnx's executor, for a file
TIE = 1e-5  # of the largest score: what the order of sums may change
SIGNED, UNSIGNED = QuantType.QInt8, QuantType.QUInt8
STATIC: dict[str, dict[str, Any]] = {
    "QDQ, unsigned": {"activation_type": UNSIGNED, "weight_type": SIGNED},
    "QDQ, signed, by channel": {"activation_type": SIGNED, "weight_type": SIGNED, "per_channel": True},
    "QOperator, unsigned": {"activation_type": UNSIGNED, "weight_type": UNSIGNED},
    "QOperator, signed, by channel": {"activation_type": SIGNED, "weight_type": SIGNED, "per_channel": True},
}
DYNAMIC: dict[str, dict[str, Any]] = {
    "dynamic": {"weight_type": UNSIGNED},
    "dynamic, signed, by channel": {"weight_type": SIGNED, "per_channel": True},
}
Floats = NDArray[np.float32]
Row = dict[str, Any]


def main() -> int:
    """Measure, and write rows and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="where rows are kept")
    parser.add_argument("--python", type=Path, help="an interpreter with Brevitas and qonnx")
    parser.add_argument("--only", default="", help="files with this in their name; other rows stay")
    parser.add_argument("--page", action="store_true", help="only make the page")
    given = parser.parse_args()
    kept = json.loads(given.json.read_text()) if given.json.exists() else {"rows": []}
    rows = {row["file"]: row for row in kept["rows"]}
    if not given.page:
        logging.disable(logging.WARNING)  # of ONNX Runtime's quantizer, for every file
        command = "LOWBIT_DATA=DIR python benchmarks/quantized_files.py --json FILE --python PATH"
        with tempfile.TemporaryDirectory() as folder:
            for row in measured(Path(folder), given.python, given.only):
                rows[row["file"]] = row
                kept = {**provenance(command), "rows": list(rows.values())}
                given.json.write_text(json.dumps(kept, indent=1) + "\n")
                sys.stdout.write(line(row) + "\n")
                sys.stdout.flush()
    given.json.with_suffix(".md").write_text(page(kept))
    return 0


def measured(folder: Path, python: Path | None, only: str) -> Iterator[Row]:
    """Yield the row of every file."""
    for name in NETWORKS:
        if any(only in f"{name}, {form}" for form in (*STATIC, *DYNAMIC, "our QONNX")):
            samples = samples_of(name)
            source = folded(name, folder)
            yield from by_onnxruntime(name, source, samples, folder, only)
            yield from our_qonnx(name, samples, folder, python, only)
    if only in "Brevitas":
        yield from by_brevitas(folder, python)


def samples_of(name: str) -> Floats:
    """Return the samples that calibrate and, behind them, those that are run [n, …]."""
    count = CALIBRATE + COUNT
    if name == "ds_cnn":
        return words(count - count % -12, 2)[0][:count]
    if name == "unet":
        things = [_pictures(_folder(each)) for each in ("mnist", "fashion")]
        return scenes(count, 2, *(each.reshape(-1, 28, 28) for each in things))[0]
    return _pictures(_folder("cifar10"))[:count]


def _pictures(folder: str) -> Floats:
    return np.asarray(load(folder, split="test").samples, np.float32)


def folded(name: str, folder: Path) -> Path:
    """Return a kept network with weights of float32, as ONNX Runtime's quantizer needs them."""
    path = folder / f"{name}.onnx"
    level = GraphOptimizationLevel.ORT_ENABLE_BASIC
    session(KEPT / f"{name}-seed0.onnx", graph_optimization_level=level, optimized_model_filepath=str(path))
    return path


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # has no types
    def __init__(self, name: str, samples: Floats) -> None:
        self.samples = iter([{name: sample[None]} for sample in samples])

    def get_next(self) -> dict[str, Floats] | None:
        return next(self.samples, None)


def by_onnxruntime(name: str, source: Path, samples: Floats, folder: Path, only: str) -> Iterator[Row]:
    """Yield the rows of ONNX Runtime's forms; dynamic ranges are those of a call, so these go one by one."""
    path, asked = folder / "made.onnx", session(source).get_inputs()[0].name
    calibrating, tried = samples[:CALIBRATE], samples[CALIBRATE:]
    for form, options in {**STATIC, **DYNAMIC}.items():
        if only not in f"{name}, {form}":
            continue
        if form in STATIC:
            kind = QuantFormat.QOperator if form.startswith("QOperator") else QuantFormat.QDQ
            quantize_static(source, path, _Reader(asked, calibrating), quant_format=kind, **options)
        else:
            quantize_dynamic(source, path, **options)
        yield {"file": f"{name}, {form}", **in_both(path, tried, 1 if form in DYNAMIC else BATCH)}


def in_both(path: Path, samples: Floats, batch: int) -> Row:
    """Return how classes in the engine and in ONNX Runtime compare."""
    level = GraphOptimizationLevel.ORT_DISABLE_ALL
    stands = scores(session(path, graph_optimization_level=level), samples, batch)
    default = scores(session(path, exact=False), samples, batch)
    return compared(engine(path, samples, batch), stands, default)


def scores(runtime: Any, samples: Floats, batch: int) -> Floats:
    """Return what ONNX Runtime makes of samples, as many at once as the file takes."""
    first = runtime.get_inputs()[0]
    batch = first.shape[0] if isinstance(first.shape[0], int) else batch
    calls = range(0, len(samples), batch)
    found = [runtime.run(None, {first.name: samples[start : start + batch]})[0] for start in calls]
    return np.concatenate(found)


def engine(path: Path, samples: Floats, batch: int) -> Floats:
    """Return what the engine makes of them."""
    program, calls = Program(lowbit.read(path)), range(0, len(samples), batch)
    return np.concatenate([np.asarray(program.run(samples[start : start + batch])) for start in calls])


def compared(ours: Floats, theirs: Floats, default: Floats | None = None) -> Row:
    """Return how many classes differ, and which of those the runtime's own ways or a tie explain.

    Args:
        ours: scores [n, classes, …] in the engine.
        theirs: scores in the other runtime as the file stands.
        default: the same with its optimizations, where it has any.

    Returns:
        `classes`, compared (of samples, or of pixels); `differ` of them ours from theirs; of these `itself`,
        where the runtime with optimizations differs from itself, `tie`, where the two classes' scores are
        within `TIE` of the largest for the other runtime, and `unexplained` neither; `far`, the largest
        difference of scores relative to the largest score; with `default`: `from_default` and
        `between` the runtime's two ways.
    """
    largest = float(np.abs(theirs).max())
    mine, there = ours.argmax(1), theirs.argmax(1)
    differ = mine != there
    gaps = [np.take_along_axis(theirs, each[:, None], 1)[:, 0] for each in (there, mine)]
    tie = differ & (gaps[0] - gaps[1] <= TIE * largest)
    row: Row = {"samples": len(ours), "classes": differ.size, "differ": int(differ.sum())}
    itself = np.zeros_like(differ)
    if default is not None:
        other = default.argmax(1)
        itself = differ & (other != there)
        row |= {"from_default": int((mine != other).sum()), "between": int((other != there).sum())}
    explained = {"itself": itself, "tie": tie, "unexplained": differ & ~itself & ~tie}
    row |= {name: int(found.sum()) for name, found in explained.items()}
    return {**row, "far": float(np.abs(ours - theirs).max()) / largest}


def our_qonnx(name: str, samples: Floats, folder: Path, python: Path | None, only: str) -> Iterator[Row]:
    """Yield the rows of our QONNX of a network in qonnx's executor."""
    for bits in (8, 4):
        file = f"{name}, our QONNX of affine:{bits}"
        if only not in file:
            continue
        if python is None:
            yield {"file": file, "skipped": "no --python with qonnx"}
            continue
        path, form = folder / f"{name}-{bits}.onnx", f"affine:{bits}"
        small, _ = lowbit.quantize(
            lowbit.read(KEPT / f"{name}-seed0.onnx"),
            samples[:CALIBRATE],
            plan=Plan(form, form, samples=CALIBRATE),
            check=False,
        )
        lowbit.write(small, path, form="qonnx")
        ours = np.asarray(Program(small).run(samples[CALIBRATE:]))
        yield {"file": file, **executed(path, ours, samples[CALIBRATE:], python)}


def executed(path: Path, ours: Floats, samples: Floats, python: Path) -> Row:
    """Return how scores compare with those of qonnx's executor, for the samples that it does in time."""
    given, made = path.with_suffix(".npy"), path.with_suffix(".executed.npy")
    np.save(given, samples)
    _other(python, "run", str(SECONDS), f"{path}={given}")
    if not made.exists():
        return {"skipped": f"qonnx: {path.with_suffix('.refused').read_text()}"}
    theirs = np.load(made)
    return compared(ours[: len(theirs)], theirs)


def by_brevitas(folder: Path, python: Path | None) -> Iterator[Row]:
    """Yield the rows of Brevitas' files."""
    if python is None:
        yield {"file": "Brevitas", "skipped": "no --python with Brevitas"}
        return
    train, test = (load(_folder("mnist"), split=split) for split in ("train", "test"))
    pictures = np.asarray(train.samples[:8000], np.float32).reshape(-1, 1, 28, 28)
    np.savez(folder / "mnist.npz", x=pictures, classes=np.asarray(train.labels[:8000], np.int64))
    _other(python, "make", str(folder), str(folder / "mnist.npz"))
    samples = np.asarray(test.samples[:COUNT], np.float32).reshape(-1, 1, 28, 28) * 2 - 1
    for path in sorted(folder.glob("brevitas_*")):
        name, width, form = path.stem.removeprefix("brevitas_").split("-")
        file = f"Brevitas {name}, {width.upper()}, {form.upper()}"
        if path.suffix == ".refused":
            yield {"file": file, "skipped": f"Brevitas: {path.read_text()}"}
        elif form == "qonnx":
            yield {"file": file, **executed(path, engine(path, samples, COUNT), samples, python)}
        else:
            yield {"file": file, **in_both(path, samples, COUNT)}


def _other(python: Path, *words: str) -> None:
    subprocess.run([str(python), str(OTHERS), *words], check=True, capture_output=True)


def line(row: Row) -> str:
    """Return the page's line of a row."""
    if "skipped" in row:
        return f"| {row['file']} | not run: {row['skipped']} | | | | | | |"
    keys = ("differ", "itself", "tie", "unexplained", "from_default", "between")
    cells = " | ".join(str(row.get(key, "")) for key in keys)
    return f"| {row['file']} | {row['classes']:,} | {cells} |"


def page(kept: dict[str, Any]) -> str:
    """Return the page of all rows."""
    ready = [row for row in kept["rows"] if "skipped" not in row]
    equal = sum(not row["differ"] for row in ready)
    alone = sum(row["unexplained"] for row in ready)
    made = f"{kept['date']}, {kept['machine']}"
    found = sum(row["differ"] for row in ready)
    summary = f"{equal} of {len(ready)} files: equal classes; {found} classes differ in the others."
    summary += f" Of these {alone} are neither."
    return "\n".join([_HEAD.format(made=made, summary=summary), *(line(row) for row in kept["rows"]), ""])


_HEAD = f"""# Quantized files of others, and our QONNX

Made by `benchmarks/quantized_files.py` ({{made}}): {COUNT:,} samples each, of the network's own kind of data
(for unet, classes of pixels). Four kept networks (`results/networks`) by ONNX Runtime's quantizer, calibrated
by {CALIBRATE} samples, beside ONNX Runtime; two networks of Brevitas (`tests/corpus/brevitas_networks.py`),
trained for a few steps, whose QCDQ runs beside ONNX Runtime, and whose QONNX, as ours, in qonnx's executor.

*differ*: classes in the engine that are not those of the other runtime as the file stands (ONNX Runtime
without optimizations). Of these: *itself*, where ONNX Runtime with its default optimizations differs from
itself; *tie*, where both classes' scores are within {TIE:g} of the largest score. *from default*: classes in
the engine that are not those of ONNX Runtime by default; *own ways*: where its two ways differ. *neither*:
sums of integers are exact here and float32 there, so that a value beside the middle of two codes may be
rounded to either, and codes behind it differ.

{{summary}}

| file | classes | differ | itself | tie | neither | from default | own ways |
|---|---|---|---|---|---|---|---|"""


if __name__ == "__main__":
    sys.exit(main())
