"""What bytes of a stream stand for: pictures, other steps, two's complement."""

import numpy as np
import pytest

from lowbit.api import quantize
from lowbit.data import load
from lowbit.errors import DataError
from lowbit.quantization import Plan
from lowbit.rtl.array.from_graph import from_graph
from lowbit.rtl.pictures import AnyByte, Byte, pixel_values, reference_scores, to_bytes, to_pictures
from tests.rtl.families import draw

EVERY = np.arange(256, dtype=np.uint8)
SIGNED = Byte(1 / 64, signed=True)


@pytest.mark.parametrize(
    ("byte", "least", "most"), [(None, 0.0, 1.0), (1 / 16, 0.0, 255 / 16), (SIGNED, -2.0, 127 / 64)]
)
def test_samples_become_the_bytes_that_stand_for_them(byte: AnyByte, least: float, most: float) -> None:
    values = pixel_values(None, byte)
    assert (values.min(), values.max()) == (np.float32(least), np.float32(most))
    assert (to_bytes(load(values.reshape(-1, 1)), 1, byte=byte).reshape(-1) == EVERY).all()
    assert np.allclose(Byte.of(byte).samples(EVERY), values, rtol=1e-6)


@pytest.mark.parametrize(
    ("byte", "number", "cure"),
    [
        (None, -1.0, "--byte signed:1"),
        (SIGNED, 2.0, "--byte 1"),
        (SIGNED, 0.01, "--byte 1/100"),
        (1.0, 0.5, "1/2"),
    ],
)
def test_other_numbers_are_refused_with_what_holds_them(byte: AnyByte, number: float, cure: str) -> None:
    with pytest.raises(DataError, match=f"{cure}\\."):
        to_bytes(load(np.array([[number]], np.float32)), 1, byte=byte)


def test_the_table_of_signed_bytes_is_the_encoder_of_the_network() -> None:
    graph = draw("perceptron", 3)
    (length,) = graph.value("x").shape[1:]
    stream = np.random.default_rng(0).integers(0, 256, (40, 1, 1, int(length)), np.uint8)
    x = SIGNED.samples(stream).reshape(40, -1)
    low, _ = quantize(graph, x, plan=Plan("affine:8", "affine:8"), check=False)
    assert (to_pictures(load(x), low, SIGNED) == stream).all()
    encoding = low.value(next(node for node in low.nodes if node.op == "Encode").outputs[0]).encoding
    assert encoding is not None
    codes = encoding.encode(pixel_values(None, SIGNED))
    assert (from_graph(low, None, SIGNED).pixels == codes).all() and np.diff(codes.astype(int)).min() < 0
    scores = reference_scores(low, stream, None, SIGNED)
    assert not np.array_equal(scores, reference_scores(low, stream, None, 1 / 64))
