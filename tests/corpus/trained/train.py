"""Trains one of the four networks, exports it by torch's exporter, and keeps it with its result.

A run saves its state after every epoch and goes on from there; the test set is scored once, at the end.

usage: LOWBIT_DATA=DIR python -m tests.corpus.trained.train NAME [--epochs N] [--seed N] [--runs DIR]
"""

import argparse
import hashlib
import json
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

import lowbit
from lowbit.backends import BACKENDS
from lowbit.ir import Graph
from lowbit.provenance import provenance
from tests.corpus.torch_networks import KeywordNet, MobileNetV1, ResNet8, UNet
from tests.corpus.trained.tasks import TASKS, Set, Task

ROOT = Path(__file__).resolve().parents[3]
KEPT = ROOT / "results" / "networks"


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: stochastic gradient descent with momentum 0.9 on one cycle of learning rates.

    Attributes:
        epochs: over all training samples.
        rate: largest learning rate.
        decay: of weights.
        pictures: whether samples are mirrored and moved by up to 4 pixels.
        batch: samples of a step.
        halves: whether products are bfloat16 in training, where that is faster.
    """

    epochs: int
    rate: float
    decay: float = 5e-4
    pictures: bool = False
    batch: int = 128
    halves: bool = False


NETWORKS = {
    "resnet8": (ResNet8, Recipe(8, 0.2, pictures=True, halves=True)),
    "mobilenet_v1_025": (lambda: MobileNetV1(10, stride=1), Recipe(5, 0.15, pictures=True)),
    "ds_cnn": (KeywordNet, Recipe(6, 0.1)),
    "unet": (lambda: UNet("transposed", 8, 3), Recipe(8, 0.1, 1e-4, batch=32)),
}


def main() -> None:
    """Train, export, score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=NETWORKS)
    parser.add_argument("--epochs", type=int, help="other than the recipe's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    make, recipe = NETWORKS[given.name]
    recipe = Recipe(**{**vars(recipe), "epochs": given.epochs or recipe.epochs})
    task, sets = TASKS[given.name], TASKS[given.name].sets()
    torch.manual_seed(given.seed)
    network = make().to(memory_format=torch.channels_last)  # a quarter to a half less time
    facts = trained(
        network, recipe, task, sets.train, sets.validation, given.seed, given.runs / f"{given.name}.pt"
    )
    path = KEPT / f"{given.name}-seed{given.seed}.onnx"
    keep(network, sets.test[0][:1], path)
    scores = engine_scores(lowbit.read(path), sets.test[0])
    result = {
        **provenance(
            f"LOWBIT_DATA=DIR python -m tests.corpus.trained.train {given.name} --seed {given.seed}"
        ),
        "network": given.name,
        "seed": given.seed,
        "data": task.data,
        "recipe": vars(recipe),
        "parameters": sum(each.numel() for each in network.parameters()),
        "torch": torch.__version__,
        **facts,
        "score": task.score,
        "test": task.scored(scores, sets.test[1]),
        "file": {
            "name": path.name,
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        },
    }
    (ROOT / "results" / f"corpus-{given.name}-seed{given.seed}.json").write_text(
        json.dumps(result, indent=1) + "\n"
    )
    sys.stdout.write(json.dumps(result) + "\n")


def trained(
    network: nn.Module, recipe: Recipe, task: Task, train: Set, held: Set, seed: int, state: Path
) -> dict[str, Any]:
    """Train a network, from its kept state where there is one; return the curve and its seconds."""
    optimizer = torch.optim.SGD(
        network.parameters(), recipe.rate, 0.9, weight_decay=recipe.decay, nesterov=True
    )
    steps = recipe.epochs * -(-len(train[0]) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=steps, pct_start=0.25)
    parts = {"network": network, "optimizer": optimizer, "schedule": schedule}
    curve: list[float] = []
    spent = 0.0
    if state.exists():
        kept = torch.load(state, weights_only=True)
        curve, spent = kept["curve"], kept["cpu_s"]
        for name, part in parts.items():
            part.load_state_dict(kept[name])
    for epoch in range(len(curve), recipe.epochs):
        started = time.process_time()
        network.train()
        for samples, classes in _batches(train, recipe, seed * 1000 + epoch):
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.halves):
                scores = network(samples)
            loss = functional.cross_entropy(scores.float(), classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        curve.append(task.scored(scores_of(network, held[0]), held[1]))
        spent += time.process_time() - started
        state.parent.mkdir(parents=True, exist_ok=True)
        torch.save(
            {name: part.state_dict() for name, part in parts.items()} | {"curve": curve, "cpu_s": spent},
            state,
        )
        sys.stderr.write(f"epoch {epoch + 1}/{recipe.epochs}: {curve[-1]:.4f}, {spent:.0f} CPU s\n")
    return {"validation": curve[-1], "curve": curve, "cpu_s": round(spent, 1)}


def _batches(train: Set, recipe: Recipe, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    random = np.random.default_rng(seed)
    order = random.permutation(len(train[0]))
    for start in range(0, len(order), recipe.batch):
        chosen = order[start : start + recipe.batch]
        samples = train[0][chosen]
        if recipe.pictures:
            samples = _moved(samples, random)
        ready = torch.from_numpy(np.ascontiguousarray(samples)).contiguous(memory_format=torch.channels_last)
        yield ready, torch.from_numpy(train[1][chosen])


def _moved(samples: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return pictures [n, 3, 32, 32], each mirrored or not and moved by up to 4 pixels over zeros."""
    count, _, height, width = samples.shape
    wide = np.pad(samples, ((0, 0), (0, 0), (4, 4), (4, 4)))
    at = random.integers(0, 9, (count, 2))
    moved = np.stack([each[:, y : y + height, x : x + width] for each, (y, x) in zip(wide, at, strict=True)])
    mirrored = random.random(count) < 0.5
    moved[mirrored] = moved[mirrored, :, :, ::-1]
    return moved


def scores_of(network: nn.Module, samples: np.ndarray, block: int = 250) -> np.ndarray:
    """Return the scores of samples, in eval mode."""
    network.eval()
    with torch.no_grad():
        parts = [
            network(torch.from_numpy(samples[at : at + block])).numpy()
            for at in range(0, len(samples), block)
        ]
    return np.concatenate(parts)


def engine_scores(graph: Graph, samples: np.ndarray, block: int = 250) -> np.ndarray:
    """Return the scores that the engine gives samples."""
    runner = BACKENDS["engine"].load(graph)
    return np.concatenate([runner.run(samples[at : at + block])[0] for at in range(0, len(samples), block)])


def keep(network: nn.Module, sample: np.ndarray, path: Path) -> None:
    """Write a network as torch exports it, for any batch, its weights in float16 behind a Cast each.

    Every weight is the nearest float16, so that the file is half as large; what runs is float32, and all
    figures are those of the kept file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    network.eval().to(memory_format=torch.contiguous_format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.from_numpy(sample),),
            str(path),
            dynamo=False,
            input_names=["x"],
            output_names=["scores"],
            dynamic_axes={"x": {0: "batch"}, "scores": {0: "batch"}},
        )
    model = onnx.load(path)
    halved(model)
    onnx.save(model, path)


def halved(model: onnx.ModelProto) -> None:
    """Store weights of two and more axes as float16, each read through a Cast to float32."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        name, weights = tensor.name, numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(weights.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


if __name__ == "__main__":
    main()
