"""Calibrated layers that learn on, without labels."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import chain, pairwise
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")


from lowbit.budget import allowed  # noqa: E402
from lowbit.engine import Program  # noqa: E402
from lowbit.errors import LowbitError, PlanError, TooLargeError, UnsupportedError  # noqa: E402
from lowbit.ir import Graph, Node, Value, evaluate, infer, to_text  # noqa: E402
from lowbit.nn import to_graph  # noqa: E402
from lowbit.quantization import Plan, Unfinished, quantize  # noqa: E402
from lowbit.quantization.shared import layer_form, layer_names, teams  # noqa: E402
from lowbit.reconstruction import COURSES, Course, Learner  # noqa: E402
from lowbit.reconstruction.blocks import blocks_of  # noqa: E402
from tests.nn.networks import draw  # noqa: E402

FAMILIES = ("plain", "residual", "mobile", "dense", "mlp", "mixer")
ENDS = {"first": {"weights": "affine:8", "activations": "affine:8"}}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def network(family: str, seed: int = 5) -> tuple[Graph, dict[str, np.ndarray]]:
    """Return a float network of a family, and samples of it; the next seed where torch exports none."""
    drawn = draw(family, seed)
    try:
        graph = to_graph(drawn.module, drawn.inputs)
    except UnsupportedError:
        return network(family, seed + 1)
    random = np.random.default_rng(seed)
    shapes = {name: graph.value(name).shape[1:] for name in graph.inputs}
    arrays = {name: random.normal(size=(64, *shape)) for name, shape in shapes.items()}
    return graph, {name: array.astype(np.float32) for name, array in arrays.items()}


_LONG = pytest.mark.nightly


@pytest.mark.parametrize(
    ("family", "passes"),
    [
        pytest.param("residual", 8, marks=_LONG),
        pytest.param("dense", 8, marks=_LONG),
        ("mlp", 40),
        ("mixer", 16),
    ],
)
def test_blocks_come_nearer_to_the_float_network(
    family: str, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over families: some block is nearer than calibration left it, none is kept that is further."""
    seen: list[float] = []

    def behind(learner: Learner, *given: Any) -> float:
        seen.append(measured(learner, *given))
        return seen[-1]

    measured = Learner._behind
    monkeypatch.setattr(Learner, "_behind", behind)
    monkeypatch.setitem(COURSES, "reconstruct", Course(passes, rate=0.01, rate_of_encodings=0.005))
    graph, samples = network(family)
    low, _ = quantize(graph, samples, Plan("lq:2", "lq:2", layers=ENDS, method="reconstruct"))
    before, after = seen[::2], [min(pair) for pair in zip(seen[::2], seen[1::2], strict=True)]
    assert max(a / b for a, b in zip(before, after, strict=True)) > 1.02
    found, expected = Program(low).run(*(samples[name] for name in low.inputs)), evaluate(low, samples)
    for name, array in zip(low.outputs, found if isinstance(found, tuple) else (found,), strict=True):
        # reals between layers (LayerNormalization, Tanh) may be rounded otherwise: one of 16-bit codes by one
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-3)


def test_blocks_of_layers_that_share_weights_learn() -> None:
    """A block may end with a layer that was calibrated with an earlier one."""
    graph, samples = network("mixer", 6)
    said: list[str] = []
    plan = Plan("lq:2", "lq:2", layers=ENDS, method="reconstruct", passes=1)
    low, report = quantize(graph, samples, plan, progress=lambda done, total, what: said.append(what))
    assert any(each.uses > 1 for each in report.layers)
    assert sum(what.startswith("reconstruct ") for what in said) == 3
    expected = evaluate(low, samples)[low.outputs[0]]
    np.testing.assert_array_equal(Program(low).run(samples["x"]), expected)


