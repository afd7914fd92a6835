"""The many ways to write a function in torch become the same graph; others are named before training."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from lowbit.engine import Program  # noqa: E402
from lowbit.errors import LowbitError, UnsupportedError  # noqa: E402
from lowbit.ir import evaluate  # noqa: E402
from lowbit.nn import LayerPlan, Plan, prepare, to_graph  # noqa: E402

MAPS: dict[str, Callable[[Tensor], Tensor]] = {
    "F.relu": functional.relu,
    "F.relu in place": lambda x: functional.relu(x, inplace=True),
    "method": lambda x: x.relu(),
    "relu_": lambda x: (x + 0).relu_(),
    "ReLU6": nn.ReLU6(),
    "F.relu6": functional.relu6,
    "F.hardtanh": lambda x: functional.hardtanh(x, -0.5, max_val=2.0),
    "clamp": lambda x: torch.clamp(x, 0, 6),
    "clamp(max)": lambda x: x.clamp(max=1.5),
    "clamp_min": lambda x: torch.clamp_min(x, -0.25),
    "LeakyReLU": nn.LeakyReLU(0.2),
    "F.leaky_relu": lambda x: functional.leaky_relu(x, 0.2),
    "ELU": nn.ELU(0.7),
    "F.elu": functional.elu,
    "Hardswish": nn.Hardswish(),
    "F.hardsigmoid": functional.hardsigmoid,
    "SiLU": nn.SiLU(),
    "F.silu": functional.silu,
    "Softplus": nn.Softplus(),
    "softmax": lambda x: torch.softmax(x, dim=1),
    "tanh": lambda x: x.tanh(),
    "sigmoid": torch.sigmoid,
    "MaxPool2d(3, 2, 1)": nn.MaxPool2d(3, 2, 1),
    "MaxPool2d dilated": nn.MaxPool2d(2, 1, dilation=2),
    "F.max_pool2d": lambda x: functional.max_pool2d(x, 2),
    "AvgPool2d(3, 1, 1)": nn.AvgPool2d(3, 1, 1),
    "F.avg_pool2d": lambda x: functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    "AdaptiveAvgPool2d": nn.AdaptiveAvgPool2d(4),
    "F.adaptive_max_pool2d": lambda x: functional.adaptive_max_pool2d(x, (2, 4)),
    "pool to one": nn.AdaptiveAvgPool2d((1, 1)),
    "mean": lambda x: x.mean((-1, -2), keepdim=True),
    "dropout": lambda x: functional.dropout(x, 0.5, False),
    "x * 2": lambda x: x * 2,
    "1 - x": lambda x: 1 - x,
    "x / 3": lambda x: torch.div(x, 3),
    "sub": lambda x: x.sub(0.5),
    "constant": lambda x: x + torch.linspace(0, 1, 8).reshape(8, 1, 1),
    "gate": lambda x: x * torch.sigmoid(x),
    "-x": lambda x: -x,
    "cat": lambda x: torch.concat((x,), 1),
    "permute": lambda x: x.permute(0, 1, 3, 2).contiguous(),
    "transpose": lambda x: x.transpose(2, 3).contiguous(),
    "GELU": nn.GELU(),
    "GroupNorm": nn.GroupNorm(2, 8),
    "cumsum": lambda x: torch.cumsum(x, 1),
    "movedim": lambda x: x.movedim(3, 2).contiguous(),
    "chunks": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
    "indexed": lambda x: x[:, [3, 1, 2, 0, 7, 6, 5, 4]],
}
ROWS: dict[str, Callable[[Tensor], Tensor]] = {
    "flatten": lambda x: x.flatten(1),
    "torch.flatten": lambda x: torch.flatten(x, start_dim=1),
    "Flatten": nn.Flatten(),
    "view": lambda x: x.view(x.size(0), -1),
    "view of shape": lambda x: x.view(x.shape[0], x.shape[1] * x.shape[2] * x.shape[3]),
    "view of a tuple": lambda x: x.view((x.size()[0], -1)),
    "reshape": lambda x: x.reshape(-1, x.size(1) * x.size(2) * x.size(3)),
    "torch.reshape": lambda x: torch.reshape(x, (x.size(0), -1)),
    "twice": lambda x: x.view(x.size(0), 2, -1).flatten(1),
}


class Net(nn.Module):
    """Convolution, functions on maps, low-bit convolution, rows, classifier."""

    def __init__(self, *functions: Any, rows: Any) -> None:
        super().__init__()
        self.first, self.low, self.last = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 1), nn.LazyLinear(4)
        self.functions, self.rows = functions, rows
        for index, function in enumerate((*functions, rows)):
            if isinstance(function, nn.Module):
                self.add_module(f"f{index}", function)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for function in self.functions[:1]:
            x = function(x)
        x = self.low(x)
        for function in self.functions[1:]:
            x = function(x)
        return self.last(self.rows(x))


ADAPTIVE = ("AdaptiveAvgPool2d", "F.adaptive_max_pool2d")  # of maps that others have not changed
OTHERS = [name for name in MAPS if name not in ADAPTIVE]
PAIRS = [
    (name, OTHERS[(step * 7 + index) % len(OTHERS)], list(ROWS)[(step + 4 * index) % len(ROWS)])
    for step, name in enumerate(MAPS)
    for index in range(2)
]


@pytest.mark.parametrize(("maps", "other", "rows"), PAIRS)
def test_every_form_is_exported_as_it_computes(maps: str, other: str, rows: str) -> None:
    torch.manual_seed(0)
    model, x = Net(MAPS[maps], MAPS[other], rows=ROWS[rows]), torch.randn(6, 1, 8, 8)
    model(x)
    prepare(model, Plan({"low": LayerPlan("lq:2", "lq:2:offset")}))
    model.train()(x)
    model.eval()
    with torch.no_grad():
        wanted = model(x)
    graph = to_graph(model, (1, 8, 8))
    found = evaluate(graph, {"x": x.numpy()})["logits"]
    np.testing.assert_allclose(found, wanted, atol=2e-5 * float(wanted.abs().max()))
    if not {"Softplus", "Softmax"} & {node.op for node in graph.nodes}:  # of which the engine has no maps
        np.testing.assert_allclose(
            Program(graph).run(x.numpy()), found, atol=2e-5 * float(wanted.abs().max())
        )


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (torch.special.bessel_j0, "bessel"),
        (lambda x: torch.fft.fft(x).real, "fft"),
        (lambda x: x if x.sum() > 0 else -x, "depend on the input"),
    ],
)
def test_what_has_no_operator_is_named_before_training(function: Any, words: str) -> None:
    model, chosen = Net(nn.ReLU(), function, rows=nn.Flatten()), Plan({"low": LayerPlan("lq:2", "lq:2")})
    x = torch.randn(2, 1, 8, 8)
    model(x)
    before = [(id(module), type(module)) for module in model.modules()]
    with pytest.raises(UnsupportedError, match=words):
        prepare(model, chosen, x)
    assert before == [(id(module), type(module)) for module in model.modules()]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (lambda x: x.flatten(), r"last.*512\*n"),
        (lambda x: functional.adaptive_avg_pool2d(x, 3).flatten(1), "adaptive_avg_pool2d"),
    ],
)
def test_arguments_that_the_graph_lacks_are_named(rows: Any, words: str) -> None:
    model = Net(nn.ReLU(), rows=rows)
    with torch.no_grad():
        model.last = nn.Linear(rows(torch.zeros(2, 8, 8, 8)).shape[-1], 4)
    with pytest.raises(LowbitError, match=words):
        to_graph(model, (1, 8, 8))


def test_a_network_that_joins_samples_takes_as_many_as_its_example_has() -> None:
    model = Net(nn.ReLU(), rows=lambda x: x.flatten())
    model.last = nn.Linear(1024, 4)
    graph = to_graph(model.eval(), torch.zeros(2, 1, 8, 8))
    assert graph.value(graph.inputs[0]).shape == (2, 1, 8, 8)
