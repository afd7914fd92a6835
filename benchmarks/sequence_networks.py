"""Train the networks of `benchmarks/sequences.py`: an LSTM, a GRU and a transformer read digits row by row.

    python benchmarks/sequence_networks.py --mnist DIR --nets DIR [--only lstm]

A picture of 28 rows is a sequence of 28 vectors. 50,000 training pictures train, the last 10,000 of the
training set choose the epoch that is kept; the test set is not read. Needs the extra ``train``; two to six
minutes a network on one core.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from lowbit.data import load

VALIDATION = 10_000
"""Training pictures that choose."""

_STEPS, _WIDTH, _CLASSES, _BATCH = 28, 96, 10, 128


class Recurrent(nn.Module):
    """A recurrent layer over the rows, and a layer of its last state."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.rows = kind(_STEPS, _WIDTH, batch_first=True)
        self.head = nn.Linear(_WIDTH, _CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``[n, 10]`` of pictures ``[n, 28, 28]``."""
        return self.head(self.rows(x)[0][:, -1])


class Transformer(nn.Module):
    """Two blocks of four heads over the rows, their mean, and a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Linear(_STEPS, _WIDTH // 2)
        self.place = nn.Parameter(0.02 * torch.randn(_STEPS, _WIDTH // 2))
        block = nn.TransformerEncoderLayer(
            _WIDTH // 2, 4, 2 * _WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(_WIDTH // 2)
        self.head = nn.Linear(_WIDTH // 2, _CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``[n, 10]`` of pictures ``[n, 28, 28]``."""
        return self.head(self.norm(self.blocks(self.rows(x) + self.place)).mean(dim=1))


NETWORKS = {
    "lstm": lambda: Recurrent(nn.LSTM),
    "gru": lambda: Recurrent(nn.GRU),
    "transformer": Transformer,
}


def pictures(folder: str, split: str) -> tuple[Tensor, Tensor]:
    """Return pictures ``[n, 28, 28]`` in [0, 1] and their classes."""
    found = load(folder, split=split)
    return torch.from_numpy(found.samples).reshape(-1, _STEPS, _STEPS), torch.from_numpy(found.labels).long()


def train(model: nn.Module, x: Tensor, y: Tensor, epochs: int) -> float:
    """Train a model, keep its best epoch, and return the validation accuracy of that."""
    held, best, kept = x[-VALIDATION:], 0.0, dict(model.state_dict())
    x, y, classes = x[:-VALIDATION], y[:-VALIDATION], y[-VALIDATION:]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = epochs * (len(x) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for epoch in range(epochs):
        model.train()
        for batch in torch.randperm(len(x))[: len(x) // _BATCH * _BATCH].split(_BATCH):
            loss = functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.no_grad():
            share = float((model(held).argmax(dim=1) == classes).float().mean())
        print(f"epoch {epoch + 1}: loss {float(loss.detach()):.4f}, validation {share:.2%}", flush=True)
        if share > best:
            best, kept = share, {name: array.clone() for name, array in model.state_dict().items()}
    model.load_state_dict(kept)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mnist", required=True, help="folder of MNIST's idx files")
    parser.add_argument("--nets", required=True, type=Path, help="where the .onnx files go")
    parser.add_argument("--only", choices=NETWORKS, help="one network")
    parser.add_argument("--epochs", type=int, default=8)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.nets.mkdir(parents=True, exist_ok=True)
    x, y = pictures(given.mnist, "train")
    for name in [given.only] if given.only else NETWORKS:
        torch.manual_seed(0)
        model, started = NETWORKS[name](), time.perf_counter()
        share = train(model, x, y, given.epochs)
        print(f"{name}: validation {share:.2%}, {time.perf_counter() - started:.0f} s", flush=True)
        torch.onnx.export(
            model.eval(),
            (x[:2],),
            given.nets / f"{name}.onnx",
            input_names=["rows"],
            output_names=["scores"],
            dynamic_axes={"rows": {0: "n"}, "scores": {0: "n"}},
            opset_version=17,
            dynamo=False,
        )


if __name__ == "__main__":
    main()
