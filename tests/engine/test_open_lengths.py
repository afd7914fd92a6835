"""Networks that leave more than the number of samples open: planned for every shape that comes."""

import pickle  # noqa: TID251 - its own
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import lowbit
from lowbit.backends import BACKENDS
from lowbit.engine import Program, by_shape
from lowbit.errors import DataError, EngineError, LowbitError
from lowbit.ir import Graph, Node, Value, evaluate, verify
from lowbit.ir.infer import infer

RANDOM = np.random.default_rng(8)
HEADS, WIDTH = 2, 6


def made(graph: Graph, *nodes: tuple) -> Graph:
    for op, inputs, out, *attributes in nodes:
        graph.nodes.append(Node(op, inputs, (out,), dict(*attributes), out))
    infer(graph)
    verify(graph)
    return graph


def attention(batch: str | int = "n", tokens: str | int = "t") -> Graph:
    """Return attention of two heads, masked, with its reshapes computed from lengths, and two outputs."""
    values = {
        "x": Value("x", "float32", (batch, tokens, WIDTH)),
        "mask": Value("mask", "bool", (batch, tokens)),
    }
    graph = Graph("attention", ("x", "mask"), ("y", "kept"), values=values)
    for name in ("q", "k", "v"):
        graph.add_constant(f"w{name}", RANDOM.normal(size=(WIDTH, WIDTH)))
    graph.add_constant("heads", [HEADS, WIDTH // HEADS], "int64")
    graph.add_constant("all", [-1], "int64")
    graph.add_constant("axes", [1, 2], "int64")
    graph.add_constant("low", np.float32(-1e4))
    graph.add_constant("zero", np.float32(0))
    nodes: list[tuple] = [
        ("Shape", ("x",), "lengths", {"start": 0, "end": 2}),
        ("Concat", ("lengths", "heads"), "apart", {"axis": 0}),
        ("Concat", ("lengths", "all"), "together", {"axis": 0}),
        ("Unsqueeze", ("mask", "axes"), "row"),
        ("Where", ("row", "zero", "low"), "bias"),
    ]
    for name in ("q", "k", "v"):
        order = (0, 2, 3, 1) if name == "k" else (0, 2, 1, 3)
        nodes += [
            ("MatMul", ("x", f"w{name}"), f"{name}1"),
            ("Reshape", (f"{name}1", "apart"), f"{name}2"),
            ("Transpose", (f"{name}2",), name, {"perm": order}),
        ]
    nodes += [
        ("MatMul", ("q", "k"), "products"),
        ("Add", ("products", "bias"), "masked"),
        ("Softmax", ("masked",), "shares", {"axis": -1}),
        ("MatMul", ("shares", "v"), "read"),
        ("Transpose", ("read",), "back", {"perm": (0, 2, 1, 3)}),
        ("Reshape", ("back", "together"), "y"),
        ("Identity", ("mask",), "kept"),
    ]
    return made(graph, *nodes)


def samples(batch: int, tokens: int) -> dict[str, np.ndarray]:
    x = RANDOM.normal(size=(batch, tokens, WIDTH)).astype(np.float32)
    return {"x": x, "mask": RANDOM.random((batch, tokens)) < 0.7}


def near(found: tuple[np.ndarray, ...], graph: Graph, given: dict[str, np.ndarray]) -> None:
    for name, array in zip(graph.outputs, found, strict=True):
        wanted = evaluate(graph, given)[name]
        assert array.shape == wanted.shape and array.dtype == wanted.dtype
        np.testing.assert_allclose(array, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("graph", [attention(), attention("n", 5), attention(3), attention("rows", "rows")])
def test_every_shape_gives_what_the_definition_says(graph: Graph) -> None:
    program = Program(graph)
    shape = graph.value("x").shape
    for number in (4, 1, 9, 4):
        batch, tokens = (given if isinstance(given, int) else number for given in shape[:2])
        given = samples(batch, tokens)
        near(program.run(*given.values()), graph, given)
        outs = tuple(np.empty_like(array) for array in program.run(*given.values()))
        program.run_into(*given.values(), outs)
        near(outs, graph, given)
        trace = program.trace(*given.values())
        np.testing.assert_allclose(
            trace["shares"], evaluate_all(graph, given)["shares"], rtol=1e-4, atol=1e-5
        )


def evaluate_all(graph: Graph, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    shown = graph.copy()
    shown.outputs = ("shares",)
    return evaluate(shown, given)


def test_plans_are_kept_and_the_oldest_are_given_up() -> None:
    graph = attention()
    program = Program(graph)
    assert isinstance(program, by_shape.ProgramByShape) and program.memory.constants == 0
    first = program.at(*samples(2, 3).values())
    assert program.at(*samples(7, 3).values()) is first  # the number of samples stays open
    for tokens in range(4, 4 + by_shape.KEPT - 1):
        program.run(*samples(2, tokens).values())
    assert program.at(*samples(1, 3).values()) is first  # it ran last now
    program.run(*samples(2, 100).values())
    assert program.at(*samples(1, 3).values()) is first
    assert len(program._programs) == by_shape.KEPT
    assert program.kernels and program.kernels == first.kernels


def test_plans_that_are_kept_fit_the_budget() -> None:
    program = Program(attention(), memory="1200K")
    for tokens in (2, 40, 60, 3, 50):
        program.run(*samples(2, tokens).values())
        memory = program.memory
        assert memory.constants + memory.arena <= 1200 << 10
    assert 1 <= len(program._programs) < 5
    with pytest.raises(LowbitError, match="memory"):
        program.run(*samples(1, 2000).values())


def test_a_copy_plans_again_and_threads_share_it() -> None:
    graph = attention()
    program = Program(graph, threads=2)
    again = pickle.loads(pickle.dumps(program))  # noqa: S301 - its own
    given = [samples(2, tokens) for tokens in (3, 4, 5, 6) * 3]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda arrays: again.run(*arrays.values()), given))
    for arrays, made_of in zip(found, given, strict=True):
        near(arrays, graph, made_of)
    assert again.threads == 2
    assert all(row.seconds >= 0 for row in program.profile(*given[0].values(), repeats=2))


def test_arrays_that_do_not_fit_name_the_input() -> None:
    program = Program(attention())
    given = samples(2, 5)
    for name, array in (("mask", given["mask"][:, :4]), ("x", given["x"][:, :, :5]), ("x", given["x"][0])):
        with pytest.raises(DataError) as caught:
            program.run(*{**given, name: array}.values())
        assert caught.value.where in ("input mask", f"input {name}")
    with pytest.raises(TypeError, match="x, mask"):
        program.run(given["x"])


def test_what_no_length_makes_run_is_refused_at_load_and_listed() -> None:
    graph = attention()
    graph = made(graph, ("Cast", ("y",), "wide", {"to": 2}))
    graph.outputs = ("y", "wide")
    assert BACKENDS["engine"].blockers(graph)
    with pytest.raises(EngineError):
        Program(graph)
    assert not BACKENDS["engine"].blockers(attention())


def test_lowbit_load_serves_them(tmp_path) -> None:
    graph = attention()
    lowbit.write(graph, tmp_path / "a.onnx")
    given = samples(2, 3)
    near(lowbit.load(tmp_path / "a.onnx").run(*given.values()), graph, given)
