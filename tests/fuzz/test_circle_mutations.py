"""400 seeded mutations per good file: an error of lowbit or a valid graph; no crash, hang or gigabytes."""

import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from lowbit.errors import LowbitError
from lowbit.formats.circle.reader import read_content
from lowbit.formats.circle.writer import content_of
from lowbit.ir import evaluate, verify
from tests.formats.networks import affine_mlp
from tests.formats.test_tflite_graphs import conditional, dilated, loop, tokens, with_variable
from tests.ir.networks import float_mlp, lowbit_mlp

MUTATIONS = 400
SECONDS = 2
EXTREMES = np.array([0, 1, -1, 2**31 - 1, -(2**31), 255, 256, 65535, 2**30], np.int64).astype(np.int32)

GOOD = {
    "float": content_of(float_mlp((33, 17, 10))),
    "low-bit": content_of(lowbit_mlp((65, 33, 10), 2, 3, weight_offset=True)),
    "affine": content_of(affine_mlp()),
    "a loop": loop(by_input=False),
    "a condition": conditional(None),
    "a variable": with_variable(writes=False),
    "exchanges": dilated(1, depthwise=True, between=True)[0],
    "tokens": tokens(),
}


def mutate(content: bytes, random: np.random.Generator) -> bytes:
    """Return the content cut short, with bytes flipped, or with 32-bit words at their extremes."""
    bad = bytearray(content)
    kind = random.integers(3)
    if kind == 0:
        return bytes(bad[: random.integers(len(bad))])
    # Tables are small beside weights: most changes go where they matter.
    end = len(bad) if random.random() < 0.3 else min(len(bad), 1500)
    for _ in range(random.integers(1, 5)):
        if kind == 1:
            bad[random.integers(end)] = random.integers(256)
        else:
            at = 4 * random.integers(end // 4)
            bad[at : at + 4] = random.choice(EXTREMES).tobytes()
    return bytes(bad)


@contextmanager
def _limit(seconds: int) -> Iterator[None]:
    """Raise `TimeoutError` when the block takes too long."""

    def stop(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="needs interval timers")
@pytest.mark.parametrize("name", GOOD)
def test_mutations(name: str) -> None:
    content, random = bytes(GOOD[name]), np.random.default_rng(7)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for index in range(MUTATIONS):
        bad = mutate(content, random)
        try:
            with _limit(SECONDS):
                found = read_content(bad, f"mutation {index}")
                verify(found)
        except LowbitError as error:
            refused += 1
            assert error.message and error.where, f"mutation {index}"
            continue
        _run(found)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200 * 1024, f"{grown} KiB more"
    assert MUTATIONS // 4 < refused < MUTATIONS  # both ways are exercised


def _run(graph: object) -> None:
    """Evaluate what was accepted: arithmetic may refuse it, by an error of lowbit."""
    try:
        value = graph.value(graph.inputs[0])
        sample = np.zeros([length if isinstance(length, int) else 1 for length in value.shape], np.float32)
        if value.dtype == "float32" and sample.size < 2**20:
            with np.errstate(all="ignore"):
                evaluate(graph, {value.name: sample})
    except LowbitError:
        pass
