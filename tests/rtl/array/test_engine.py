"""Array engines in Amaranth's simulator: shapes and foldings, gaps and stalls, resets, packets."""

from random import Random

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

pytest.importorskip("amaranth")
from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.sim import Simulator

from lowbit.api import quantize
from lowbit.errors import PlanError
from lowbit.quantization import Plan
from lowbit.rtl.array.from_graph import from_graph
from lowbit.rtl.array.hardware.engine import ArrayEngine
from lowbit.rtl.array.network import ArrayNetwork, Layer
from lowbit.rtl.array.plan import ArrayPlan, Folding, LayerPlan, PoolPlan, plan_array
from lowbit.rtl.array.units.recode import RecodePlan
from lowbit.rtl.report import Bench
from lowbit.zoo.architecture import Activation, Architecture, Convolution, Flatten, Linear, Pool
from lowbit.zoo.float_graph import float_graph
from tests.rtl.array.networks import conv, convolutional, network_and_bench, perceptron, quantized, small

# No shrinking: it takes minutes.
ANY = settings(max_examples=12, deadline=None, phases=(Phase.explicit, Phase.generate))
SMALL = {"conv1": Folding(2, 3), "conv2": Folding(3, 2), "fc1": Folding(5, 3), "fc2": Folding(1, 5)}


def stream(
    plan: ArrayPlan,
    bench: Bench,
    *,
    gap: float = 0.0,
    stall: float = 0.0,
    reset_after: int | None = None,
    packet: int = 1,
) -> list[int]:
    """Check every score, class and TLAST, and return the clock in which each class was taken."""
    engine, reset, m, random = ArrayEngine(plan), Signal(), Module(), Random(1)  # noqa: S311
    m.submodules.engine = ResetInserter(reset)(engine)
    pictures, classes = bench.pictures, plan.network.classes
    size, beats, finished = pictures[0].size, [], []

    async def send(context):  # type: ignore[no-untyped-def]
        if reset_after is not None:
            await feed(context, pictures.ravel()[:reset_after].tolist())
            context.set(reset, 1)
            await context.tick()
            context.set(reset, 0)
            beats.clear(), finished.clear()
        await feed(context, pictures.ravel().tolist())

    async def feed(context, pixels):  # type: ignore[no-untyped-def]
        for number, pixel in enumerate(pixels, 1):
            while random.random() < gap:
                await context.tick()
            context.set(engine.s_axis_0_tdata, pixel)
            context.set(engine.s_axis_0_tlast, number % (packet * size) == 0)
            context.set(engine.s_axis_0_tvalid, 1)
            await context.tick().until(engine.s_axis_0_tready)
            context.set(engine.s_axis_0_tvalid, 0)

    async def receive(context):  # type: ignore[no-untyped-def]
        sampled = (reset, engine.m_axis_0_tvalid, engine.m_axis_0_tdata, engine.m_axis_0_tlast)
        for clock in range(60 * (len(pictures) + 3) * plan.cycles_per_image):
            ready = random.random() >= stall
            context.set(engine.m_axis_0_tready, ready)
            _, _, in_reset, valid, beat, last = await context.tick().sample(*sampled)
            if valid and ready and not in_reset:
                beats.append((beat - (1 << 32) if beat >> 31 else beat, last))
                if len(beats) % (classes + 1) == 0:
                    finished.append(clock)
            if len(beats) == len(pictures) * (classes + 1):
                return

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(send, background=True)
    simulator.add_testbench(receive)
    simulator.run()
    table = np.array(beats).reshape(len(pictures), classes + 1, 2)
    assert (plan.network.real_scores(table[:, :-1, 0]) == bench.scores).all()
    assert table[:, -1, 0].tolist() == bench.scores.argmax(axis=1).tolist()
    ends = np.zeros((len(pictures), classes + 1))
    ends[packet - 1 :: packet, -1] = 1
    assert (table[..., 1] == ends).all()
    return finished


def foldings(network: ArrayNetwork, random: Random) -> dict[str, Folding]:
    """Return a folding of every layer, by chance."""

    def divisor(number: int) -> int:
        return random.choice([part for part in range(1, number + 1) if number % part == 0])

    layers = (stage for stage in network.stages if isinstance(stage, Layer))
    return {layer.name: Folding(divisor(layer.outputs), divisor(layer.channels)) for layer in layers}


