"""What quantization at real size takes: CPU time, memory and noise, beside ONNX Runtime's `quantize_static`.

    python benchmarks/calibration.py --data DIR --json results/calibration-resnet18.json [--network FILE]
    python benchmarks/calibration.py --table results/calibration-*.json > results/calibration.md

The network is ResNet-18 (torchvision's architecture, seeded weights, statistics of batch normalization from
the pictures), or a file with one picture `[n, 3, h, w]` or `[n, h, w, 3]` as input. Pictures are those of
`--data`, enlarged to the network's size: the first ones of the training set calibrate, others of the test
set measure. Every contender runs in a process of its own, one thread, one after another; times are of the
processor, from reading the file to the file that is written. Memory is the most that was resident.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lowbit.data import load
from lowbit.provenance import provenance

Floats = npt.NDArray[np.float32]

CONTENDERS = ("onnxruntime", "affine:8", "lq:4")
OTHERS = ("affine:8 rtn", "affine:8 gptq")
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CHECKED, BLOCK = 64, 16
LIMITS = {"affine:8": 2.5, "lq:4": 6.0}
"""How many times the peer's CPU time ours may take."""


def main() -> None:
    options = _options()
    if options.table:
        print(table(options.table))
        return
    if options.contender:
        print(json.dumps(run(options.contender, options.folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        prepare(options.network, options.data, options.pictures, Path(folder))
        rows = [_in_process(name, Path(folder)) for name in options.only or CONTENDERS]
    peer = next((row for row in rows if row["name"] == "onnxruntime"), None)
    for row in rows if peer else ():
        row["times_of_peer"] = row["cpu_seconds"] / peer["cpu_seconds"]
    for row in rows:
        row["limit"] = LIMITS.get(row["name"])
        print(json.dumps(row), file=sys.stderr)
    made = provenance("python benchmarks/calibration.py --data DIR --json FILE")
    network = options.network.name if options.network else "ResNet-18, seeded"
    load = f"{os.getloadavg()[2]:.1f} in the last 15 minutes"
    result = {**made, "network": network, "pictures": options.pictures, "load": load, "rows": rows}
    options.json.write_text(json.dumps(result, indent=1) + "\n")


def table(paths: list[Path]) -> str:
    """Return results as Markdown: a table for each network, and where they were measured."""
    parts = ["# What quantization at real size takes\n"]
    for path in paths:
        made = json.loads(path.read_text())
        parts += [f"{made['network']}, {made['pictures']} pictures, one core:\n"]
        parts += ["| | CPU s | of the peer's | at most | memory | signal to noise | classes equal |"]
        parts += ["|---|---|---|---|---|---|---|"]
        parts += [_row(row) for row in made["rows"]]
        changes = "".join(f" with “{subject}”" for subject in made.get("changes", ()))
        where = f"{made['machine']}, {made['date']}, `{made['commit'][:8]}`{changes}; load {made['load']}"
        parts += [f"\n`{made['command']}`, {where}.\n"]
    return "\n".join(parts)


def _row(row: dict[str, Any]) -> str:
    limit = f"{row['limit']:g} ×" if row["limit"] else ""
    cells = (
        row["name"],
        f"{row['cpu_seconds']:.1f}",
        f"{row['times_of_peer']:.2f} ×",
        limit,
        f"{row['peak_mib'] / 1024:.2f} GiB",
        f"{row['output_snr_db']:.1f} dB",
        f"{row['agreement']:.1%}",
    )
    return f"| {' | '.join(cells)} |"


def prepare(network: Path | None, data: str, count: int, folder: Path) -> None:
    """Write `net.onnx`, `train.npy` and `test.npy`, pictures as the network takes them."""
    train, test = load(data, "train", limit=count).samples, load(data, "test", limit=CHECKED).samples
    if network is None:
        pictures = [_normalized(_enlarged(part, 224)) for part in (train, test)]
        _write_resnet18(folder / "net.onnx", pictures[0][:BLOCK])
    else:
        (folder / "net.onnx").write_bytes(network.read_bytes())
        pictures = [_as_taken(part, folder / "net.onnx") for part in (train, test)]
    for name, part in zip(("train", "test"), pictures, strict=True):
        np.save(folder / f"{name}.npy", part)


def run(name: str, folder: Path) -> dict[str, Any]:
    """Quantize by one contender; return what it took and how near its result is."""
    before, started = _cpu_seconds(), time.perf_counter()
    target = folder / "made.onnx"
    if name == "onnxruntime":
        _quantize_static(folder, target)
    else:
        _quantize(name, folder, target)
    row = {"name": name, "cpu_seconds": _cpu_seconds() - before, "seconds": time.perf_counter() - started}
    row["peak_mib"] = _peak_mib()
    test = np.load(folder / "test.npy")
    right, found = _scores(folder / "net.onnx", test), _scores(target, test)
    row["output_snr_db"] = float(10 * np.log10((right**2).sum() / ((right - found) ** 2).sum()))
    row["agreement"] = float((right.argmax(1) == found.argmax(1)).mean())
    return row


def _quantize(name: str, folder: Path, target: Path) -> None:
    from lowbit.api import quantize_file
    from lowbit.plan import Plan

    form, _, method = name.partition(" ")
    plan = Plan(form, form, method=method or "auto")
    quantize_file(folder / "net.onnx", target, str(folder / "train.npy"), plan, check=False)


def _quantize_static(folder: Path, target: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    from lowbit.backends.onnxruntime import session

    (name,) = (entry.name for entry in session(folder / "net.onnx").get_inputs())
    samples = np.load(folder / "train.npy", mmap_mode="r")

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(range(len(samples)))

        def get_next(self) -> dict[str, Floats] | None:
            index = next(self._left, None)
            return None if index is None else {name: np.array(samples[index : index + 1])}

    quantize_static(folder / "net.onnx", target, Reader())


def _scores(path: Path, samples: Floats) -> npt.NDArray[np.float64]:
    from lowbit.backends.onnxruntime import session

    ready = session(path)
    name = ready.get_inputs()[0].name
    found = [ready.run(None, {name: sample[None]})[0] for sample in samples]
    return np.concatenate(found).astype(np.float64)


def _in_process(name: str, folder: Path) -> dict[str, Any]:
    """Return the row of a contender, run on one processor."""
    one = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    command = [sys.executable, __file__, "--contender", name, "--folder", str(folder)]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, env=os.environ | one)
        os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
        if process.wait():
            return {"name": name, "failed": True, "cpu_seconds": float("nan")}
        output.seek(0)
        row: dict[str, Any] = json.loads(output.read().splitlines()[-1])
    return row


def _write_resnet18(path: Path, pictures: Floats) -> None:
    """Write ResNet-18 with seeded weights, and statistics of these pictures."""
    import torch
    from torch import nn

    def convolution(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
        made = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
        return [made, nn.BatchNorm2d(outputs, momentum=None)]

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            first, second = convolution(inputs, outputs, 3, stride), convolution(outputs, outputs, 3, 1)
            self.branch = nn.Sequential(*first, nn.ReLU(), *second)
            other = inputs != outputs
            self.shortcut = (
                nn.Sequential(*convolution(inputs, outputs, 1, stride)) if other else nn.Identity()
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.branch(x) + self.shortcut(x))

    torch.manual_seed(0)
    torch.set_num_threads(1)
    widths = [64, 64, 64, 128, 128, 256, 256, 512, 512]
    blocks = [Block(a, b, 1 if a == b else 2) for a, b in pairwise(widths)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000)]
    network = nn.Sequential(*convolution(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1), *blocks, *head)
    batch = torch.from_numpy(pictures)
    with torch.no_grad():
        network.train()(batch)
    torch.onnx.export(
        network.eval(), (batch[:1],), path, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}}
    )


def _normalized(pictures: Floats) -> Floats:
    mean, deviation = (np.array(row, np.float32).reshape(3, 1, 1) for row in (MEAN, DEVIATION))
    return np.asarray((pictures - mean) / deviation, np.float32)


def _as_taken(pictures: Floats, network: Path) -> Floats:
    """Return pictures `[n, 3, h, w]` in [0, 1] as a network takes them: its size and layout, as bytes."""
    from lowbit.formats import read_model

    graph = read_model(network)
    shape = graph.value(graph.inputs[0]).shape[1:]
    last = shape[-1] == 3
    size = int(shape[0] if last else shape[1])
    enlarged = _enlarged(pictures, size)
    if not last:
        return _normalized(enlarged)
    means = np.array((104.0, 117.0, 123.0), np.float32)  # of blue, green and red bytes, as Caffe's networks
    return np.ascontiguousarray(enlarged.transpose(0, 2, 3, 1)[..., ::-1] * np.float32(255) - means)


def _enlarged(pictures: Floats, size: int) -> Floats:
    return np.concatenate(list(_enlarged_blocks(pictures, size)))


def _enlarged_blocks(pictures: Floats, size: int) -> Iterator[Floats]:
    from PIL import Image

    for picture in np.rint(pictures.transpose(0, 2, 3, 1) * 255).astype(np.uint8):
        large = Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC)
        yield np.asarray(large, np.float32).transpose(2, 0, 1)[None] / np.float32(255)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak_mib() -> float:
    """Return the most memory that was resident; `ru_maxrss` would count the process that started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", help="pictures: a folder, or a name")
    parser.add_argument("--network", type=Path, help="a file instead of ResNet-18")
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--only", nargs="+", choices=(*CONTENDERS, *OTHERS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", nargs="+", type=Path, help="results to print")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
