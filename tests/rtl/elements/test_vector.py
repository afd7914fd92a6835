"""The vector array: matrices of any shape, with gaps and stalls; the clocks it promises."""

from random import Random

import numpy as np
import pytest

pytest.importorskip("amaranth")
from amaranth.sim import Simulator

from lowbit.errors import PlanError
from lowbit.rtl.elements import Element, MultiplyElement, PlanesElement, ShiftElement
from lowbit.rtl.elements.hardware.vector import VectorArray
from lowbit.rtl.elements.vector import VectorPlan


def products(plan: VectorPlan, vectors: np.ndarray, gap: float = 0.0, stall: float = 0.0) -> tuple:  # type: ignore[type-arg]
    """Return sums ``[n, outputs]`` of vectors ``[n, inputs]``, and the clocks in which they came."""
    array, random, bits = VectorArray(plan), Random(1), plan.element.accumulator_bits  # noqa: S311
    rows: list[list[int]] = []
    finished: list[int] = []

    async def send(context):  # type: ignore[no-untyped-def]
        for word in (word for vector in vectors for word in plan.activation_words(vector)):
            while random.random() < gap:
                await context.tick()
            context.set(array.word, word)
            context.set(array.word_valid, 1)
            await context.tick().until(array.word_ready)
            context.set(array.word_valid, 0)

    async def receive(context):  # type: ignore[no-untyped-def]
        for clock in range(40 * (len(vectors) + 2) * plan.cycles + 400):
            context.set(array.enable, random.random() >= stall)
            _, _, valid, sums = await context.tick().sample(array.valid, array.sums)
            if valid:
                fields = [sums >> (at * bits) & ((1 << bits) - 1) for at in range(plan.elements)]
                rows.append([field - (field >> bits - 1 << bits) for field in fields])
                finished.append(clock)
            if len(rows) == len(vectors) * plan.folds:
                return

    simulator = Simulator(array)
    simulator.add_clock(1e-6)
    simulator.add_testbench(send, background=True)
    simulator.add_testbench(receive)
    simulator.run()
    sums = np.array(rows).reshape(len(vectors), -1)[:, : len(plan.weights)]
    return sums, finished


SHAPES = [(1, 1, 1, 1), (5, 7, 2, 3), (4, 8, 4, 2), (3, 9, 8, 4), (6, 4, 2, 4)]


@pytest.mark.parametrize("disturbance", [(0.0, 0.0), (0.5, 0.3)])
@pytest.mark.parametrize("make", [MultiplyElement, ShiftElement])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matrices_times_vectors(shape: tuple[int, ...], make: type[Element], disturbance: tuple) -> None:
    outputs, inputs, elements, lanes = shape
    random = np.random.default_rng(0)
    weights, vectors = random.integers(0, 16, (outputs, inputs)), random.integers(0, 32, (4, inputs))
    element = make(lanes, -(-inputs // lanes), 5, 4).fitted(weights)
    plan = VectorPlan(element, elements, weights)
    found, finished = products(plan, vectors, *disturbance)
    assert found.tolist() == (vectors @ element.weight_values()[weights].T).tolist()
    if disturbance == (0.0, 0.0):
        assert set(np.diff(finished[:: plan.folds]).tolist()) == {plan.cycles}


def test_another_number_of_beats_or_coefficients_is_refused() -> None:
    weights = np.zeros((2, 8), np.int64)
    for element in (ShiftElement(4, 3, 8, 4), PlanesElement(4, 2, 1, 2, largest_coefficient=3)):
        with pytest.raises(PlanError, match="vector array") as refused:
            VectorPlan(element, 2, weights)
        assert refused.value.remedy
