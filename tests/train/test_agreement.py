"""Codes of the engine are compared with those of the module by their levels."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import lowbit  # noqa: E402
from lowbit.nn import LayerPlan, Plan, prepare, to_graph  # noqa: E402
from lowbit.train.agreement import agreement  # noqa: E402
from lowbit.train.samples import Samples  # noqa: E402

# Code 3 lies below code 4 in the first basis, above it in the second; in the third they are one level.
BASES = ([1.0, 2.0, 4.0], [1.0, 3.0, 3.5], [1.0, 2.0, 3.0])


@pytest.mark.parametrize("basis", BASES)
def test_levels_out_of_the_order_of_their_codes(basis: list[float], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 5))
    prepare(model, Plan({"*": LayerPlan(weight="lq:2", activation="lq:3:offset")}))
    numbers = torch.rand(400, 12)
    for _ in range(3):
        model(numbers)
    for layer in (model[0], model[2], model[4]):
        learned = layer.input_quantizer.learned
        learned.basis.data.copy_(learned.basis.sum() / sum(basis) * torch.tensor([basis]))
    model.eval()
    lowbit.write(to_graph(model, (12,)), tmp_path / "model.onnx")
    samples = Samples(numbers, torch.zeros(400, dtype=torch.int64), (), (12,))
    found = agreement(model, tmp_path / "model.onnx", samples)
    assert found["codes"] == 400 * (12 + 10 + 8)
    assert found["codes_engine"] == 0
    assert found["classes_engine"] == 0
    moved = agreement(Moved(model), tmp_path / "model.onnx", samples)
    assert moved["codes_engine"] > 0.5 * found["codes"]


class Moved(nn.Module):
    """Another network: its layers read other numbers."""

    def __init__(self, model: nn.Sequential) -> None:
        super().__init__()
        for name, layer in model.named_children():
            self.add_module(name, layer)

    def forward(self, x: "torch.Tensor") -> "torch.Tensor":
        for layer in self.children():
            x = layer(x * np.float32(3))
        return x
