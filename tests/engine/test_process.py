"""A program in its process: forks, the end of Python, pickles and copies, and files that change meanwhile."""

import copy
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lowbit.api import load
from lowbit.engine import Program, kernel_levels
from lowbit.errors import DataError
from lowbit.formats import write_model
from lowbit.ir import Graph, Node, Value, evaluate, infer
from lowbit.program.file import write as write_program
from lowbit.schemes import Affine
from lowbit.untrusted import KeptFile
from tests.ir.networks import Convolution, float_mlp, lowbit_convnet, lowbit_mlp, random_basis

RUNNING = """
import os, signal, sys, threading, time
import numpy as np
from lowbit.engine import Program
from tests.ir.networks import lowbit_mlp
threads, rows = int(sys.argv[1]), int(sys.argv[2])
program = Program(lowbit_mlp((65, 2000, 10), 2, 2), threads=threads)
x = np.ones((rows, 65), np.float32)
expected = program.run(x)
def work():
    while True:
        program.run(x)
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
"""

FORK = """
for _ in range(10):
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # a child that waits for ever dies of it
        os._exit(0 if (program.run(x) == expected).all() else 1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        print("child", status, flush=True)
        os._exit(1)
os._exit(0)
"""


def script(code, *arguments):
    root = Path(__file__).parents[2]
    words = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    return subprocess.run(words, timeout=120, cwd=root, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_child_runs_what_another_thread_was_running(threads):
    done = script(RUNNING + FORK, threads, 400)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rows", [8, 2000])
def test_python_ends_while_threads_run(rows):
    for _ in range(3):
        done = script(RUNNING, 1, rows)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "graph",
    [
        lowbit_mlp((65, 33, 10), 2, 3),
        float_mlp((65, 33, 10)),
        lowbit_convnet(layers=(Convolution(33),)),
    ],
    ids=["mlp", "float", "convnet"],
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_pickles_and_copies_compute_the_same(graph, protocol):
    import pickle  # noqa: TID251 - what is read here was written here

    program = Program(graph, threads=2, kernels="portable")
    x = np.random.default_rng(0).normal(size=(3, *graph.value("x").shape[1:])).astype(np.float32)
    written = pickle.dumps(program, protocol)
    for other in (pickle.loads(written), copy.deepcopy(program), copy.copy(program)):  # noqa: S301
        np.testing.assert_array_equal(other.run(x), program.run(x))
        assert (other.threads, other.kernels) == (program.threads, program.kernels)
        assert other.input_shape == program.input_shape


def test_run_alone_goes_to_a_pool():
    x = np.random.default_rng(0).normal(size=(3, 65)).astype(np.float32)
    program = Program(lowbit_mlp((65, 33, 10), 2, 3))
    run = Program(lowbit_mlp((65, 33, 10), 2, 3)).run  # the program itself is gone
    np.testing.assert_array_equal(copy.deepcopy(run)(x), program.run(x))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for found in pool.map(run, [x, x]):
            np.testing.assert_array_equal(found, program.run(x))


def test_a_pickle_holds_the_network_as_it_was_loaded():
    import pickle  # noqa: TID251

    graph = lowbit_mlp((65, 33, 10))
    program, x = Program(graph), np.ones((1, 65), np.float32)
    expected = program.run(x)
    graph.update("fc2/bias", data=graph.constant("fc2/bias") + 1)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(program)).run(x), expected)  # noqa: S301


@pytest.mark.parametrize("suffix", [".circle", ".onnx", ".txt"])
def test_a_file_that_changes_after_it_was_read(tmp_path, suffix):
    """In a child: a mapped file that loses its bytes would end the process (SIGBUS)."""
    path = tmp_path / f"network{suffix}"
    write_model(lowbit_mlp((65, 300, 10), 2, 2), path)
    code = (
        "import os, sys, numpy as np, lowbit, lowbit.ir\n"
        "path, graph = sys.argv[1], lowbit.read(sys.argv[1])\n"
        "x = np.ones((1, 65), np.float32)\n"
        "expected = lowbit.ir.evaluate(graph, {graph.inputs[0]: x})[graph.outputs[0]]\n"
        "with open(path, 'r+b') as file: file.write(bytes(os.path.getsize(path)))\n"
        "again = lowbit.ir.evaluate(graph, {graph.inputs[0]: x})[graph.outputs[0]]\n"
        "assert (again == expected).all()\n"
        "os.truncate(path, 0)\n"
        "assert np.allclose(lowbit.load(graph).run(x), expected, atol=1e-6)\n"
    )
    done = script(code, path)
    assert done.returncode == 0, done.stderr


