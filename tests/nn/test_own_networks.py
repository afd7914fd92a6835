"""Networks as people write them train at low bits and give the same codes in the engine, by way of .circle.

`benchmarks/own_networks.py` tries forty of them by six plans.
"""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.nn.networks import FAMILIES, draw  # noqa: E402
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