@pytest.mark.parametrize(("batch", "method"), [(1, "reconstruct"), (1, "distill"), (3, "distill")])
def test_a_fixed_batch_learns(batch: int, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one sample at a time as well: what is wanted has no variance in it."""
    monkeypatch.setitem(COURSES, method, Course(3, rate=0.01))
    graph, random = Graph("net", ("x",), ("y",)), np.random.default_rng(4)
    graph.add(Value("x", "float32", (batch, 6)))
    for layer, (outputs, inputs) in enumerate([(12, 6), (12, 12), (4, 12)]):
        weight = random.standard_normal((outputs, inputs)).astype(np.float32)
        graph.add_constant(f"w{layer}", weight)
        graph.add_constant(f"b{layer}", random.standard_normal(outputs).astype(np.float32))
        read, made = f"r{layer - 1}" if layer else "x", "y" if layer == 2 else f"a{layer}"
        graph.nodes.append(
            Node("Gemm", (read, f"w{layer}", f"b{layer}"), (made,), {"transB": 1}, f"f{layer}")
        )
        if layer < 2:
            graph.nodes.append(Node("Relu", (made,), (f"r{layer}",), {}, f"relu{layer}"))
    infer(graph)
    samples = {"x": random.standard_normal((48, 6)).astype(np.float32)}
    low, _ = quantize(graph, samples, Plan("lq:1", "lq:1", method=method))
    plain, _ = quantize(graph, samples, Plan("lq:1", "lq:1", method="gptq"))
    assert to_text(low) != to_text(plain)


def test_what_is_no_nearer_stays_as_calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate that ruins every block changes nothing."""
    graph, samples = network("mlp")
    plan = Plan("lq:2", "lq:2", layers=ENDS, method="gptq")
    expected = to_text(quantize(graph, samples, plan)[0])
    for method in ("reconstruct", "distill"):
        monkeypatch.setitem(COURSES, method, Course(1, rate=300.0, rate_of_encodings=0.0))
        assert to_text(quantize(graph, samples, replace(plan, method=method))[0]) == expected


@pytest.mark.parametrize(
    "forms",
    [
        ("lq:1", "lq:1"),
        ("affine:4", "affine:4"),
        ("pow2:3", "affine:8"),
        ("codebook:2", "lq:3:offset"),
        ("binary", "binary"),
    ],
)
def test_every_scheme_learns(forms: tuple[str, str]) -> None:
    """What is written is of the scheme that was planned, and exact in the engine."""
    graph, samples = network("residual")
    low, _ = quantize(graph, samples, Plan(*forms, method="distill", passes=2))
    expected = evaluate(low, samples)[low.outputs[0]]
    np.testing.assert_array_equal(Program(low).run(samples[low.inputs[0]]), expected)
    plain, _ = quantize(graph, samples, Plan(*forms))
    said = [
        [value.encoding.scheme for value in each.values.values() if value.encoding] for each in (low, plain)
    ]
    assert said[0] == said[1]


@pytest.mark.parametrize("method", ["reconstruct", "distill"])
def test_equal_seeds_give_equal_networks(method: str) -> None:
    """Text and constants are the same; another seed gives another network."""
    graph, samples = network("residual")
    made = [
        to_text(quantize(graph, samples, Plan("lq:1", "lq:1", method=method, passes=1, seed=seed))[0])
        for seed in (3, 3, 4)
    ]
    assert made[0] == made[1] != made[2]


def test_reconstruction_goes_on_where_it_was(tmp_path: Any) -> None:
    """What was interrupted between two blocks ends as what was not."""
    graph, samples = network("residual")
    plan = Plan("lq:2", "lq:2", method="reconstruct", passes=1)
    whole = to_text(quantize(graph, samples, plan)[0])
    state = Unfinished(tmp_path / "net.circle")

    def stop(done: int, total: int, name: str) -> None:
        if done == total - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize(graph, samples, plan, stop, unfinished=state)
    assert state.write()
    resumed = Unfinished(tmp_path / "net.circle")
    assert to_text(quantize(graph, samples, plan, unfinished=resumed)[0]) == whole


def test_progress_knows_its_end() -> None:
    """Steps are counted from nothing to all of them."""
    graph, samples = network("mlp")
    seen: list[tuple[int, int]] = []
    quantize(
        graph,
        samples,
        Plan("lq:2", "lq:2", method="reconstruct", passes=1),
        lambda d, t, _: seen.append((d, t)),
    )
    assert [done for done, _ in seen] == list(range(seen[0][1] + 1)) and len(
        {total for _, total in seen}
    ) == 1


def test_blocks_hold_every_layer_once_and_branches_whole() -> None:
    """Over families: blocks follow each other, and hold each layer once."""
    for family in FAMILIES:
        graph = layer_form(network(family)[0])
        names = [[node.name for node in team] for team in teams(graph).values()]
        blocks = blocks_of(graph, names)
        assert sorted(name for block in blocks for name in block.layers) == sorted(chain(*names))
        assert all(a.outputs == b.inputs for a, b in pairwise(blocks))
        assert blocks[0].inputs == graph.inputs and blocks[-1].outputs == graph.outputs


def refused(plan: Plan, graph: Graph | None = None) -> LowbitError:
    """Return why a plan is refused, before anything was done."""
    known, samples = network("residual")
    steps: list[int] = []
    with pytest.raises(LowbitError) as found:
        quantize(graph or known, samples, plan, lambda done, total, name: steps.append(done))
    assert not steps
    return found.value


def test_what_cannot_learn_is_refused_before_work() -> None:
    """All layers of all blockers are named."""
    graph = network("residual")[0]
    first, *_, last = layer_names(layer_form(graph))
    layers = {last: {"weights": "fixed:2.5", "activations": "fixed:2.5"}}
    why = refused(Plan("affine:4", "affine:4", method="distill", symmetric=False, layers=layers))
    assert isinstance(why, PlanError) and first in str(why) and last in str(why) and "symmetric" in str(why)
    both = refused(Plan("lq:2", "lq:2", method="distill", layers={last: {"method": "reconstruct"}}))
    assert isinstance(both, PlanError) and "reconstruct" in str(both) and last in str(both)


def test_operators_without_gradient_are_named() -> None:
    """Behind a layer stand two that have none."""
    graph = network("residual")[0].copy()
    (name,) = graph.outputs
    graph.nodes = [
        *graph.nodes,
        Node("Floor", (name,), ("f",), {}, "floor"),
        Node("Ceil", ("f",), ("c",), {}, "c"),
    ]
    graph.outputs = ("c",)
    infer(graph)
    why = refused(Plan("lq:2", "lq:2", method="reconstruct"), graph)
    assert isinstance(why, UnsupportedError) and "Floor, Ceil" in str(why)


def test_too_many_values_are_refused() -> None:
    """Reconstruction says what it would take; distillation holds nothing."""
    with allowed(1 << 16):
        assert isinstance(refused(Plan("lq:2", "lq:2", method="reconstruct")), TooLargeError)


def test_blends_lie_between_samples_and_leave_integers_alone() -> None:
    from lowbit.reconstruction.learn import _blended

    chance, x = torch.Generator().manual_seed(4), torch.randn(6, 3, 2)
    found = _blended({"x": x, "y": 2 * x}, chance)
    assert found["x"].shape == x.shape and not torch.equal(found["x"], x)
    torch.testing.assert_close(
        found["y"], 2 * found["x"]
    )  # both inputs of a sample have its partner and share
    low, high = x.amin(0), x.amax(0)
    assert bool(((found["x"] >= low - 1e-6) & (found["x"] <= high + 1e-6)).all())
    mixed = {"x": x, "tokens": torch.arange(6)}
    assert all(_blended(mixed, chance)[name] is array for name, array in mixed.items())
