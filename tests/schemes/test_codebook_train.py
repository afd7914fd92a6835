"""Learned tables: where they begin, their gradient, and that what trains is what is deployed."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lowbit.ir import evaluate  # noqa: E402
from lowbit.nn import Conv2d, Linear, to_graph  # noqa: E402
from lowbit.schemes import check_scheme  # noqa: E402
from lowbit.schemes.codebook.train import CodebookWeight  # noqa: E402


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_the_gradient_passes_to_weights_and_table(bits: int) -> None:
    torch.manual_seed(0)
    quantizer, weight = CodebookWeight(3, bits), torch.randn(3, 40, requires_grad=True)
    levels, given = quantizer(weight), torch.randn(3, 40)
    levels.backward(given)
    assert torch.equal(weight.grad, given)
    codes = (weight.detach()[:, :, None] - quantizer.table.detach()[:, None]).abs().argmin(2)
    sums = torch.zeros_like(quantizer.table).scatter_add(1, codes, given)
    assert torch.allclose(quantizer.table.grad, sums, atol=1e-4)
    check_scheme(quantizer.coded(weight).encoding)


@pytest.mark.parametrize("activation", ["lq:2", "affine:4", "binary"])
def test_the_graph_computes_what_eval_mode_computes(activation: str) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        Conv2d(2, 4, 3, padding=1, weight="codebook:3", activation=activation),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        Linear(64, 3, weight="codebook:4", activation="lq:2"),
    )
    x = torch.rand(16, 2, 4, 4)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(3):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
    expected = model.eval()(x).detach().numpy()
    found = evaluate(to_graph(model, (2, 4, 4)), {"x": x.numpy()})["logits"]
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-6)
