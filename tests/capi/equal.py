"""Runs networks in the C library as the example calls it; compares with the engine and the reference.

    python -m tests.capi.equal --run "build/run" [--pictures 10000] [--reference 4] [--data FOLDER]

The command gets a program file and a file of samples, and prints what it computes as hexadecimal floats. The
engine is compared on all pictures, the reference on the first ones, the codes of all layers as well. Weights
are random; pictures are those of a data set, else random.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import lowbit
from lowbit.backends import BACKENDS
from lowbit.data import load
from lowbit.engine import Program
from lowbit.ir import Graph
from lowbit.program.file import content_of
from lowbit.provenance import provenance
from lowbit.zoo import binary_graph, float_graph, network

Maker = Callable[[np.ndarray], Graph]


def quantized(name: str, **plan: Any) -> Maker:
    """Return what makes a network of the zoo low-bit, with 256 pictures."""

    def make(pictures: np.ndarray) -> Graph:
        graph = float_graph(network(name))
        small, _ = lowbit.quantize(graph, pictures[:256], plan=lowbit.Plan(**plan), check=False)
        return small

    return make


def fixed(name: str) -> Maker:
    return lambda _: lowbit.quantize(float_graph(network(name)), plan=lowbit.Plan("fixed:6.7", "fixed:6.7"))[
        0
    ]


def mobilenet(pictures: np.ndarray) -> Graph:
    """Return MobileNetV1-0.25 at 8 bits, by way of torch."""
    import torch

    from tests.corpus import torch_networks

    torch.manual_seed(0)
    module = torch_networks.MobileNetV1(10, 1).eval()
    example = torch.zeros(1, *pictures.shape[1:])
    graph = lowbit.read(module, example=example)
    small, _ = lowbit.quantize(graph, pictures[:256], plan=lowbit.Plan("affine:8", "affine:8"), check=False)
    return small


GREY, COLOUR = (28, 28), (3, 32, 32)
NETWORKS: dict[str, tuple[tuple[int, ...], Maker]] = {
    **{
        f"mlp lq:{bits}": (GREY, quantized("mlp", weights=f"lq:{bits}", activations=f"lq:{bits}"))
        for bits in (1, 2, 3)
    },
    "lenet lq:2": (GREY, quantized("lenet", weights="lq:2", activations="lq:2")),
    "lst1 fixed:6.7": (GREY, fixed("lst1")),
    "vgg16 binary": (COLOUR, lambda _: binary_graph(network("vgg16"))),
    "resnet20 lq:2": (COLOUR, quantized("resnet20", weights="lq:2", activations="lq:2")),
    "mobilenet_v1_025 affine:8": (COLOUR, mobilenet),
}


def pictures_of(shape: tuple[int, ...], folder: Path | None, count: int) -> tuple[np.ndarray, str]:
    """Return test pictures of a shape, and what they are."""
    if folder is not None:
        name = "mnist" if shape == GREY else "cifar10-jpeg"
        if (folder / name).exists():
            found = load(str(folder / name), split="test").samples[:count]
            return np.asarray(found, np.float32), name
    made = np.random.default_rng(0).random((count, *shape), np.float32)
    return made, "random"


def compared(name: str, command: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Return how many numbers of a network differ."""
    shape, make = NETWORKS[name]
    pictures, source = pictures_of(shape, options.data, options.pictures)
    graph = make(pictures)
    axes = [length if isinstance(length, int) else -1 for length in graph.value(graph.inputs[0]).shape]
    x = np.ascontiguousarray(pictures.reshape(axes))
    expected = Program(graph).run(x)
    with TemporaryDirectory() as folder:
        net, samples = Path(folder) / "net.lbp", Path(folder) / "samples.f32"
        net.write_bytes(content_of(graph))
        samples.write_bytes(x.tobytes())
        done = subprocess.run([*command, net, samples], check=True, capture_output=True, text=True)
        size = net.stat().st_size
    rows = [[float.fromhex(number) for number in line.split()] for line in done.stdout.splitlines()]
    found = np.array(rows, np.float32).reshape(expected.shape)
    few = x[: options.reference]
    values = BACKENDS["reference"].load(graph).trace(few) if options.reference else {}
    traced = BACKENDS["library"].load(graph).trace(few) if options.reference else {}
    codes = [key for key in traced if graph.value(key).encoding is not None]
    return {
        "network": name,
        "pictures": f"{len(x)} {source}",
        "differ_from_engine": int((found != expected).sum()),
        "reference_pictures": len(few),
        "codes_compared": int(sum(traced[key].size for key in codes)),
        "codes_differ_from_reference": int(sum((traced[key] != values[key]).sum() for key in codes)),
        "scores_differ_from_reference": int((found[: len(few)] != values[graph.outputs[0]]).sum())
        if len(few)
        else 0,
        "bytes": size,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", required=True, help="the example, with what runs it")
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--reference", type=int, default=4)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for name in NETWORKS:
        if options.only not in name:
            continue
        start = time.perf_counter()
        try:
            rows.append(compared(name, shlex.split(options.run), options))
        except ImportError as error:
            print(f"SKIPPED {name}: {error}")  # noqa: T201
            continue
        print(f"{time.perf_counter() - start:.0f} s {json.dumps(rows[-1])}", flush=True)  # noqa: T201
    if options.json:
        made = provenance("python -m tests.capi.equal --run COMMAND --pictures N --data DIR --json FILE")
        options.json.write_text(json.dumps({**made, "run": options.run, "rows": rows}, indent=1) + "\n")
    return int(any(row["differ_from_engine"] or row["codes_differ_from_reference"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
