"""Train a float convolutional network of the zoo; the table is `convnets.toml`.

    python recipes/train_convnet.py vgg-fashion --data fashion=DIR --out FOLDER [--epochs 3] [--seed 0]

AdamW with OneCycle, cross-entropy with label smoothing, pictures flipped left to right and moved by up to
two pixels, bfloat16 products. The test set decides nothing: it is scored once, after the last epoch, in
float32. A killed run goes on after its last whole epoch. Out come `NAME.onnx` (the zoo's graph with these
weights), `NAME.npz` (the weights), and `NAME.json`. Needs torch; runs on one thread.
"""

import argparse
import io
import json
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lowbit.data import load
from lowbit.formats import write_model
from lowbit.ir import evaluate
from lowbit.nn import Network
from lowbit.provenance import provenance
from lowbit.zoo import NETWORKS, float_graph, parameters

ROOT = Path(__file__).parent.parent
SETTINGS = {"batch": 128, "weight_decay": 5e-4, "label_smoothing": 0.05, "shift": 2}
DATA = {"fashion": "Fashion-MNIST, exact", "cifar10": "CIFAR-10, JPEG q75"}


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    settings = SETTINGS | tomllib.loads((ROOT / "recipes/convnets.toml").read_text())[options.recipe]
    settings |= {"epochs": options.epochs} if options.epochs else {}
    folder = dict(pair.split("=", 1) for pair in options.data)[settings["data"]]
    train = read_pictures(settings["data"], Path(folder), "train")
    test = read_pictures(settings["data"], Path(folder), "test")
    options.out.mkdir(parents=True, exist_ok=True)
    network, seconds = fit(settings, *train, options.seed, options.out / f"{options.recipe}.checkpoint")
    command = f"python recipes/train_convnet.py {options.recipe} --data {settings['data']}=DIR --out FOLDER"
    result = {
        "recipe": options.recipe,
        "seed": options.seed,
        "top1": accuracy(network, *test),
        "test_pictures": len(test[0]),
        "cpu_s": round(seconds, 1),
        "data": DATA[settings["data"]],
        "settings": settings,
        **provenance(command),
        "torch": torch.__version__,
    }
    result["largest_difference"] = keep(network, settings["network"], options.out / options.recipe, test[0])
    (options.out / f"{options.recipe}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


def fit(
    settings: dict[str, Any], pictures: Tensor, labels: Tensor, seed: int, checkpoint: Path
) -> tuple[Network, float]:
    """Return the trained network and the CPU seconds it took, over all starts of the run."""
    torch.manual_seed(seed)
    network = Network(NETWORKS[settings["network"]]).to(memory_format=torch.channels_last)
    rate, decay, epochs = settings["rate"], settings["weight_decay"], settings["epochs"]
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=decay)
    batches = len(pictures) // settings["batch"]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=epochs * batches, pct_start=0.25
    )
    parts, done, spent = (network, optimizer, schedule), 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        for part, state in zip(parts, saved["state"], strict=True):
            part.load_state_dict(state)
        done, spent = saved["epoch"], saved["seconds"]
    started = time.process_time() - spent
    for epoch in range(done, epochs):
        loss = _epoch(parts, settings, pictures, labels, torch.Generator().manual_seed(seed * 1000 + epoch))
        seconds = time.process_time() - started
        state = {"state": [part.state_dict() for part in parts], "epoch": epoch + 1, "seconds": seconds}
        torch.save(state, checkpoint)
        print(f"epoch {epoch + 1}/{epochs} loss {loss:.4f} {seconds:.0f} CPU s", file=sys.stderr, flush=True)
    return network, time.process_time() - started


def _epoch(
    parts: tuple[Network, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler],
    settings: dict[str, Any],
    pictures: Tensor,
    labels: Tensor,
    random: torch.Generator,
) -> float:
    """Run every whole batch once, in a new order, and return the mean loss."""
    network, optimizer, schedule = parts
    network.train()
    order = torch.randperm(len(pictures), generator=random)
    batches, total = order.split(settings["batch"])[: len(pictures) // settings["batch"]], 0.0
    for chosen in batches:
        x = augment(pictures[chosen], settings["shift"], random).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(x)
        loss = functional.cross_entropy(
            logits.float(), labels[chosen], label_smoothing=settings["label_smoothing"]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item()
    return total / len(batches)


def augment(pictures: Tensor, shift: int, random: torch.Generator) -> Tensor:
    """Return uint8 pictures as floats in [0, 1], half of them flipped, the batch moved a little."""
    flip = torch.rand(len(pictures), 1, 1, 1, generator=random) < 0.5
    flipped = torch.where(flip, pictures.flip(3), pictures)
    down, right = torch.randint(0, 2 * shift + 1, (2,), generator=random).tolist()
    height, width = pictures.shape[2:]
    padded = functional.pad(flipped, (shift,) * 4)
    return padded[:, :, down : down + height, right : right + width].float() / 255


@torch.no_grad()
def accuracy(network: Network, pictures: Tensor, labels: Tensor) -> float:
    """Return the fraction of right answers, in float32."""
    network.eval()
    blocks = zip(pictures.split(500), labels.split(500), strict=True)
    right = sum(int((network(x.float() / 255).argmax(1) == y).sum()) for x, y in blocks)
    return right / len(pictures)


def keep(network: Network, name: str, stem: Path, pictures: Tensor) -> float:
    """Write weights and graph; return how far torch and the reference differ at most, on 100 pictures."""
    weights = {key: network.state_dict()[key].numpy() for key in parameters(NETWORKS[name])}
    np.savez(stem.with_suffix(".npz"), **weights)
    graph = float_graph(NETWORKS[name], weights)
    write_model(graph, stem.with_suffix(".onnx"))
    x = pictures[:100].float() / 255
    with torch.no_grad():
        wanted = network(x).numpy()
    return float(np.abs(evaluate(graph, {"x": x.numpy()})["logits"] - wanted).max())


def read_pictures(data: str, folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """Return uint8 pictures `[n, c, h, w]` and labels `[n]`."""
    pictures, labels = _fashion(folder, split) if data == "fashion" else _cifar10(folder, split)
    return torch.from_numpy(pictures), torch.from_numpy(labels)


def _fashion(folder: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    found = load(folder, split)
    pictures = np.rint(found.samples * 255).astype(np.uint8).reshape(-1, 1, 28, 28)
    return pictures, np.asarray(found.labels, np.int64)


def _cifar10(folder: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    from PIL import Image
    from pyarrow import parquet

    table = parquet.read_table(folder / f"{split}.parquet").to_pydict()
    pictures = [np.asarray(Image.open(io.BytesIO(row["bytes"]))) for row in table["img"]]
    return np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2)), np.array(table["label"], np.int64)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", help="a table of convnets.toml")
    parser.add_argument("--data", action="append", required=True, help="fashion=DIR or cifar10=DIR")
    parser.add_argument("--epochs", type=int, help="instead of the table's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
