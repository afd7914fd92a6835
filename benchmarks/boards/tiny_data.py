"""Weights and samples of trained networks, samples of an autoencoder, for `keras_tiny.py` and for boards.

    LOWBIT_DATA=DIR python -m benchmarks.boards.tiny_data FOLDER

Writes ``NAME.npz`` (weights in order, 256 samples to calibrate, 1,000 test samples, channels first) and
``NAME.samples.npz`` (the test samples as the Keras files take them, channels last). The autoencoder's samples
are synthetic: smooth functions of eight numbers, and noise.
"""

import sys
from pathlib import Path

import numpy as np
from tests.corpus.trained.tasks import TASKS
from tests.corpus.trained.train import KEPT

import lowbit


def main() -> int:
    """Write all files."""
    folder = Path(sys.argv[1])
    random = np.random.default_rng(0)
    hidden = np.tanh(random.normal(size=(2256, 8)) @ random.normal(size=(8, 32)))
    features = hidden @ random.normal(size=(32, 640)) / 6 + 0.1 * random.normal(size=(2256, 640))
    features = features.astype(np.float32)
    np.savez(folder / "autoencoder.npz", calibrate=features[1000:], x=features[:1000])
    np.savez(folder / "autoencoder.samples.npz", x=features[:1000], y=np.zeros(1000, np.int64))
    for name in ("ds_cnn", "resnet8", "mobilenet_v1_025"):
        graph, sets = lowbit.read(KEPT / f"{name}-seed0.onnx"), TASKS[name].sets()
        layers = [node for node in graph.nodes if node.op in ("Conv", "Gemm")]
        arrays = {
            f"{kind}{index}": np.asarray(graph.value(node.inputs[at]).data, np.float32)
            for index, node in enumerate(layers)
            for kind, at in (("w", 1), ("b", 2))
        }
        samples, labels = (part[:1000] for part in sets.test)
        np.savez(folder / f"{name}.npz", **arrays, calibrate=sets.train[0][:256], x=samples, y=labels)
        np.savez(folder / f"{name}.samples.npz", x=samples.transpose(0, 2, 3, 1), y=labels)
    return 0


if __name__ == "__main__":
    sys.exit(main())
