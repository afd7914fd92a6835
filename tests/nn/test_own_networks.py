"""Networks as people write them train at low bits and give the same codes in the engine, by way of .circle.

`benchmarks/own_networks.py` tries forty of them by six plans.
"""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.nn.networks import FAMILIES, Drawn, draw  # noqa: E402
from tests.nn.own_network import PLANS, attempt  # noqa: E402

QUICK = (1, 2, 5, 6, 8, 9, 11, 22)  # one of most families: the others take longer
CASES = [
    (family, number % 3, list(PLANS)[(number + shift) % len(PLANS)])
    for shift in (0, 2, 4)
    for number, family in enumerate(FAMILIES)
]


@pytest.mark.parametrize(
    ("family", "seed", "plan"),
    [
        pytest.param(*case, marks=() if index % 5 == 0 else pytest.mark.nightly)
        for index, case in enumerate(CASES)
    ],
)
def test_an_own_network_reaches_the_engine(family: str, seed: int, plan: str, tmp_path: Path) -> None:
    found = attempt(draw(family, seed), PLANS[plan], tmp_path, steps=2)
    assert found.stage == "done", found.why
    assert found.layers and not found.where
    assert found.wrong == 0 and found.error < 1e-4


def test_a_wrong_code_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lowbit.nn import emission

    plain: Any = emission._codes

    def shifted(reader: Any, source: str, encoding: Any, thresholds: Any, name: str) -> str:
        return str(plain(reader, source, encoding, thresholds + 0.05, name))

    monkeypatch.setattr(emission, "_codes", shifted)
    found = attempt(draw("mlp", 1), PLANS["lq:2"], tmp_path, steps=1)
    assert found.stage == "done" and found.wrong > 0


class Decoder(torch.nn.Module):
    """Rows become lines again, behind cells that are called step by step and a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.own = torch.nn.LSTMCell(5, 8), torch.nn.Parameter(torch.randn(8, 24) * 0.3)
        self.token = torch.nn.Parameter(torch.randn(1, 1, 8))
        self.up = torch.nn.ConvTranspose1d(6, 2, 4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = torch.zeros(x.size(0), 8), torch.zeros(x.size(0), 8)
        for step in range(x.size(1)):
            state = self.cell(x[:, step], state)
        both = torch.cat([self.token.expand(x.shape[0], -1, -1), state[0][:, None]], 1).mean(1)
        return self.up((both @ self.own).unflatten(1, (6, 4)))


@pytest.mark.parametrize("plan", ["lq:2", "binary"])
def test_forms_that_once_had_no_way(plan: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    found = attempt(Drawn(Decoder(), (torch.randn(8, 3, 5),)), PLANS[plan], tmp_path, steps=1)
    assert (found.stage, found.wrong, found.where) == ("done", 0, []), found.why
    assert found.layers == 8  # three steps of two parts, rows, and lines


class States(torch.nn.Module):
    """A classifier of the last states, which it gives as well."""

    def __init__(self, kind: type[torch.nn.RNNBase], layers: int, both: bool) -> None:
        super().__init__()
        self.rnn = kind(5, 8, layers, batch_first=True, bidirectional=both)  # type: ignore[call-arg]
        self.fc = torch.nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        _, state = self.rnn(x)
        state = state[0] if isinstance(state, tuple) else state
        return self.fc(state[-1]), state


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU])
def test_states_are_read_by_heads_and_given(kind: Any, both: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = States(kind, 1 + both, both)
    found = attempt(Drawn(network, (torch.randn(8, 3, 5),)), PLANS["affine:4"], tmp_path, steps=1)
    assert (found.stage, found.wrong, found.where) == ("done", 0, []), found.why
    assert found.error < 1e-4 and found.layers > 2
