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


def check_refused(model: nn.Module, words: str, chosen: Plan | None = None) -> None:
    """Check that nothing is left of an attempt that fails."""
    modules, state = list(model.named_modules()), {k: v.clone() for k, v in model.state_dict().items()}
    seed = torch.get_rng_state()
    with pytest.raises(UnsupportedError, match=words):
        prepare(model, chosen or plan(), exportable=False)
    assert [(name, id(module)) for name, module in model.named_modules()] == [
        (name, id(module)) for name, module in modules
    ]
    assert list(state) == list(model.state_dict())
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert torch.equal(seed, torch.get_rng_state())


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


@pytest.mark.parametrize("name", NEVER_NEGATIVE)
def test_functions_before_a_sign_are_refused_by_name(name: str) -> None:
    random = np.random.default_rng([*map(ord, name)])
    for _ in range(3):
        functions = [*chain(random), NEVER_NEGATIVE[name], *chain(random)]
        assert share_of_ones(Net(*functions)) == 1
        check_refused(Net(*functions), "layer: its sign is always the same: .* is never negative")


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


def test_a_module_that_others_read_is_refused() -> None:
    class Read(Net):
        def forward(self, x: Tensor) -> Tensor:
            x = self.f0(self.before(x))
            return self.layer(x) + self.f1(x)

    other = nn.Conv2d(6, 3, 1)
    check_refused(Read(nn.ReLU(), other), "f0 is read by f1 too")
    both = {"layer": LayerPlan("binary", "binary"), "f1": LayerPlan("binary", "binary", before_sign="prelu")}
    check_refused(Read(nn.ReLU(), other), "f0 is read by", Plan(both))
    lower = {"layer": LayerPlan("binary", "binary"), "f1": LayerPlan("lq:2", "lq:2")}
    check_refused(Read(nn.ReLU(), other), "f0 is read by f1", Plan(lower))
    same = Read(nn.ReLU(), other)
    assert "f0" in prepare(same, Plan({"[lf]*": LayerPlan("binary", "binary")})).changed


def test_a_shared_module_is_refused_where_it_would_be_replaced_and_kept_elsewhere() -> None:
    relu = nn.ReLU()

    class Shared(Net):
        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.relu(self.f0(self.relu(self.before(x)))))

    model = Shared(nn.Conv2d(6, 6, 1))
    model.relu = relu
    check_refused(model, "relu is used in 2 places")
    model.other = relu  # a second name for the same module
    check_refused(model, "relu is used in 2 places")
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
    monkeypatch.setattr(module, "functions_before_signs", lambda *arguments: ({}, {}))
    model = Net(nn.ReLU(), nn.AvgPool2d(2))
    prepare(model, plan(), exportable=False)
    assert isinstance(model.layer, Conv2d) and share_of_ones(model) == 1
