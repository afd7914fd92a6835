"""What both exporters of PyTorch really write; skipped where PyTorch is not installed."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowbit.formats.onnx import read
from lowbit.ir import evaluate, run_passes
from lowbit.ir.passes import fold_constants, fuse_linear, is_linear

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")


def viewed() -> Any:
    class Viewed(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = torch.nn.Linear(12, 7), torch.nn.Linear(7, 4, bias=False)

        def forward(self, x: Any) -> Any:
            return torch.log_softmax(self.fc2(torch.tanh(self.fc1(x.view(x.size(0), -1)))), dim=1)

    return Viewed()


def sequential() -> Any:
    return torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(12, 7),
        torch.nn.ReLU6(),
        torch.nn.Dropout(0.5),
        torch.nn.Linear(7, 6),
        torch.nn.Hardtanh(),
        torch.nn.Linear(6, 4),
        torch.nn.Softmax(dim=-1),
    )


@pytest.mark.parametrize("batch", ["open", "fixed"])
@pytest.mark.parametrize("exporter", ["dynamo", "script"])
@pytest.mark.parametrize("make,layers", [(viewed, ["fc1", "fc2"]), (sequential, ["1", "4", "6"])])
def test_export(make: Any, layers: list[str], exporter: str, batch: str, tmp_path: Path) -> None:
    if exporter == "dynamo":
        pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    network, x, path = make().eval(), torch.randn(1 if batch == "fixed" else 2, 3, 4), tmp_path / "net.onnx"
    options: dict[str, Any] = {"dynamo": exporter == "dynamo"}
    if exporter == "dynamo":
        options |= {"external_data": False, "verbose": False}
        options |= {"dynamic_shapes": ({0: torch.export.Dim("batch")},)} if batch == "open" else {}
    else:
        options |= {"input_names": ["x"]}
        options |= {"dynamic_axes": {"x": {0: "batch"}}} if batch == "open" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (x,), str(path), **options)
    graph = run_passes(read(path), [fold_constants, fuse_linear]).graph
    found = [node.name for node in graph.nodes if is_linear(graph, node)]
    assert len(found) == len(layers) and all(layer in name for layer, name in zip(layers, found, strict=True))
    many = torch.randn(5, 3, 4)
    result = evaluate(graph, {graph.inputs[0]: many.numpy()})[graph.outputs[0]]
    np.testing.assert_allclose(result, network(many).detach().numpy(), rtol=1e-5, atol=1e-6)
