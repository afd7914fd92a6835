"""Plans without hardware: what a schedule reads, what memories hold, foldings chosen and refused."""

from dataclasses import replace
from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.api import quantize
from lowbit.errors import PlanError
from lowbit.ir import Node, infer
from lowbit.ir.window import Axis
from lowbit.rtl.array.budget import Budget, device, fold_for_budget, fold_for_cycles, folding_of
from lowbit.rtl.array.from_graph import from_graph
from lowbit.rtl.array.plan import Folding, LayerPlan, PoolPlan, plan_array
from lowbit.rtl.array.schedule import schedule
from lowbit.rtl.array.scores import plan_scores
from lowbit.rtl.array.units.unit import NOTHING
from lowbit.rtl.integers import Range
from lowbit.rtl.primitives.target import Target
from tests.rtl.array.networks import conv, convolutional, network_and_bench, small
from tests.rtl.families import SCHEMES, draw, samples

Integers = npt.NDArray[np.int64]

axes = st.builds(
    Axis, st.integers(3, 9), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(0, 2)
).filter(lambda axis: max(axis.before, axis.after) < axis.kernel)


@given(rows=axes, columns=axes, words=st.integers(1, 3), folds=st.integers(1, 3))
def test_every_valid_tap_is_read_once_per_fold(rows: Axis, columns: Axis, words: int, folds: int) -> None:
    plan = schedule((rows, columns), words, folds, "layer")
    beats = list(plan.order())
    wanted = []
    for y, y_valid in zip(rows.positions(), rows.valid(), strict=True):
        for x, x_valid in zip(columns.positions(), columns.valid(), strict=True):
            for fold in range(folds):
                for i, j in np.argwhere(np.outer(y_valid, x_valid)):
                    for word in range(words):
                        tap = int(i * columns.kernel + j)
                        weight = (fold * rows.kernel * columns.kernel + tap) * words + word
                        wanted.append((int(y[i]), int(x[j]) * words + word, weight))
    assert [(beat.row, beat.word, beat.weight) for beat in beats] == wanted
    assert plan.beats == len(beats) and sum(beat.first for beat in beats) == sum(beat.last for beat in beats)


@given(rows=axes, columns=axes, words=st.integers(1, 3))
def test_rows_are_there_when_they_are_read(rows: Axis, columns: Axis, words: int) -> None:
    plan = schedule((rows, columns), words, 1, "layer")
    start = 0
    for reach, needed, released in zip(plan.rows, plan.needed, plan.released, strict=True):
        assert start == reach.position and reach.taps <= needed <= plan.ring
        start += released
    assert start == plan.height


def read_through(network_pictures: Integers, plans: tuple[LayerPlan | PoolPlan, ...]) -> Integers:
    """Return the last sums of pictures of ranks, beat by beat as planned."""
    ranks = network_pictures
    for plan in plans:
        order, n = plan.schedule, len(ranks)
        words = ranks.reshape(n, order.height, order.row_words, plan.in_lanes)
        found, total = [], np.zeros(0)
        for beat in order.order():
            data = words[:, beat.row, beat.word]
            if isinstance(plan, PoolPlan):
                total = data if beat.first else np.maximum(total, data)
            else:
                total = products(plan, data, beat.weight) + (0 if beat.first else total)
            if beat.last:
                found.append(total if isinstance(plan, PoolPlan) else ranked(plan, total, beat))
        shape = (n, len(order.rows), len(order.columns), -1)
        ranks = np.stack(found, axis=1).reshape(shape)
    return ranks.reshape(len(ranks), -1)


def products(plan: LayerPlan, data: Integers, address: int) -> Integers:
    element, parts = plan.element, plan.folding.elements * plan.folding.lanes
    word, mask = plan.weight_words[address], (1 << element.weight_bits) - 1
    codes = np.array([word >> (at * element.weight_bits) & mask for at in range(parts)])
    weights = element.weight_values()[codes].reshape(plan.folding.elements, plan.folding.lanes)
    return np.asarray(element.activation_values()[data] @ weights.T)


def ranked(plan: LayerPlan, sums: Integers, beat) -> Integers:  # type: ignore[no-untyped-def]
    order, columns = plan.schedule, plan.schedule.columns
    taps = next(r.taps for r in order.rows if r.category == beat.row_category)
    taps *= next(r.taps for r in columns if r.category == beat.column_category)
    missing = order.window_words - taps * order.words
    sums = sums + missing * plan.element.skipped_beat()
    if plan.layer.thresholds is None:
        return sums
    first = beat.fold * plan.folding.elements
    steps = plan.thresholds[beat.row_category, beat.column_category, first : first + plan.folding.elements]
    return np.asarray((sums[:, :, None] > steps).sum(axis=2))


def test_a_plan_computes_what_the_graph_does() -> None:
    network, bench = network_and_bench(small(), 6)
    for folding in ((1, 1, 1, 1), (4, 3, 6, 3), (2, 3, 3, 2)):
        own = {
            "conv1": Folding(folding[0], folding[1]),
            "conv2": Folding(folding[2], 2),
            "fc1": Folding(5, folding[3]),
            "fc2": Folding(3, 1),
        }
        plan = plan_array(network, own)
        sums = read_through(network.pixels[bench.pictures], plan.units)
        scores = plan.scores.gains * sums + plan.scores.offsets
        assert (network.real_scores(scores) == bench.scores).all()
        ranks = plan.scores.multipliers * sums + plan.scores.constants
        assert (ranks.argmax(axis=1) == bench.scores.argmax(axis=1)).all()


