"""Rows V1 to V5 of the binarized VGG16, all from the one network of a training run.

    python benchmarks/one_file.py runs/vgg16-binary-short-seed0 --parent runs/vgg16-short-seed0 --data DIR
        --picture PHOTO --crop X,Y,W,H --json results/binary-vgg16.json

V1  top-1, top-5 and the curve of the run; every class of the test set again in the engine and in ONNX Runtime
V2  bytes of the file by kind, and bytes moved per picture
V3  latency of the file beside its float parent in the peers, one thread, one interleaved run
V4  what it says of a part of a photograph, or of a test picture, as a chart beside the JSON
V5  the array engine: pictures simulated and compared, resources by Yosys for the device's family, clocks

Each part is written as soon as it is done, and `--only V2 V4` makes some again. The result names the network
by its hash, and every part is of that file: where the JSON has parts of another, they are dropped.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import binary_size
import hdl_network
import numpy as np
import vgg16
from freshness import MADE_OF, made_of

from lowbit import api
from lowbit.bench.timing import said
from lowbit.cli.predict import parse_crop
from lowbit.data import load, remembered_normalize
from lowbit.prediction import draw_prediction
from lowbit.provenance import provenance

BATCHES = {"engine": 500, "onnxruntime": 20}  # functions of standard operators unfold whole layers
COMMAND = "python benchmarks/one_file.py RUN --parent RUN --data DIR --picture PHOTO --crop X,Y,W,H"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="the folder of the binary network's run")
    parser.add_argument("--parent", type=Path, required=True, help="that of its float network")
    parser.add_argument("--data", help="where the data set is; else it is looked for")
    parser.add_argument("--picture", type=Path, help="a photograph")
    parser.add_argument("--crop", help="X,Y,W,H: the part of it that is meant")
    parser.add_argument("--index", type=int, default=0, help="a test picture, where there is no photograph")
    parser.add_argument("--device", default="xczu9eg", help="whose resources bound the engine")
    parser.add_argument("--target", default="xcup", choices=("xc7", "xcup", "ecp5"), help="its family")
    parser.add_argument("--pictures", type=int, default=10, help="to simulate")
    parser.add_argument("--rounds", type=int, default=7, help="of the measurement of latency")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS), help="these parts")
    parser.add_argument("--json", type=Path, required=True, help="where the result goes")
    options = parser.parse_args()
    named = [made_of(options.run / "model.onnx"), made_of(options.run / "model.circle")]
    known = json.loads(options.json.read_text()) if options.json.exists() else {}
    parts = {name: known[name] for name in PARTS if name in known and known.get(MADE_OF) == named}
    for name in options.only:
        parts[name] = PARTS[name](options) | {"command": f"{COMMAND} --only {name}"}
        result = {**provenance(COMMAND), MADE_OF: named, **parts}
        options.json.write_text(json.dumps(result, indent=1) + "\n")
        options.json.with_suffix(".md").write_text(page(parts))


def accuracy(options: argparse.Namespace) -> dict[str, Any]:
    """Return V1: the run's figures, and how many classes differ over all test pictures."""
    facts, parent = (json.loads((run / "result.json").read_text()) for run in (options.run, options.parent))
    graph = api.read(options.run / "model.circle")
    test = load(facts["settings"]["data"], "test", folder=options.data, normalize=remembered_normalize(graph))
    scores = {
        name: run_all(options.run / file, test.samples, name)
        for name, file in (("engine", "model.circle"), ("onnxruntime", "model.onnx"))
    }
    best = np.argsort(-scores["engine"], axis=1, kind="stable")[:, :5] == np.asarray(test.labels)[:, None]
    return {
        "top1": facts["top1"],
        "top5": facts["top5"],
        "engine": {"top1": float(best[:, 0].mean()), "top5": float(best.any(1).mean())},
        "classes_differ": int((scores["engine"].argmax(1) != scores["onnxruntime"].argmax(1)).sum()),
        "differences": facts["differences"],
        "float_top1": parent["top1"],
        "below_float": parent["top1"] - facts["top1"],
        "data": facts["data"],
        "epochs": facts["settings"]["epochs"],
        "cpu_s": facts["cpu_s"],
        "curve": facts["curve"],
    }


