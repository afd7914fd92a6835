"""What is declared in one place runs everywhere: an operator by its body, an activation of layers by its row.

Both are made here and are gone afterwards, so that no back end can have a line about them.
"""

from pathlib import Path

import numpy as np
import pytest

from lowbit.backends import BACKENDS
from lowbit.engine import Program, kernel_levels
from lowbit.formats import read_model, write_model
from lowbit.ir import Graph, Node, Value, evaluate, infer, verify
from tests.ir.toys import samples, toy

BODIES = {
    "Squashed": "X / (1 + Abs(X))",
    "Mishlike": "X * Tanh(Softplus(X))",
    "Bounded": "low = Clip(steep * X, -1, 1)\nlow * low / (low + 3) - Sigmoid(X) * HardSwish(X)",
    "Constants": "(2 - X) / 3 + 1 / (Exp(-Abs(X)) + 1) - 4 / 2 * steep",
}


def network(op: str, shape: tuple[int, ...], domain: str) -> Graph:
    """Return a network with the operator behind a pool, where it lies as a map, and at its end."""
    graph = Graph("net", ("x",), ("y",), values={"x": Value("x", "float32", ("n", *shape))})
    source = "x"
    if len(shape) == 3:
        graph.nodes.append(Node("AveragePool", ("x",), ("p",), {"kernel_shape": (1, 1)}, "pool"))
        source = "p"
    graph.nodes.append(Node(op, (source,), ("a",), {}, "first", domain))
    graph.nodes.append(Node(op, ("a",), ("y",), {"steep": -0.75}, "second", domain))
    infer(graph)
    verify(graph)
    return graph


@pytest.mark.parametrize("shape", [(7,), (3, 4, 5)], ids=str)
@pytest.mark.parametrize("domain", ["", "lowbit"])
@pytest.mark.parametrize("name", BODIES)
def test_an_operator_of_one_line_runs_everywhere(
    name: str, domain: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    with toy(name, "X", BODIES[name], domain, steep=0.5):
        graph = network(name, shape, domain)
        x = np.clip(samples(shape), -60, 60)  # LiteRT's functions overflow sooner than ONNX's
        expected = evaluate(graph, {"x": x})["y"]
        for level in kernel_levels():
            program = Program(graph, kernels=level)
            np.testing.assert_allclose(program.run(x), expected, rtol=3e-6, atol=3e-6)
            assert set(program.trace(x)) <= graph.values.keys()
        for backend in BACKENDS.values():
            if not backend.blockers(graph):
                np.testing.assert_allclose(backend.load(graph).run(x)[0], expected, rtol=3e-6, atol=3e-6)
        for suffix in (".onnx", ".circle", ".txt"):
            path = tmp_path / f"net{suffix}"
            write_model(graph, path)
            again = read_model(path)
            result = evaluate(again, {again.inputs[0]: x})[again.outputs[0]]
            np.testing.assert_allclose(result, expected, rtol=3e-6, atol=3e-6)
            if suffix != ".circle":  # which has what it is made of
                assert [node.op for node in again.nodes] == [node.op for node in graph.nodes]


def test_a_torch_module_is_the_operator_that_names_it() -> None:
    torch = pytest.importorskip("torch")
    from lowbit.nn import to_graph

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.module = torch.nn.Linear(6, 5), torch.nn.Softsign()

        def forward(self, x):
            x = self.module(self.first(x))
            return torch.exp(torch.nn.functional.softsign(x))

    torch.manual_seed(1)
    model = Net().eval()
    with toy("Softsign", "X", "X / (1 + Abs(X))", torch="Softsign"):
        graph = to_graph(model, (6,))
        x = np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32)
        assert [node.op for node in graph.nodes].count("Softsign") == 2
        with torch.no_grad():
            expected = model(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(
            evaluate(graph, {graph.inputs[0]: x})[graph.outputs[0]], expected, rtol=1e-5
        )


def test_a_torch_module_with_constants_that_the_operator_lacks_is_refused() -> None:
    torch = pytest.importorskip("torch")
    from lowbit.errors import LowbitError
    from lowbit.nn import to_graph

    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Hardshrink(0.7))
    declared = toy("Hardshrink", "X", "X - Clip(X, -1/2, 1/2)", torch="Hardshrink")
    with declared, pytest.raises(LowbitError, match="Hardshrink"):
        to_graph(model, (6,))
