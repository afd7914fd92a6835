"""The networks of `networks.py` as float ``.onnx`` files of torch and torchvision; needs no lowbit.

    python benchmarks/networks_onnx.py DIR [NAME …]

Writes ``DIR/NAME.onnx``, with seeded weights.
"""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.corpus import torch_networks, torchvision_networks
from tests.corpus.torch_networks import TorchNetwork, export

TOKENS, WIDTH, LAYERS = 128, 256, 2


class Transformer(torch.nn.Module):
    """An encoder of embeddings, as for sentences: four heads, GELU, a mean and scores."""

    def __init__(self) -> None:
        super().__init__()
        layer = torch.nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, batch_first=True, activation="gelu")
        self.body = torch.nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.head = torch.nn.Linear(WIDTH, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores."""
        return self.head(self.body(x).mean(1))  # type: ignore[no-any-return]


_ALL = {**torch_networks.NETWORKS, **torchvision_networks.NETWORKS}
NETWORKS = {
    name: _ALL[name] for name in ("mobilenet_v2", "mobilenet_v1_025", "ds_cnn", "resnet18", "resnet8")
} | {"transformer": TorchNetwork(Transformer, ((1, TOKENS, WIDTH),))}


def main() -> int:
    """Write the files."""
    for name in sys.argv[2:] or NETWORKS:
        export(NETWORKS[name], Path(sys.argv[1]) / f"{name}.onnx", "legacy")
    return 0


if __name__ == "__main__":
    sys.exit(main())
