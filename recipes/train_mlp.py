"""Train the float MLPs that the post-training tables start from: 784-680(tanh)-10, NumPy only.

    python recipes/train_mlp.py --data DIR --schedule plain --stop-at 0.972 --out mnist-plain.npz
    python recipes/train_mlp.py --data DIR --schedule cycle --epochs 20 --out mnist-strong.npz

`plain` is Adam at a constant rate that stops at the first check whose *test* accuracy lies within 0.05
points of `--stop-at`: the published network had 97.2 %, and only a network of that accuracy can be compared
with it. `cycle` raises the rate to its top and lets it fall to zero (OneCycle); it never looks at the test
set. The cross-entropy loss is averaged over a batch. The file holds `weights0 [680, 784]`, `bias0`,
`weights1 [10, 680]`, `bias1` (float32) and `accuracy`.
"""

import argparse
import gzip
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
HIDDEN, BATCH, CHECK_EVERY = 680, 128, 25


def load_idx(folder: Path, split: str) -> tuple[Array, NDArray[np.int64]]:
    """Return images `[n, 784]` in [0, 1] and labels `[n]` of an idx folder; `split` is `train` or `t10k`."""
    pixels = gzip.decompress((folder / f"{split}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{split}-labels-idx1-ubyte.gz").read_bytes())
    images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 784).astype(np.float32) / np.float32(255)
    return images, np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)


def train(
    images: Array, labels: NDArray[np.int64], schedule: str, epochs: int, seed: int
) -> Iterator[tuple[int, list[Array]]]:
    """Yield `(step, parameters)` after every step; `parameters` is `[weights0, bias0, weights1, bias1]`."""
    random = np.random.default_rng(seed)
    parameters = _initial(random)
    first, second = [np.zeros_like(p) for p in parameters], [np.zeros_like(p) for p in parameters]
    steps = epochs * (len(images) // BATCH)
    step = 0
    for _ in range(epochs):
        order = random.permutation(len(images))
        for start in range(0, len(images) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            gradients = _gradients(parameters, images[chosen], labels[chosen])
            step += 1
            rate = _rate(schedule, step / steps)
            for p, g, m, v in zip(parameters, gradients, first, second, strict=True):
                _adam(p, g, m, v, step, rate)
            yield step, parameters


def logits(parameters: list[Array], images: Array) -> Array:
    """Return the network's outputs before softmax, `[n, 10]`."""
    hidden = np.tanh(images @ parameters[0].T + parameters[1])
    return np.asarray(hidden @ parameters[2].T + parameters[3], np.float32)


def _initial(random: np.random.Generator) -> list[Array]:
    def glorot(outputs: int, inputs: int) -> Array:
        return random.uniform(-1, 1, (outputs, inputs)).astype(np.float32) * math.sqrt(6 / (inputs + outputs))

    zeros = [np.zeros(HIDDEN, np.float32), np.zeros(10, np.float32)]
    return [glorot(HIDDEN, 784).astype(np.float32), zeros[0], glorot(10, HIDDEN).astype(np.float32), zeros[1]]


def _gradients(parameters: list[Array], x: Array, labels: NDArray[np.int64]) -> list[Array]:
    hidden = np.tanh(x @ parameters[0].T + parameters[1])
    scores = hidden @ parameters[2].T + parameters[3]
    error = np.exp(scores - scores.max(1, keepdims=True))
    error /= error.sum(1, keepdims=True)
    error[np.arange(len(x)), labels] -= 1
    error /= np.float32(len(x))
    inner = (error @ parameters[2]) * (1 - hidden * hidden)
    return [inner.T @ x, inner.sum(0), error.T @ hidden, error.sum(0)]


def _rate(schedule: str, progress: float) -> float:
    if schedule == "plain":
        return 1e-3
    top, warm = 3e-3, 0.25
    if progress < warm:
        return top * (0.04 + 0.96 * progress / warm)
    return top * 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))


def _adam(p: Array, g: Array, m: Array, v: Array, step: int, rate: float) -> None:
    m += np.float32(0.1) * (g - m)
    v += np.float32(0.001) * (g * g - v)
    p -= (
        np.float32(rate / (1 - 0.9**step)) * m / (np.sqrt(v / np.float32(1 - 0.999**step)) + np.float32(1e-8))
    )


def main() -> None:
    """Train one network and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of idx .gz files")
    parser.add_argument("--schedule", choices=["plain", "cycle"], default="plain")
    parser.add_argument("--stop-at", type=float, help="plain: test accuracy to stop at")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    images, labels = load_idx(options.data, "train")
    test_images, test_labels = load_idx(options.data, "t10k")
    started, accuracy, parameters = time.process_time(), 0.0, []
    for step, parameters in train(images, labels, options.schedule, options.epochs, options.seed):
        if options.stop_at and step % CHECK_EVERY == 0:
            accuracy = float((logits(parameters, test_images).argmax(1) == test_labels).mean())
            if abs(accuracy - options.stop_at) <= 0.0005:
                break
    accuracy = float((logits(parameters, test_images).argmax(1) == test_labels).mean())
    names = ["weights0", "bias0", "weights1", "bias1"]
    np.savez(options.out, accuracy=accuracy, **dict(zip(names, parameters, strict=True)))
    print(
        f"{options.out}: step {step}, test accuracy {accuracy:.4f}, {time.process_time() - started:.0f} CPU s"
    )


if __name__ == "__main__":
    main()