def test_the_cheapest_folding_is_fast_enough_and_no_budget_is_exceeded() -> None:
    network = from_graph(small(), None)
    fast = plan_array(network, fold_for_cycles(network, 600)).cycles_per_image
    slow = plan_array(network, fold_for_cycles(network, 4000)).cycles_per_image
    assert fast <= 600 < slow <= 4000
    rich = plan_array(network, fold_for_budget(network, device("xc7z020"))).cycles_per_image
    poor = plan_array(network, fold_for_budget(network, Budget(1200, 2, 50))).cycles_per_image
    assert 168 <= rich < poor


def test_weights_go_where_there_is_room_for_them() -> None:
    """A layer whose weights would take many look-up tables has them in block RAM where those are scarce."""
    network = from_graph(convolutional((3, 6, 6), *conv(16, padding=1), *conv(16)), None)
    free = fold_for_cycles(network, 300)
    scarce = fold_for_cycles(network, 300, budget=Budget(5000, 10, 100000))
    assert not free["conv2"].in_blocks and scarce["conv2"].in_blocks
    costs = [plan_array(network, folding).cost for folding in (free, scarce)]
    assert costs[0].lut > costs[1].lut and costs[0].ramb18 < costs[1].ramb18
    with pytest.raises(PlanError, match="1 too many") as error:
        fold_for_cycles(network, 300, budget=replace(costs[1], lut=costs[1].lut - 1, ramb18=100))
    assert "xc7z010" in error.value.remedy
    assert folding_of(network, ["conv2=4x4b"])["conv2"] == Folding(4, 4, in_blocks=True)


def test_everything_is_counted() -> None:
    """Sums, roundings, buffers and scores take resources, without a multiplier where a family has none."""
    graph = draw("residual", 3)
    low, _ = quantize(graph, samples(graph, 8), plan=SCHEMES["affine8"], check=False)
    network = from_graph(low, None)
    for target in get_args(Target):
        plan = plan_array(network, fold_for_cycles(network, 3000, target), target)
        layers = sum((unit.cost for unit in plan.units if isinstance(unit, LayerPlan)), NOTHING)
        assert plan.cost.lut > layers.lut + 300 and (plan.cost.dsp > layers.dsp) == (target != "ice40")
    assert plan_array(network, fold_for_budget(network, Budget(20000, 0, 60), "ice40"), "ice40").cost.dsp == 0


def test_tables_of_every_feature_are_counted() -> None:
    """Features that are standardized each for itself have a table each, in block RAM together."""
    graph = draw("perceptron", 2)
    (length,) = (int(extent) for extent in graph.value("x").shape[1:])
    steps = graph.add_constant("steps", np.linspace(0.5, 2, length, dtype=np.float32))
    graph.nodes.insert(0, Node("Mul", ("x", steps), ("scaled",), {}, "scale"))
    graph.nodes[1] = replace(graph.nodes[1], inputs=("scaled", *graph.nodes[1].inputs[1:]))
    infer(graph)
    low, _ = quantize(graph, samples(graph, 16), plan=SCHEMES["lq4"], check=False)
    network = from_graph(low, None)
    plan = plan_array(network, fold_for_cycles(network, 500))
    assert network.pixels.shape == (length, 256)
    assert plan.costs["pixels"].ramb18 == -(-length * 256 * plan.pixel_bits // (1 << 14)) >= 1


@pytest.mark.parametrize(
    ("where", "limit", "refused"),
    [
        ("conv1", "lut", lambda net: fold_for_budget(net, Budget(100, 0, 50))),
        ("conv1", "100 clocks", lambda net: fold_for_cycles(net, 100)),
        ("conv1", "divide 4", lambda net: plan_array(net, {"conv1": Folding(3, 3)})),
        ("--fold", "LAYER", lambda net: folding_of(net, ["conv9=1x1"])),
        ("--budget", "xc7z020", lambda net: device("xc2v")),
    ],
)
def test_refusals_name_node_need_limit_and_remedy(where: str, limit: str, refused) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(PlanError) as error:
        refused(from_graph(small(), None))
    assert error.value.where == where and limit in error.value.expected


def test_the_class_is_that_of_the_real_scores_for_all_sums() -> None:
    random, sums = np.random.default_rng(0), (Range(-20, 20),) * 4
    for _ in range(20):
        scale, bias = random.uniform(0.1, 1, 4), random.normal(0, 1, 4)
        ones, zeros = np.ones(4, np.int64), np.zeros(4, np.int64)
        plan = plan_scores(sums, (1,) * 4, ones, zeros, scale, bias, "fc")
        found = random.integers(-20, 21, (500, 4))
        real = (found * scale + bias).astype(np.float32)
        assert ((found * plan.multipliers + plan.constants).argmax(axis=1) == real.argmax(axis=1)).all()