def run_all(model: Path, samples: np.ndarray, backend: str) -> np.ndarray:
    """Return the scores of all samples."""
    from lowbit.backends import BACKENDS

    runner = BACKENDS[backend].load(api.read(model))
    batch = BATCHES[backend]
    parts = (samples[at : at + batch] for at in range(0, len(samples), batch))
    return np.concatenate([np.asarray(runner.run(part)[0]) for part in parts])


def size(options: argparse.Namespace) -> dict[str, Any]:
    """Return V2: bytes of the file and bytes moved."""
    facts = json.loads((options.run / "result.json").read_text())
    return binary_size.measure_file(options.run / "model.circle", facts["settings"]["network"])


def speed(options: argparse.Namespace) -> dict[str, Any]:
    """Return V3: latency beside the float parent's in other programs."""
    asked = argparse.Namespace(threads=1, rounds=options.rounds)
    return vgg16.measure_files(options.run / "model.circle", options.parent / "model.onnx", asked)


def prediction(options: argparse.Namespace) -> dict[str, Any]:
    """Return V4: class probabilities of the picture, and draw them."""
    facts = json.loads((options.run / "result.json").read_text())
    asked: dict[str, Any] = {"data": options.data or facts["settings"]["data"], "index": options.index}
    if options.picture is not None:
        asked = {"picture": options.picture, "crop": parse_crop(options.crop)}
    found = api.predict(options.run / "model.circle", against=options.parent / "model.onnx", **asked)
    chart = options.json.with_suffix(".png")
    draw_prediction(found, chart)
    asked = {key: value.name if isinstance(value, Path) else value for key, value in asked.items()}
    return {"asked": asked, "chart": chart.name, **found.to_dict()}


def hardware(options: argparse.Namespace) -> dict[str, Any]:
    """Return V5: the array engine, simulated, with its resources."""
    facts = json.loads((options.run / "result.json").read_text())
    asked = argparse.Namespace(
        model=options.run / "model.onnx",
        data=options.data or facts["settings"]["data"],
        limit=options.pictures,
        cycles=None,
        budget=options.device,
        target=options.target,
        skip_synthesis=False,
    )
    return {"published": [], **hdl_network.measure(asked)}


PARTS = {"V1": accuracy, "V2": size, "V3": speed, "V4": prediction, "V5": hardware}


def page(parts: dict[str, dict[str, Any]]) -> str:
    """Return what is there, a line each; a part that is not made is said to be missing."""
    lines = ["# Binary VGG16, all from one file", "", "| row | what | figure |", "|---|---|---|"]
    for name, write in LINES.items():
        shown = write(parts[name]) if name in parts else {"all": "not made yet"}
        lines += [f"| {name} | {what} | {figure} |" for what, figure in shown.items()]
    tables = ["", binary_size.table([parts["V2"]])] if "V2" in parts else []
    tables += ["", hdl_network.table(parts["V5"])] if "V5" in parts else []
    return "\n".join([*lines, *tables, ""])


LINES: dict[str, Any] = {
    "V1": lambda made: {
        f"top-1, {made['data']}, {made['epochs']} epochs": f"{100 * made['top1']:.2f} %",
        "top-5": f"{100 * made['top5']:.2f} %",
        "below its float network": f"{100 * made['below_float']:.2f} points",
        "classes that differ, engine and ONNX Runtime": f"{made['classes_differ']}",
    },
    "V2": lambda made: {
        "file": f"{made['bytes'] / 1024:,.1f} KB",
        "bytes moved per picture, less than float": f"{made['moved_ratio']:.1f} ×",
    },
    "V3": lambda made: {
        "latency": f"{made['latency_us']:,.1f} µs",
        **{f"over {name}": said(peer) for name, peer in made["peers"].items()},
    },
    "V4": lambda made: {
        f"of {made['asked'].get('picture', 'a test picture')}": f"{made['class']} ([chart]({made['chart']}))"
    },
    "V5": lambda made: {
        f"pictures simulated, wrong ({made['budget']})": f"{made['images']}, {made['mismatches']}",
        "clocks per picture": f"{made['cycles_per_image']:,}",
        "LUT, DSP, RAMB18": f"{made['lut']:,}, {made['dsp']:,}, {made['ramb18']:,}",
    },
}


if __name__ == "__main__":
    main()
