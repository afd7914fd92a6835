"""Attention, recurrent layers and cells whose products are parts: at 8 bits nearly what torch computes."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402

from lowbit.engine import Program  # noqa: E402
from lowbit.errors import UnsupportedError  # noqa: E402
from lowbit.nn import Plan, prepare, replan, to_graph  # noqa: E402


class First(nn.Module):
    """What a module gives first."""

    def __init__(self, module: nn.Module, *more: Any) -> None:
        super().__init__()
        self.module, self.more = module, more

    def forward(self, x: Tensor) -> Tensor:
        given = self.module(x, *self.more)
        return given[0] if isinstance(given, tuple) else given


class Self(First):
    """Attention of a sequence to itself."""

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.module(x, x, x, **dict(self.more))[0]
        return made


class Steps(First):
    """A cell called step by step."""

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for step in range(x.shape[1]):
            state = self.module(x[:, step], state)
        assert state is not None
        return state[0] if isinstance(state, tuple) else state


CAUSAL = torch.full((7, 7), float("-inf")).triu(1)
MODULES: dict[str, Callable[[], nn.Module]] = {
    "LSTM both ways, two layers": lambda: First(nn.LSTM(8, 6, 2, batch_first=True, bidirectional=True)),
    "GRU": lambda: First(nn.GRU(8, 6, batch_first=True)),
    "GRU without bias, steps first": lambda: First(nn.GRU(8, 6, bias=False)),
    "GRU with a state": lambda: First(nn.GRU(8, 6, batch_first=True), torch.ones(1, 5, 6) / 2),
    "RNN of ReLU": lambda: First(nn.RNN(8, 6, nonlinearity="relu", batch_first=True)),
    "LSTMCell": lambda: Steps(nn.LSTMCell(8, 6)),
    "GRUCell": lambda: Steps(nn.GRUCell(8, 6)),
    "RNNCell": lambda: Steps(nn.RNNCell(8, 6)),
    "attention": lambda: Self(nn.MultiheadAttention(8, 2, batch_first=True)),
    "attention, masked, steps first": lambda: Self(
        nn.MultiheadAttention(8, 4, bias=False), ("attn_mask", CAUSAL[:5, :5])
    ),
    "attention, padded": lambda: Self(
        nn.MultiheadAttention(8, 2, batch_first=True), ("key_padding_mask", torch.arange(7).expand(5, 7) > 4)
    ),
    "encoder": lambda: First(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)),
}


@pytest.mark.parametrize("name", MODULES)
def test_at_eight_bits_parts_are_nearly_what_torch_computes(name: str) -> None:
    torch.manual_seed(0)
    model, x = MODULES[name](), torch.randn(5, 7, 8)
    wanted = copy.deepcopy(model).eval()
    plain = list(model.state_dict())
    done = prepare(model, Plan("affine:8", "affine:8"), x, exportable=False)
    assert set(done.new) == set(model.state_dict()) - set(plain)
    model.train()(x).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    with torch.no_grad():
        found, target = model.eval()(x), wanted(x)
    assert float((found - target).norm()) < 0.06 * float(target.norm())
    assert float((found - target).norm()) > 0
    replan(model, Plan("float"))
    assert list(model.state_dict()) == plain
    torch.testing.assert_close(model(x), target)


def test_weights_that_come_without_quantizers_begin_again() -> None:
    torch.manual_seed(0)
    x, plan = torch.randn(5, 7, 8), Plan("affine:8", "affine:8")
    old, new = First(nn.GRU(8, 6, batch_first=True)), First(nn.GRU(8, 6, batch_first=True))
    prepare(old, plan, x, exportable=False)
    old.train()(x)
    old.load_state_dict(new.state_dict(), strict=False)
    prepare(new, plan, x, exportable=False)
    for model in (old, new):
        model.train()(x)
    torch.testing.assert_close(old.eval()(x), new.eval()(x), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
def test_forms_without_low_bits_are_named() -> None:
    for module in (nn.LSTM(8, 6, proj_size=3), nn.MultiheadAttention(8, 2, add_bias_kv=True)):
        model = Self(module) if isinstance(module, nn.MultiheadAttention) else First(module)
        with pytest.raises(UnsupportedError, match=r"module: .* has no low-bit form"):
            prepare(model, Plan("lq:2", "lq:2"), torch.randn(5, 7, 8), exportable=False)


class StepsFirst(nn.Module):
    """A network whose input has its samples along the second axis."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent, self.last = nn.GRU(8, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.last(self.recurrent(x)[0][-1])
        return made


def test_steps_are_no_samples() -> None:
    """A trace has as many steps as the example: lengths along which samples meet stay those of it."""
    torch.manual_seed(0)
    model, x = StepsFirst(), torch.randn(7, 3, 8)
    prepare(model, Plan("lq:2", "lq:2"), x)
    model.train()(x)
    graph = to_graph(model.eval(), x)
    assert graph.value("x").shape == (7, 3, 8)
    torch.testing.assert_close(torch.from_numpy(Program(graph).run(x.numpy())), model(x).detach())
    kept = nn.Sequential(First(nn.LSTM(8, 6, batch_first=True)), nn.Flatten(), nn.Linear(42, 2)).eval()
    assert to_graph(kept, torch.randn(4, 7, 8)).value("x").shape == ("n", 7, 8)
