"""The product of signs equals a plain sum over the window."""

import numpy as np
import pytest

from lowbit.engine.signs import sign_convolution
from lowbit.errors import DataError, EngineError

SHAPES = [
    # n, c, h, w, o, kernel, stride, padding, dilation
    (2, 64, 7, 5, 40, (3, 3), (1, 1), (1, 1), (1, 1)),
    (3, 5, 9, 8, 17, (3, 2), (2, 1), (0, 1), (1, 1)),
    (1, 33, 6, 6, 3, (1, 1), (1, 1), (0, 0), (1, 1)),
    (2, 16, 9, 9, 16, (3, 3), (1, 2), (2, 2), (2, 2)),
    (65, 96, 2, 2, 48, (3, 3), (1, 1), (1, 1), (1, 1)),
]


def naive(x, weights, stride, padding, dilation):
    """Return integer sums `[n, h', w', o]`, tap by tap."""
    (rows, columns), (n, height, width, _) = padding, x.shape
    outputs, kernel_rows, kernel_columns, _ = weights.shape
    padded = np.zeros((n, height + 2 * rows, width + 2 * columns, x.shape[3]))
    padded[:, rows : rows + height, columns : columns + width] = np.where(x >= 0, 1, -1)
    signs = np.where(weights, 1, -1)
    size = [
        (padded.shape[1 + a] - dilation[a] * (k - 1) - 1) // stride[a] + 1
        for a, k in enumerate((kernel_rows, kernel_columns))
    ]
    y = np.zeros((n, *size, outputs))
    for i in range(kernel_rows):
        for j in range(kernel_columns):
            top, left = i * dilation[0], j * dilation[1]
            part = padded[:, top : top + size[0] * stride[0] : stride[0]]
            part = part[:, : size[0], left : left + size[1] * stride[1] : stride[1]][:, :, : size[1]]
            y += part @ signs[:, i, j].T
    return y


@pytest.mark.parametrize("shape", SHAPES)
def test_sums_are_those_of_a_plain_loop(shape):
    n, c, h, w, o, kernel, stride, padding, dilation = shape
    random = np.random.default_rng(abs(hash(shape)) % 1000)
    x = random.normal(size=(n, h, w, c)).astype(np.float32)
    x[random.random(x.shape) < 0.1] = 0
    x[random.random(x.shape) < 0.1] = -0.0
    weights, scale = random.random((o, *kernel, c)) < 0.5, random.random(o).astype(np.float32)
    place = {"stride": stride, "padding": padding, "dilation": dilation}
    found = sign_convolution((h, w), weights, scale, **place)(x)
    wanted = naive(x, weights, **place)
    np.testing.assert_array_equal(found, (scale.astype(np.float64) * wanted).astype(np.float32))


def test_a_window_larger_than_the_map_is_refused():
    with pytest.raises(EngineError):
        sign_convolution((2, 2), np.ones((1, 3, 3, 8), np.bool_), np.ones(1, np.float32))


def test_another_array_is_refused():
    product = sign_convolution((4, 4), np.ones((1, 3, 3, 8), np.bool_), np.ones(1, np.float32))
    with pytest.raises(DataError):
        product(np.zeros((1, 8, 4, 4), np.float32))
    with pytest.raises(DataError):
        product(np.zeros((1, 4, 4, 8)))
