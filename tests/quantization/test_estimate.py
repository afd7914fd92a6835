"""What a calibration takes is said before it starts."""

from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit.quantization import Estimate, Plan, quantize
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
        assert few.seconds < many.seconds and few.bytes <= many.bytes
    wide = [estimate_of(graph, 100, Plan("lq:3", "lq:3")) for graph in (small, large)]
    assert wide[0].seconds < wide[1].seconds and wide[0].bytes < wide[1].bytes


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
