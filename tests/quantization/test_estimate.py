"""What a calibration takes is said before it starts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.calibrate import Runner, engine_or_reference
from lowbit.ir import Graph, Node, Value, infer
from lowbit.quantization import Estimate, Plan, pipeline, quantize
from lowbit.quantization.rehearsal import Counted, Rehearsal
from lowbit.quantization.trial import FitTime
from tests.command import Command
from tests.ir.networks import float_convnet, float_mlp


def estimate_of(graph: lowbit.Graph, count: int, plan: Plan) -> Estimate:
    shape = [int(length) for length in graph.value(graph.inputs[0]).shape[1:]]
    x = np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32)
    found: list[tuple[Estimate, bool]] = []
    started: list[str] = []
    quantize(
        graph,
        x,
        plan,
        lambda done, total, name: started.append(name),
        announce=lambda each: found.append((each, bool(started))),
    )
    ((estimate, late),) = found
    assert not late
    return estimate


@pytest.mark.parametrize("plan", [Plan("affine:8", "affine:8"), Plan("lq:3", "lq:3"), Plan("lq:2", "float")])
def test_every_layer_has_a_part(plan: Plan) -> None:
    graph = float_convnet()
    estimate = estimate_of(graph, 40, plan)
    assert estimate.seconds > 0 and sum(estimate.layers) == pytest.approx(estimate.seconds)
    assert estimate.share(0) == 0 and estimate.share(len(estimate.layers)) == pytest.approx(1)
    shares = [estimate.share(done) for done in range(len(estimate.layers) + 1)]
    assert shares == sorted(shares)


def test_more_takes_more() -> None:
    small, large = float_mlp((20, 30, 5)), float_mlp((600, 500, 5))
    for plan in (Plan("affine:8", "affine:8"), Plan("lq:3", "lq:3")):
        few, many = (estimate_of(small, count, plan) for count in (20, 1000))
        assert few.bytes < many.bytes  # of so small a network a pass is measured, and no two take the same
    wide = [estimate_of(graph, 100, Plan("lq:3", "lq:3")) for graph in (small, large)]
    assert wide[0].seconds < wide[1].seconds and wide[0].bytes < wide[1].bytes


def branched(*, twice: bool = False, keeps: int = 0) -> Graph:
    """Return convolutions around a residual sum, of which two may share their weights, and more behind it."""
    graph, random = Graph("net", ("x",), ("y",)), np.random.default_rng(0)
    graph.add(Value("x", "float32", ("n", 4, 8, 8)))
    last = "x"
    weights = [
        graph.add_constant(f"w{index}", random.normal(size=(4, 4, 3, 3))) for index in range(4 + keeps)
    ]
    bias = graph.add_constant("b", random.normal(size=4))

    def layer(index: int, source: str, to: str) -> None:
        inputs = (source, weights[1 if twice and index == 2 else index], bias)
        graph.nodes.append(Node("Conv", inputs, (to,), {"pads": (1, 1, 1, 1)}, f"layer{index}"))

    layer(0, "x", "a")
    graph.nodes.append(Node("Relu", ("a",), ("r",), {}, "relu"))
    layer(1, "r", "c")
    layer(2, "r", "d")
    graph.nodes.append(Node("Add", ("c", "d"), ("s",), {}, "sum"))
    last = "s"
    for index in range(3, 4 + keeps):
        layer(index, last, f"o{index}")
        last = f"o{index}"
    graph.nodes.append(Node("Identity", (last,), ("y",), {}, "end"))
    infer(graph)
    return graph


PLANS = {
    "rounded": Plan("affine:8", "affine:8", method="rtn", sums="real"),
    "means": Plan("affine:8", "affine:8", method="bias", sums="real"),
    "restored": Plan("affine:4", "affine:4", method="gptq", sums="real"),
    "weights alone": Plan("lq:2", "float", method="gptq", sums="real"),
    "one stays": Plan(
        "affine:4", "affine:4", method="gptq", sums="real", layers={"layer3": {"scheme": "float"}}
    ),
}


@pytest.mark.parametrize(("twice", "budget"), [(False, "4G"), (False, "600K"), (True, "600K")])
@pytest.mark.parametrize("plan", PLANS)
def test_what_is_rehearsed_is_what_is_run(
    plan: str, twice: bool, budget: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many parts are planned and run, whatever is held, read again, shared or kept."""
    graph = branched(twice=twice, keeps=2)
    samples = np.random.default_rng(0).normal(size=(40, 4, 8, 8)).astype(np.float32)
    rehearsed, real, taken = Counted(), Counted(), Rehearsal.taken

    def counting(self: Rehearsal) -> Counted:
        found = taken(self)
        for name in ("plans", "calls"):
            setattr(rehearsed, name, getattr(rehearsed, name) + getattr(found, name))
        return found

    def run(part: Graph) -> Runner:
        runner = engine_or_reference(part)
        real.plans += 1

        def called(feeds: object) -> object:
            real.calls += 1
            return runner(feeds)  # type: ignore[arg-type]

        return called  # type: ignore[return-value]

    def begun(estimate: Estimate) -> None:
        real.plans = real.calls = 0

    monkeypatch.setattr(Rehearsal, "taken", counting)
    for step in ("equalize", "smooth"):
        monkeypatch.setattr(pipeline, step, lambda network, *rest: network)
    monkeypatch.setenv("LOWBIT_MEMORY", budget)
    quantize(graph, samples, replace(PLANS[plan], restarts=0), run=run, announce=begun)
    assert real.plans > 6 and rehearsed == real


def test_fits_are_extended_along_lines() -> None:
    time = FitTime((1, 8, 64), (10, 100), np.add.outer([1.0, 2.0, 5.0], [0.0, 9.0]))
    assert time.of((1, 10)) == 1 and time.of((8, 100)) == 11 and time.of((36, 55)) == pytest.approx(8.0)
    assert time.of((120, 200)) == pytest.approx(27.0) and time.of((1, 1)) == pytest.approx(0.1)
    assert FitTime((4,), (9,), np.array([[0.5]])).of((100, 100)) == 0.5


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.01, "about 1 s of"), (89, "89 s"), (200, "3 min"), (7200, "2.0 h")]
)
def test_it_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert said in str(Estimate(seconds, 3 << 29, ())) and "1.5 GiB" in str(Estimate(seconds, 3 << 29, ()))


def test_the_command_says_it_and_scripts_do_not_see_it(tmp_path: Path, command: Command) -> None:
    lowbit.write(float_mlp((64, 12, 10)), tmp_path / "net.onnx")
    words = ("quantize", tmp_path / "net.onnx", "-o", tmp_path / "low.onnx", "--data", "digits", "--bits", 8)
    status, _, said = command(*words)
    assert status == 0 and "of one processor" in said
    status, out, said = command(*words, "--json")
    assert status == 0 and not said and out.startswith("{") and out.count("\n") == 1
