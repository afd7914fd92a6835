"""Mutated ONNX files: an error of ours or a network, in seconds, whatever the bytes say."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from lowbit.errors import LowbitError
from lowbit.formats.onnx import read, to_proto
from lowbit.ir import Graph, verify
from tests.formats.onnx.networks import affine_mlp, mixed_network
from tests.ir.networks import float_convnet, float_mlp, lowbit_mlp

MUTATIONS = 500
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

pytest.importorskip("onnx")


def mutate(good: bytes, generator: random.Random) -> bytes:
    """Return the bytes cut, with bytes changed, with a 32-bit extreme, or with a piece repeated."""
    content, kind = bytearray(good), generator.randrange(4)
    at = generator.randrange(len(content))
    if kind == 0:
        del content[at:]
    elif kind == 1:
        for _ in range(generator.randint(1, 8)):
            content[generator.randrange(len(content))] = generator.randrange(256)
    elif kind == 2:
        content[at : at + 4] = generator.choice(EXTREMES).to_bytes(4, "little")
    else:
        content[at:at] = content[at : at + generator.randint(1, 64)]
    return bytes(content)


@pytest.mark.parametrize(
    "make",
    [float_mlp, lowbit_mlp, affine_mlp, lambda: mixed_network("tanh"), float_convnet],
    ids=["float", "lq", "affine", "mixed", "convnet"],
)
def test_mutations(make: Callable[[], Graph], tmp_path: Path) -> None:
    good = to_proto(make()).SerializeToString(deterministic=True)
    generator, refused, path = random.Random(20240607), 0, tmp_path / "mutated.onnx"  # noqa: S311
    for _ in range(MUTATIONS // 5):
        path.write_bytes(mutate(good, generator))
        try:
            verify(read(path))
        except LowbitError as error:
            assert str(path) in str(error)
            refused += 1
    assert 0 < refused < MUTATIONS // 5, "mutations that change nothing, or everything, prove nothing"
