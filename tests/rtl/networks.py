"""Networks for hardware tests: graphs with random weights, made fixed point, and what the reference says."""

import numpy as np
import numpy.typing as npt

from lowbit.ir import Graph, Node, Value
from lowbit.quantization.fixed_point import to_fixed_point
from lowbit.rtl.lst.from_graph import from_graph
from lowbit.rtl.lst.network import LstNetwork
from lowbit.rtl.pictures import reference_scores
from lowbit.rtl.report import Bench

NORMALIZE = (0.5, 0.5)


def random_graph(
    rows: int = 4,
    columns: int = 4,
    a: int = 4,
    b: int = 4,
    classes: int = 3,
    m: int = 6,
    n: int = 7,
    *,
    reach: float = 0.88,
    rounding: str = "nearest",
    function: str = "Tanh",
    seed: int = 0,
) -> Graph:
    """Return a fixed-point graph of one separable transform, weights in [-reach, reach] and in the format."""
    least, most = -(2.0 ** (m - 1)), 2.0 ** (m - 1) - 2.0**-n
    random, graph = np.random.default_rng(seed), Graph("lst", ("x",), ("scores",))
    graph.add(Value("x", "float32", ("n", rows, columns)))

    def constant(name: str, *shape: int) -> str:
        return graph.add_constant(name, random.uniform(-reach, reach, shape).clip(least, most))

    def add(
        op: str, inputs: tuple[str, ...], output: str, shape: tuple[int, ...], **attributes: object
    ) -> str:
        graph.add(Value(output, "float32", ("n", *shape)))
        graph.nodes.append(Node(op, inputs, (output,), attributes, output))  # type: ignore[arg-type]
        return output

    source, height, width = "x", rows, columns
    for name, features in (("rows", a), ("columns", b)):
        source = add(
            "MatMul", (source, constant(f"{name}.w", width, features)), f"{name}/p", (height, features)
        )
        source = add("Add", (source, constant(f"{name}.b", features)), name, (height, features))
        source = add(function, (source,), f"{name}/f", (height, features))
        source = add("Transpose", (source,), f"{name}/t", (features, height), perm=(0, 2, 1))
        height, width = features, height
    source = add("Flatten", (source,), "flat", (a * b,))
    weights = (constant("output.w", classes, a * b), constant("output.b", classes))
    add("Gemm", (source, *weights), "scores", (classes,), transB=1)
    return to_fixed_point(graph, m, n, rounding)


def random_network(*arguments: int, **changes: object) -> LstNetwork:
    """Return the integers of `random_graph`."""
    return from_graph(random_graph(*arguments, **changes), NORMALIZE)  # type: ignore[arg-type]


def random_pictures(network: LstNetwork, count: int, seed: int = 1) -> npt.NDArray[np.uint8]:
    """Return pictures of noise, the first all black and the second all white."""
    random = np.random.default_rng(seed)
    pictures = random.integers(0, 256, (count, network.rows, network.columns)).astype(np.uint8)
    pictures[0], pictures[1 % count] = 0, 255
    return pictures


def network_and_bench(count: int, *arguments: int, **changes: object) -> tuple[LstNetwork, Bench]:
    """Return a network, and pictures with their scores by the reference evaluator."""
    graph = random_graph(*arguments, **changes)  # type: ignore[arg-type]
    network = from_graph(graph, NORMALIZE)
    pictures = random_pictures(network, count)
    return network, Bench(pictures, reference_scores(graph, pictures, NORMALIZE))


def expected_beats(network: LstNetwork, bench: Bench) -> list[list[int]]:
    """Return what the engine has to send for each picture: scores as integers, and the class."""
    sums = np.ldexp(bench.scores.astype(np.float64), 2 * network.encoding.fraction_bits)
    assert np.abs(sums).max() < 1 << 24  # so that float32 has lost nothing
    return np.column_stack([sums, sums.argmax(axis=1)]).astype(int).tolist()
