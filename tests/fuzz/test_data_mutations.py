"""About a hundred mutated files of every data format; `tests.fuzz.data_mutations` does thousands."""

import sys

import pytest

from tests.fuzz.data_mutations import BUDGET, FORMATS, MARGIN, mutated, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted as Linux does")

GROUPS = {
    "numpy": ["npz", "npz-member", "npy"],
    "idx": ["idx", "idx-gz", "idx-member", "cifar10"],
    "hdf5": ["hdf5", "hdf5-deflated"],
    "parquet": ["parquet", "parquet-zstd"],
    "pictures": ["png", "jpeg", "bmp", "ppm"],
}
NEEDS = {"hdf5": "h5py", "parquet": "pyarrow", "pictures": "PIL"}


@pytest.mark.parametrize("group", GROUPS)
def test_mutated_data(group: str) -> None:
    pytest.importorskip(NEEDS.get(group, "numpy"))
    names = GROUPS[group]
    for name in names:
        outcome = run(name, 100 // len(names))
        assert not outcome.raw and not outcome.killed, f"{name}: {outcome}"
        assert outcome.peak < BUDGET + MARGIN, f"{name}: {outcome}"
        assert outcome.refused, "mutations that change nothing prove nothing"


def test_mutations_are_the_same_everywhere() -> None:
    good = bytes(range(256))
    assert mutated(good, 7) == mutated(good, 7) != mutated(good, 8)
    assert set(FORMATS) >= {name for names in GROUPS.values() for name in names}