@ANY
@given(
    seed=st.integers(0, 1 << 20), hidden=st.lists(st.integers(1, 9), max_size=2), inputs=st.integers(1, 13)
)
def test_perceptrons_of_any_folding(seed: int, hidden: list[int], inputs: int) -> None:
    network, bench = network_and_bench(perceptron(inputs, *hidden, seed=seed), 8)
    plan = plan_array(network, foldings(network, Random(seed)), "generic")  # noqa: S311
    finished = stream(plan, bench)
    # The first pictures fill empty buffers; from then on the slowest part sets the pace.
    assert np.diff(finished)[-2:].tolist() == [plan.cycles_per_image] * 2


@ANY
@given(data=st.data(), seed=st.integers(0, 1 << 20))
def test_convolutions_of_any_window_and_folding(data: st.DataObject, seed: int) -> None:
    channels, rows, columns = (data.draw(st.integers(low, high)) for low, high in ((1, 3), (3, 6), (3, 6)))
    kernel = data.draw(st.integers(1, 3))
    padding, stride = data.draw(st.integers(0, kernel - 1)), data.draw(st.integers(1, 3))
    layers = conv(data.draw(st.sampled_from([1, 2, 4])), kernel, stride, padding)
    if data.draw(st.booleans()):
        layers = (*layers, *conv(data.draw(st.sampled_from([2, 3])), 3, 1, 1))
    if data.draw(st.booleans()) and (min(rows, columns) + 2 * padding - kernel) // stride >= 1:
        layers = (*layers, Pool("max", 2, data.draw(st.integers(1, 2))))
    network, bench = network_and_bench(convolutional((channels, rows, columns), *layers, seed=seed), 3)
    stream(plan_array(network, foldings(network, Random(seed)), "generic"), bench)  # noqa: S311


@pytest.mark.parametrize(
    ("plan", "kind", "expected"),
    [
        (Plan(weight_bits=2, activation_bits=2), None, {"planes"}),
        (Plan(weight_bits=1, activation_bits=3), "planes", {"planes"}),
        (Plan(weight_bits=3, activation_bits=2), "multiply", {"multiply"}),
        (Plan(weight_bits=3, activation_bits=3, scheme="affine"), None, {"planes"}),
        (Plan(weight_bits=4, activation_bits=4, scheme="pow2"), None, {"shift"}),
        (Plan(weight_bits=2, activation_bits=8, scheme="pow2"), "multiply", {"multiply"}),
        (Plan("lq:2", "affine:5"), None, {"multiply"}),  # layers that round: their steps are thresholds
    ],
    ids=lambda value: (
        f"{value.scheme}-{value.weight_bits}-{value.activation_bits}" if isinstance(value, Plan) else ""
    ),
)
def test_quantized_networks_on_the_elements_meant_for_them(
    plan: Plan, kind: str | None, expected: set[str]
) -> None:
    network, bench = network_and_bench(quantized(plan), 3)
    array = plan_array(network, foldings(network, Random(2)), "generic", kind)  # noqa: S311
    assert {unit.operands.kind for unit in array.units if isinstance(unit, LayerPlan)} == expected
    stream(array, bench, gap=0.1, stall=0.2)


@pytest.mark.parametrize(("rows", "columns", "pool"), [(5, 6, Pool()), (7, 5, Pool("max", 2, 3))])
def test_windows_that_do_not_overlap_are_taken_as_they_come(rows: int, columns: int, pool: Pool) -> None:
    """Rows and columns may be left over, or lie between windows; a channel at a time, and all together."""
    graph = convolutional((1, rows, columns), *conv(4, 1), pool)
    network, bench = network_and_bench(graph, 2)
    for lanes in (1, 4):
        own = {layer.name: Folding(lanes if layer.outputs == 4 else 1, 1) for layer in network.layers}
        plan = plan_array(network, own, "generic")
        (unit,) = (unit for unit in plan.units if isinstance(unit, PoolPlan))
        assert unit.runs and unit.cycles == rows * columns * 4 // lanes
        stream(plan, bench, gap=0.2, stall=0.3)


