"""Signs that would always be the same are found however they are written, and replaced or refused."""

import copy
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from lowbit.errors import UnsupportedError  # noqa: E402
from lowbit.nn import Conv2d, LayerPlan, Plan, prepare  # noqa: E402
from lowbit.nn.ranges import ranges  # noqa: E402
from lowbit.nn.signs import Signs  # noqa: E402
from lowbit.nn.trace import trace  # noqa: E402

Function = Callable[[Tensor], Tensor]

MODULES: dict[str, Callable[[], nn.Module]] = {
    "ReLU": nn.ReLU,
    "ReLU6": nn.ReLU6,
    "Sigmoid": nn.Sigmoid,
    "Softplus": nn.Softplus,
    "Hardsigmoid": nn.Hardsigmoid,
    "Hardtanh(0, 1)": lambda: nn.Hardtanh(0, 1),
}
NEVER_NEGATIVE: dict[str, Function] = {
    "F.relu": functional.relu,
    "F.relu_": lambda x: functional.relu(x, inplace=True),
    "torch.relu": torch.relu,
    "method": lambda x: x.relu(),
    "relu6": functional.relu6,
    "clamp": lambda x: x.clamp(min=0),
    "clamp_min": lambda x: torch.clamp_min(x, 0.5),
    "maximum": lambda x: torch.maximum(x, torch.zeros(1)),
    "abs": torch.abs,
    "square": lambda x: x * x,
    "power": lambda x: x**2,
    "exp": torch.exp,
    "softmax": lambda x: functional.softmax(x, 1),
    "sigmoid": torch.sigmoid,
    "softplus": functional.softplus,
    "where": lambda x: torch.where(x > 0, x, 0.1),
    "distance": lambda x: (x - 3).abs() + 1,
    "norm": lambda x: torch.sqrt(x * x + 1e-5),
}
KEEPS: dict[str, Function] = {
    "max_pool2d": lambda x: functional.max_pool2d(x, 3, 1, 1),
    "avg_pool2d": lambda x: functional.avg_pool2d(x, 3, 1, 1),
    "adaptive": lambda x: functional.adaptive_avg_pool2d(x, 4),
    "dropout": lambda x: functional.dropout(x, 0.2),
    "views": lambda x: x.reshape(x.size(0), -1).view(x.shape[0], 6, 4, -1),
    "permute": lambda x: x.transpose(2, 3).contiguous(),
    "flatten": lambda x: torch.unflatten(torch.flatten(x, 2), 2, (4, -1)),
    "halves": lambda x: torch.cat(torch.chunk(x, 2, 1)[::-1], 1),
    "joined": lambda x: torch.cat([x[:, :3], x[:, 3:]], dim=1),
    "scaled": lambda x: 3 * x + 0.5,
    "twice": lambda x: x + x,
    "MaxPool2d": nn.MaxPool2d(3, 1, 1),
    "AvgPool2d": nn.AvgPool2d(3, 1, 1),
    "AdaptiveAvgPool2d": nn.AdaptiveAvgPool2d(4),
    "Dropout2d": nn.Dropout2d(0.1),
    "Identity": nn.Identity(),
    "Flatten": nn.Sequential(nn.Flatten(2), nn.Unflatten(2, (4, -1))),
}
ALIVE: dict[str, Function] = {
    "tanh": torch.tanh,
    "LeakyReLU": nn.LeakyReLU(),
    "GELU": nn.GELU(),
    "Hardswish": nn.Hardswish(),
    "shifted": lambda x: torch.relu(x) - 0.5,
    "difference": lambda x: torch.relu(x) - torch.relu(-x),
    "negated": lambda x: -torch.relu(x),
    "layer_norm": lambda x: functional.layer_norm(torch.relu(x), x.shape[1:]),
    "gate": lambda x: x * torch.sigmoid(x),
    "residual": lambda x: x + torch.relu(x),
}


class Net(nn.Module):
    """A convolution, some functions, and a layer that reads their sign."""

    def __init__(self, *functions: Any) -> None:
        super().__init__()
        self.before, self.layer = nn.Conv2d(2, 6, 1), nn.Conv2d(6, 3, 1)
        for index, function in enumerate(functions):
            setattr(self, f"f{index}", copy.deepcopy(function))
        self.count = len(functions)

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        for index in range(self.count):
            x = getattr(self, f"f{index}")(x)
        return self.layer(x)


def plan(before_sign: str = "identity", activation: str = "binary") -> Plan:
    return Plan({"layer": LayerPlan("binary", activation, before_sign=before_sign)})


def share_of_ones(model: Net) -> float:
    """Return the share of +1 among the signs that the layer reads."""
    seen: list[Tensor] = []
    model.layer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    torch.manual_seed(0)
    model.train()(torch.randn(16, 2, 4, 4))
    return float((seen[0] >= 0).float().mean())


def chain(random: np.random.Generator, *without: str) -> list[Any]:
    names = random.choice([name for name in KEEPS if name not in without], random.integers(0, 4))
    return [KEEPS[name] for name in names]


@pytest.mark.parametrize("before", ["identity", "hardtanh", "prelu"])
@pytest.mark.parametrize("name", MODULES)
def test_modules_before_a_sign_are_replaced(name: str, before: str) -> None:
    random = np.random.default_rng([len(before), *map(ord, name)])
    for activation in ("binary", "lq:1"):
        functions = [*chain(random), MODULES[name](), *chain(random)]
        assert share_of_ones(Net(*functions)) == 1
        model = Net(*functions)
        done = prepare(model, plan(before, activation), exportable=False)
        assert any(name.startswith("f") for name in done.changed), functions
        assert 0 < share_of_ones(model) < 1, functions