def test_workers_are_bound_only_on_request():
    """The caller's threads keep the processors that they may use; workers too, unless it is asked for."""
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("no processors to choose from")
    code = RUNNING.split("def work")[0] + (
        "all = os.sched_getaffinity(0)\n"
        "tasks = [os.sched_getaffinity(int(task)) for task in os.listdir('/proc/self/task')]\n"
        "print(all == os.sched_getaffinity(0), sum(task != all for task in tasks))\n"
    )
    environment = {name: text for name, text in os.environ.items() if name != "LOWBIT_PIN_WORKERS"}
    for asked, bound in (({}, "True 0"), ({"LOWBIT_PIN_WORKERS": "1"}, "True 1")):
        done = subprocess.run(
            [sys.executable, "-c", code, "2", "400"],
            env=environment | asked,
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == bound


REFUSED = r"a sample holds NaN.*NaN in sample 200"


def test_nan_is_refused_by_engine_and_reference_alike():
    graph = lowbit_mlp((65, 33, 10))
    x = np.ones((300, 65), np.float32)
    x[200, 64] = np.nan
    for threads in (1, 2):
        program, out = Program(graph, threads=threads), np.empty((300, 10), np.float32)
        for call, arguments in ((program.run, (x,)), (program.trace, (x,)), (program.run_into, (x, out))):
            with pytest.raises(DataError, match=REFUSED):
                call(*arguments)
        program.run(np.where(np.isnan(x), np.inf, x).astype(np.float32))
    with pytest.raises(DataError, match=REFUSED):
        evaluate(graph, {"x": x})


@pytest.mark.parametrize("level", kernel_levels())
@pytest.mark.parametrize("encoding", ["affine:8", "affine:3", *(f"basis:{bits}" for bits in (1, 2, 3, 4, 6))])
def test_every_encoder_finds_nan_wherever_it_is(level, encoding):
    random = np.random.default_rng(3)
    scheme, bits = encoding.split(":")
    affine = Affine(int(bits), np.array([0.1]), np.array([1]))
    coded = affine if scheme == "affine" else random_basis(random, int(bits), 1, 127, True)
    for shape in [(1,), (15,), (64,), (131,), (3, 2, 5), (33, 3, 3)]:
        graph = Graph("coded", ("x",), ("y",), values={"x": Value("x", "float32", ("n", *shape))})
        graph.values["codes"] = Value("codes", "code", ("n", *shape), None, coded)
        graph.nodes = [
            Node("Encode", ("x",), ("codes",), {}, "encode", "lowbit"),
            Node("Decode", ("codes",), ("y",), {}, "decode", "lowbit"),
        ]
        infer(graph)
        program = Program(graph, kernels=level)
        x = random.normal(size=(2, *shape)).astype(np.float32)
        np.testing.assert_array_equal(program.run(x), evaluate(graph, {"x": x})["y"])
        for place in range(0, x.size, 1 + x.size // 40):
            wrong = x.copy()
            wrong.reshape(-1)[place] = np.nan
            with pytest.raises(DataError, match=f"NaN in sample {place // (x.size // 2)}"):
                program.run(wrong)


@pytest.mark.parametrize("suffix", ["circle", "lbp"])
def test_what_a_file_was_loaded_from_is_not_kept_but_read_again(suffix: str, tmp_path: Path) -> None:
    graph = lowbit_mlp((65, 33, 10), 2, 2)
    path, x = tmp_path / f"net.{suffix}", np.random.default_rng(0).random((3, 65), np.float32)
    (write_program if suffix == "lbp" else write_model)(graph, path)
    program = load(path)
    expected = program.run(x)
    assert isinstance(program._core.origin[0], KeptFile)
    path.unlink()
    copied = copy.deepcopy(program)
    np.testing.assert_array_equal(copied.run(x), expected)
    assert program.trace(x).keys() == copied.trace(x).keys()
