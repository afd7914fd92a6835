"""Samples of an iterator."""

import numpy as np
import pytest

import lowbit
from lowbit.data.gathered import gathered, is_stream
from lowbit.errors import DataError
from lowbit.zoo import trained

ROWS = np.arange(60, dtype=np.float32).reshape(20, 3)


@pytest.mark.parametrize(
    "form", [lambda x: x, lambda x: (x, np.zeros(len(x))), lambda x: [x], lambda x: {"x": x, "labels": None}]
)
def test_no_batch_more_than_needed_is_taken(form):
    taken = []

    def loader():
        for start in range(0, 20, 4):
            taken.append(start)
            yield form(ROWS[start : start + 4])

    found = gathered(loader(), 10, ("x",))
    assert np.array_equal(found["x"] if isinstance(found, dict) else found, ROWS[:10])
    assert taken == [0, 4, 8]


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "gives no samples"),
        ([ROWS, ROWS[:, :2]], "do not go together"),
        (["text"], "no array of numbers"),
        ([3.0], "no array of numbers"),
    ],
)
def test_what_is_no_samples_is_refused(batches, message):
    with pytest.raises(DataError, match=message):
        gathered(iter(batches), 1000)


def test_an_iterator_calibrates_as_its_array_does():
    network, samples = trained("digits"), lowbit.data.load("digits").samples[:200]
    assert is_stream(iter([samples])) and not is_stream(samples) and not is_stream("digits")
    plan = lowbit.Plan("affine:8", "affine:8")
    whole, _ = lowbit.quantize(network, samples, plan=plan, check=False)
    parts, report = lowbit.quantize(network, iter(np.split(samples, 8)), plan=plan, check=False)
    assert report.samples == 200
    assert lowbit.ir.to_text(whole) == lowbit.ir.to_text(parts)