def test_several_in_a_row_are_replaced() -> None:
    model = Net(nn.ReLU(), nn.MaxPool2d(2), nn.Sigmoid(), nn.ReLU6())
    assert list(prepare(model, plan(), exportable=False).changed) == ["layer", "f0", "f2", "f3"]
    assert share_of_ones(model) < 0.95


def codes_of_one(model: Net) -> float:
    """Return the share of upper levels that the layer reads."""
    assert model.layer.activation.offset
    seen: list[Tensor] = []
    model.layer.input_quantizer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    torch.manual_seed(0)
    model.train()(torch.randn(16, 2, 4, 4))
    assert len(seen[0].unique()) == 2
    return float((seen[0] == seen[0].max()).float().mean())


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("name", NEVER_NEGATIVE)
def test_behind_functions_a_layer_reads_about_the_mean(name: str, traced: bool) -> None:
    random = np.random.default_rng([*map(ord, name)])
    for _ in range(3):
        functions = [*chain(random), NEVER_NEGATIVE[name], *chain(random)]
        assert share_of_ones(Net(*functions)) == 1
        model = Net(*functions)
        example = torch.randn(2, 2, 4, 4) if traced else None
        done = prepare(model, plan(), example, exportable=False)
        assert "lq:1:offset" in done.changed["layer"]
        assert 0 < codes_of_one(model) < 1, functions


@pytest.mark.parametrize("name", ALIVE)
def test_functions_of_both_signs_are_left(name: str) -> None:
    model = Net(ALIVE[name], *chain(np.random.default_rng([*map(ord, name)]), "scaled"))
    assert list(prepare(model, plan(), exportable=False).changed) == ["layer"]


def test_batch_normalization_and_layers_give_anything() -> None:
    model = Net(nn.ReLU(), nn.BatchNorm2d(6), nn.Dropout(0.1))
    assert list(prepare(model, plan(), exportable=False).changed) == ["layer"]
    assert list(prepare(Net(nn.Sigmoid(), nn.Conv2d(6, 6, 1)), plan()).changed) == ["layer"]


def test_one_dead_part_of_a_join_is_enough() -> None:
    class Joined(Net):
        def forward(self, x: Tensor) -> Tensor:
            x = self.before(x)
            return self.layer(torch.cat([torch.tanh(x[:, :3]), self.f0(x[:, 3:])], 1))

    model = Joined(nn.ReLU())
    assert list(prepare(model, plan(), exportable=False).changed) == ["layer", "f0"]


def test_before_a_module_that_others_read_a_layer_reads_about_the_mean() -> None:
    class Read(Net):
        def forward(self, x: Tensor) -> Tensor:
            x = self.f0(self.before(x))
            return self.layer(x) + self.f1(x)

    def read_as(chosen: Plan) -> tuple[bool, bool]:
        model = Read(nn.ReLU(), nn.Conv2d(6, 3, 1))
        done = prepare(model, chosen)
        assert ("f0" in done.changed) == isinstance(model.f0, nn.Identity)
        return "f0" in done.changed, "offset" in done.changed["layer"]

    both = {"layer": LayerPlan("binary", "binary"), "f1": LayerPlan("binary", "binary", before_sign="prelu")}
    lower = {"layer": LayerPlan("binary", "binary"), "f1": LayerPlan("lq:2", "lq:2")}
    assert [read_as(each) for each in (plan(), Plan(both), Plan(lower))] == [(False, True)] * 3
    assert read_as(Plan({"[lf]*": LayerPlan("binary", "binary")})) == (True, False)


def test_a_shared_module_is_replaced_in_the_places_before_signs_alone() -> None:
    relu = nn.ReLU()

    class Shared(Net):
        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.relu(self.f0(self.relu(self.before(x)))))

    model = Shared(nn.Conv2d(6, 9, 1))
    model.layer = nn.Conv2d(9, 3, 1)
    model.relu = model.other = relu
    done = prepare(model, plan("prelu"), exportable=False)
    assert list(done.changed) == ["layer", "relu"]
    assert [type(each) for each in model.relu.functions] == [nn.ReLU, nn.PReLU]
    assert model.relu.functions[1].weight.numel() == 9
    assert 0 < share_of_ones(model) < 1
    model = Shared(nn.Conv2d(6, 6, 1))
    model.relu = relu
    low = Plan({"layer": LayerPlan("lq:2", "lq:2")})
    assert list(prepare(model, low).changed) == ["layer"] and isinstance(model.relu, nn.ReLU)


def test_an_input_that_is_never_negative() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    chosen = Plan({"1": LayerPlan("binary", "binary")})
    with pytest.raises(UnsupportedError, match="the network's input is never negative"):
        prepare(model, chosen, inputs=(0.0, 1.0))
    assert isinstance(prepare(model, chosen, inputs=(-1.0, 1.0)), object)


def test_intervals_are_those_of_arithmetic() -> None:
    class Sums(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2 - functional.relu6(x) / 3 + functional.hardtanh(x)

    model = Sums()
    calls = trace(model)
    assert list(ranges(calls, model, {}).values())[-2] == pytest.approx((1, 8 / 3))


def test_a_planted_dead_sign_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the other tests measure is really there: without the search, the sign is dead."""
    module = importlib.import_module("lowbit.nn.prepare")
    monkeypatch.setattr(module, "functions_before_signs", lambda *arguments: Signs())
    model = Net(nn.ReLU(), nn.AvgPool2d(2))
    prepare(model, plan(), exportable=False)
    assert isinstance(model.layer, Conv2d) and share_of_ones(model) == 1
