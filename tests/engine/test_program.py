"""The engine's door: what comes in is checked, what goes out is the same whatever the batch and threads."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from lowbit.engine import Program, _core, kernel_levels, measure_peak
from lowbit.errors import DataError, EngineError
from lowbit.ir import evaluate
from lowbit.program.steps import Softmax
from tests.ir.networks import float_mlp, lowbit_mlp

LEVELS = kernel_levels()


@pytest.fixture(scope="module")
def program():
    return Program(lowbit_mlp((65, 33, 10)))


def samples(count, features=65, seed=0):
    return np.random.default_rng(seed).normal(size=(count, features)).astype(np.float32)


def test_run_and_run_into_agree(program):
    x = samples(7)
    out = np.empty((7, 10), np.float32)
    assert program.run_into(x, out) is None
    np.testing.assert_array_equal(program.run(x), out)


@pytest.mark.parametrize("rows", [0, 1, 63, 64, 65, 130])
def test_a_batch_is_its_samples(program, rows):
    x = samples(rows)
    one_by_one = [program.run(x[n : n + 1]) for n in range(rows)]
    np.testing.assert_array_equal(
        program.run(x), np.concatenate([np.empty((0, 10), np.float32), *one_by_one])
    )


@pytest.mark.parametrize(
    "wrong",
    [
        samples(3).astype(np.float64),
        samples(3).astype(">f4"),
        samples(3, 64),
        samples(3)[0],
        samples(3)[None],
        samples(6)[::2],
        np.asfortranarray(samples(3)),
        samples(3).tolist(),
        None,
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}-{getattr(value, 'shape', '')}",
)
def test_other_arrays_are_refused(program, wrong):
    with pytest.raises(DataError) as caught:
        program.run(wrong)
    assert caught.value.where == "input"
    assert caught.value.expected == "contiguous float32 [n, 65]"
    assert caught.value.found and caught.value.remedy


def test_unaligned_memory_is_refused(program):
    bytes_ = np.zeros(4 * 65 + 1, np.uint8)
    with pytest.raises(DataError):
        program.run(bytes_[1:].view(np.float32).reshape(1, 65))


def test_read_only_samples_are_fine_but_not_results(program):
    x, out = samples(2), np.empty((2, 10), np.float32)
    x.setflags(write=False)
    program.run_into(x, out)
    out.setflags(write=False)
    with pytest.raises(DataError, match="read-only"):
        program.run_into(x, out)


def test_results_have_their_own_memory(program):
    whole = np.zeros(2 * 65 + 20, np.float32)
    x, out = whole[: 2 * 65].reshape(2, 65), whole[100:120].reshape(2, 10)
    with pytest.raises(DataError, match="apart from the input"):
        program.run_into(x, out)
    with pytest.raises(DataError):
        program.run_into(x, np.empty((3, 10), np.float32))
    with pytest.raises(TypeError):
        program.run_into(x)


def test_levels_can_be_forced_and_unknown_ones_are_refused(monkeypatch):
    graph = lowbit_mlp()
    assert Program(graph, kernels="portable").kernel_level == "portable"
    monkeypatch.setenv("LOWBIT_KERNELS", "portable")
    assert {level for _, level, _ in Program(graph).kernels} == {"portable"}
    monkeypatch.setenv("LOWBIT_KERNELS", "abacus")
    with pytest.raises(EngineError) as caught:
        Program(graph)
    assert caught.value.found == "abacus" and "portable" in caught.value.expected


def test_the_core_refuses_what_does_not_fit():
    with pytest.raises(EngineError, match="does not fit together") as caught:
        _core.Loader([3]).add(Softmax(1, 3, 1, False, sources=(7,)))
    assert caught.value.where == "value"
    with pytest.raises(EngineError):
        Program(lowbit_mlp(), threads=0)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_threads_and_paths_give_the_same_integers(level, bits):
    graph = lowbit_mlp((200, 129, 70, 10), bits, bits, weight_offset=True)
    x = samples(150, 200)
    expected = Program(graph, kernels="portable").run(x)
    for threads in (1, 2, 3):
        for path in ("dot", "popcount"):
            found = Program(graph, kernels=level, threads=threads, path=path).run(x)
            np.testing.assert_array_equal(found, expected)


def test_threads_share_a_large_layer():
    graph = lowbit_mlp((4096, 4096, 10), 2, 2)
    x = samples(8, 4096)
    np.testing.assert_array_equal(Program(graph, threads=2).run(x), Program(graph).run(x))


def test_one_program_from_several_threads():
    program, x = Program(lowbit_mlp((65, 700, 10), 2, 2)), samples(600)
    expected, found = program.run(x), [None] * 4

    def work(index):
        found[index] = [program.run(x[: 1 if index % 2 else None]) for _ in range(5)]

    workers = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for index, results in enumerate(found):
        for result in results:
            np.testing.assert_array_equal(result, expected[: 1 if index % 2 else None])


def test_a_forked_child_can_run():
    script = (
        "import os, numpy as np\n"
        "from lowbit.engine import Program\n"
        "from tests.ir.networks import lowbit_mlp\n"
        "program = Program(lowbit_mlp((65, 2000, 10), 2, 2), threads=2)\n"
        "x = np.ones((200, 65), np.float32)\n"
        "expected = program.run(x)\n"
        "child = os.fork()\n"
        "if child == 0: os._exit(0 if (program.run(x) == expected).all() else 1)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=20, env=os.environ, check=False)
    assert done.returncode == 0


def test_float_networks_run_close_to_the_reference():
    for activation in ("Tanh", "Relu", "Sigmoid"):
        graph = float_mlp((65, 33, 10), activation=activation)
        x = samples(70)
        expected = evaluate(graph, {"x": x})["y"]
        for level in LEVELS:
            np.testing.assert_allclose(Program(graph, kernels=level).run(x), expected, rtol=0, atol=1e-5)


def test_the_peak_is_a_rate():
    assert all(rate > 1e8 for rate in measure_peak().values())