def test_whole_windows_keep_up_with_a_pixel_per_clock() -> None:
    """At the end of a picture rows are left to compute while the next one's come: none of it waits."""
    layers = (Convolution(2, 5, 1, 2), Activation(), Pool(), Flatten(), Linear(3))
    graph = float_graph(Architecture("windows", (1, 8, 8), layers, ""), seed=0)
    x = np.random.default_rng(0).random((32, 1, 8, 8)).astype(np.float32)
    plan = Plan("pow2:4", "affine:4", layers={"first": {"activations": "affine:8"}})
    network, bench = network_and_bench(quantize(graph, x, plan=plan)[0], 4)
    conv1, fc1 = network.layers
    array = plan_array(network, {conv1.name: Folding(2, 25), fc1.name: Folding(3, 2)}, "generic")
    assert np.diff(stream(array, bench)).tolist() == [array.cycles_per_image] * 3 == [64] * 3


WORDS = Plan(
    "pow2:4", "fixed:4.11", layers={"first": {"activations": "affine:8"}, "fc2": {"activations": "affine:6"}}
)


@pytest.mark.parametrize(
    ("plan", "wide"), [(Plan("affine:8", "affine:8"), True), (WORDS, False)], ids=["bytes", "words"]
)
def test_products_of_shifts_and_adders(plan: Plan, wide: bool) -> None:
    """Roundings take one clock or several; of 16 bits they stand behind a layer that a pool follows."""
    network, bench = network_and_bench(quantized(plan), 2)
    own = {layer.name: Folding(layer.outputs if wide else 1, layer.channels) for layer in network.layers}
    array = plan_array(network, own, "generic", "multiply", shifts=True)
    scaled = [unit.steps for unit in array.units if isinstance(unit, RecodePlan) and unit.digits]
    assert min(scaled) == 1 if wide else min(scaled) > 1
    assert not any(unit.cost.dsp for unit in array.units if isinstance(unit, RecodePlan))
    assert array.scores.steps > 1 or not array.scores.multiplies
    stream(array, bench, gap=0.1, stall=0.2)


@pytest.mark.parametrize(
    ("plan", "kind"),
    [
        (Plan(weight_bits=4, activation_bits=4, scheme="pow2"), "planes"),
        (Plan(weight_bits=2, activation_bits=2), "xnor"),
    ],
    ids=["powers", "bases"],
)
def test_an_element_that_cannot_run_a_layer_is_refused_with_its_node(plan: Plan, kind: str) -> None:
    network = from_graph(quantized(plan), None)
    with pytest.raises(PlanError) as refused:
        plan_array(network, foldings(network, Random(0)), "generic", kind)  # noqa: S311
    error = refused.value
    assert error.where == "conv1" and error.expected and error.found and "--pe" in error.remedy


def test_pictures_follow_each_other_as_planned() -> None:
    network, bench = network_and_bench(small(), 4)
    plan = plan_array(network, SMALL, "generic")
    assert set(np.diff(stream(plan, bench)).tolist()) == {plan.cycles_per_image} == {1086}


@pytest.mark.parametrize("gap_and_stall", [(0.3, 0.0), (0.0, 0.9), (0.1, 0.3)])
def test_gaps_and_stalls(gap_and_stall: tuple[float, float]) -> None:
    network, bench = network_and_bench(small(), 3)
    gap, stall = gap_and_stall
    stream(plan_array(network, SMALL, "generic"), bench, gap=gap, stall=stall)


@pytest.mark.parametrize("reset_after", [1, 100, 168, 300])
def test_reset_in_mid_picture(reset_after: int) -> None:
    network, bench = network_and_bench(small(1), 2)
    stream(plan_array(network, SMALL, "generic"), bench, stall=0.1, reset_after=reset_after)


@pytest.mark.parametrize("packet", [2, 3])
def test_a_packet_ends_where_it_ended(packet: int) -> None:
    network, bench = network_and_bench(perceptron(4, 3), 6)
    plan = plan_array(network, {"fc1": Folding(1, 2), "fc2": Folding(3, 1)}, "generic")
    stream(plan, bench, gap=0.1, stall=0.1, packet=packet)
