"""Any verified graph of floats runs in the engine as in the reference, or is refused by one of our errors."""

import random
from collections import Counter

import numpy as np

from lowbit.engine import Program
from lowbit.errors import EngineError, LowbitError
from lowbit.ir import Graph, Node, Value, evaluate, verify
from lowbit.ir.infer import infer_node

GRAPHS = 600
LENGTHS = (1, 1, 2, 3, 4, 6)


class Maker:
    """Makes one graph of a seed: nodes whose operands hardly ever know of each other."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a test
        self.numbers = np.random.default_rng(seed)
        batch = self.random.choice(("n", "n", "n", 1, 2, 3))
        shape = (batch, *self.lengths(self.random.choice((0, 1, 1, 2, 3, 3, 3, 4))))
        self.graph = Graph("any", ("x",), ("x",), values={"x": Value("x", "float32", shape)})
        self.names = ["x"]

    def make(self) -> Graph | None:
        """Return a graph, or None where no node fits."""
        for _ in range(self.random.randint(1, 14)):
            kind = self.random.choice(KINDS)
            if kind != "constants_alone" or self.random.random() < 0.2:
                self.add(getattr(self, kind))
        self.graph.outputs = (self.names[-1],)
        if self.names[-1] == "x":
            return None
        if self.random.random() < 0.8:
            self.graph.remove_unused()
        try:
            verify(self.graph)
        except LowbitError:
            return None
        return self.graph

    def add(self, kind) -> None:
        """Add a node if inference takes it."""
        before = self.graph.copy()
        op, inputs, attributes = kind()
        name = f"{op}{len(self.names)}"
        node = Node(op, tuple(inputs), (f"{name}/y",), attributes, name)
        try:
            infer_node(self.graph, node)
        except LowbitError:
            self.graph = before
            return
        self.graph.nodes.append(node)
        self.names.append(f"{name}/y")

    def lengths(self, rank: int) -> tuple[int, ...]:
        return tuple(self.random.choice(LENGTHS) for _ in range(rank))

    def value(self) -> str:
        """Return any value, mostly a late one."""
        return self.names[-1] if self.random.random() < 0.6 else self.random.choice(self.names)

    def shape(self, name: str) -> tuple[int | str, ...]:
        return self.graph.value(name).shape

    def constant(self, shape=(), data=None) -> str:
        array = self.numbers.uniform(0.5, 2, shape) if data is None else np.asarray(data)
        name = self.graph.fresh_name("c")
        return self.graph.add_constant(name, array, "int64" if array.dtype.kind == "i" else "float32")

    def unary(self):
        op = self.random.choice(("Relu", "Tanh", "Sigmoid", "LeakyRelu", "Elu", "HardSwish", "Identity"))
        return op, [self.value()], {}

    def arithmetic(self):
        op, left = self.random.choice(("Add", "Sub", "Mul", "Div")), self.value()
        if self.random.random() < 0.4:
            return op, [left, self.value()], {}
        shape = [length if isinstance(length, int) else 1 for length in self.shape(left)]
        if self.random.random() < 0.3:
            shape = list(self.lengths(self.random.randint(0, 5)))
        shape = [1 if self.random.random() < 0.3 else length for length in shape]
        shape = shape[self.random.choice((0, 0, 1, 2)) :]
        shape = [1] * self.random.choice((0, 0, 0, 1, 2)) + shape
        operands = [left, self.constant(shape)]
        return op, operands[:: self.random.choice((1, -1))], {}

    def constants_alone(self):
        shape = self.lengths(self.random.randint(0, 3))
        return self.random.choice(("Add", "Div")), [self.constant(shape), self.constant(shape)], {}

    def reshape(self):
        name = self.value()
        lengths = [length for length in self.shape(name)[1:] if isinstance(length, int)]
        product = int(np.prod(lengths, dtype=np.int64))
        batch = self.random.choice((-1, -1, 0, self.random.choice(LENGTHS)))
        forms = ([batch, product], [0, -1], [batch, *lengths[::-1]], [batch, 1, *lengths], [product, batch])
        return "Reshape", [name, self.constant(data=np.array(self.random.choice(forms)))], {}

    def transpose(self):
        name = self.value()
        rank = len(self.shape(name))
        order = [*range(rank)]
        inner = order[1:] if self.random.random() < 0.8 else order
        self.random.shuffle(inner)
        return "Transpose", [name], {"perm": tuple(order[: rank - len(inner)] + inner)}

    def squeeze(self):
        name = self.value()
        axis = self.random.randint(0, max(len(self.shape(name)) - 1, 0))
        op = self.random.choice(("Squeeze", "Unsqueeze", "Unsqueeze"))
        return op, [name, self.constant(data=np.array([axis]))], {}

    def flatten(self):
        return "Flatten", [self.value()], {"axis": self.random.choice((0, 1, 1, 1, 2))}

    def concat(self):
        name = self.value()
        parts = [name] * self.random.randint(1, 3) + [self.value()]
        return "Concat", parts, {"axis": self.random.randint(0, 3)}

    def reduction(self):
        name = self.value()
        axis = self.random.randint(0, max(len(self.shape(name)) - 1, 0))
        op = self.random.choice(("ReduceSum", "ReduceMean", "ReduceMax"))
        return op, [name, self.constant(data=np.array([axis]))], {"keepdims": self.random.choice((0, 1))}

    def product_of_two(self):
        name = self.value()
        order = [*range(len(self.shape(name)))]
        order[-2:] = order[-2:][::-1]
        turned = f"turned{len(self.names)}"
        node = Node("Transpose", (name,), (turned,), {"perm": tuple(order)}, turned)
        infer_node(self.graph, node)
        self.graph.nodes.append(node)
        return "MatMul", [name, turned][:: self.random.choice((1, -1))], {}

    def slice(self):
        name = self.value()
        axis = self.random.randint(0, max(len(self.shape(name)) - 1, 0))
        start, end = self.random.choice(((0, 1), (1, 9), (-2, 99), (-1, -99), (0, 2)))
        step = -1 if end == -99 else self.random.choice((1, 1, 2))
        return "Slice", [name, *(self.constant(data=np.array([n])) for n in (start, end, axis, step))], {}

    def gather(self):
        indices = self.random.choice(([0, 0, -1], [[0], [-1]], 0, [-1]))
        return (
            "Gather",
            [self.value(), self.constant(data=np.array(indices))],
            {"axis": self.random.randint(-3, 3)},
        )

    def repeat(self):
        name = self.value()
        times = [self.random.choice((1, 1, 2)) for _ in self.shape(name)]
        if self.random.random() < 0.5:
            times[:1] = [1]
        return "Tile", [name, self.constant(data=np.array(times))], {}

    def expand(self):
        name = self.value()
        lengths = [length if isinstance(length, int) and length > 1 else 1 for length in self.shape(name)]
        lengths = [self.random.choice((1, 3)) if length == 1 else length for length in lengths]
        if self.random.random() < 0.7:
            lengths[:1] = [1]
        front = [self.random.choice((1, 2))] if self.random.random() < 0.2 else []
        return "Expand", [name, self.constant(data=np.array(front + lengths))], {}

    def pad(self):
        name = self.value()
        edges = [self.random.choice((0, 0, 1, 2, -1)) for _ in range(2 * len(self.shape(name)))]
        if self.random.random() < 0.8:
            edges[:: max(len(self.shape(name)), 1)] = [0, 0][: len(edges)]
        return "Pad", [name, self.constant(data=np.array(edges))], {}

    def softmax(self):
        return (
            self.random.choice(("Softmax", "LogSoftmax")),
            [self.value()],
            {"axis": self.random.choice((-1, 1, 0))},
        )

    def clip(self):
        bounds = [self.constant(), self.constant(), ""]
        return "Clip", [self.value(), self.random.choice(bounds), self.random.choice(bounds[:2])], {}

    def product(self):
        name = self.value()
        last = self.shape(name)[-1:] or (1,)
        length = last[0] if isinstance(last[0], int) else 2
        weights = self.constant((length, self.random.choice(LENGTHS)))
        operands = [name, weights] if self.random.random() < 0.9 else [weights, name]
        return self.random.choice(("MatMul", "Gemm")), operands, {}

    def normalization(self):
        name = self.value()
        channels = (self.shape(name)[1:2] or (1,))[0]
        rows = [self.constant(((channels if isinstance(channels, int) else 1),)) for _ in range(4)]
        return "BatchNormalization", [name, *rows], {}

    def convolution(self):
        name = self.value()
        shape = self.shape(name)
        channels = shape[1] if len(shape) > 1 and isinstance(shape[1], int) else 1
        kernel = tuple(self.random.choice((1, 1, 2, 3)) for _ in shape[2:])
        weights = self.constant((self.random.choice(LENGTHS), channels, *kernel))
        return (
            "Conv",
            [name, weights],
            {"pads": tuple(self.random.choice((0, 1)) for _ in range(2 * len(kernel)))},
        )

    def pool(self):
        name = self.value()
        rank = max(len(self.shape(name)) - 2, 0)
        op = self.random.choice(("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"))
        sizes = {"kernel_shape": tuple(self.random.choice((1, 2, 3)) for _ in range(rank))}
        pads = {"pads": tuple(self.random.choice((0, 0, 1)) for _ in range(2 * rank))}
        return op, [name], {} if op.startswith("Global") else {**sizes, **pads}

    def prelu(self):
        name = self.value()
        shape = [length if isinstance(length, int) else 1 for length in self.shape(name)]
        return "PRelu", [name, self.constant(shape[self.random.choice((0, 1, 2)) :])], {}


KINDS = [
    name
    for name, member in vars(Maker).items()
    if callable(member) and name not in ("__init__", "make", "add", "lengths", "value", "shape", "constant")
]


def samples(graph: Graph, seed: int) -> np.ndarray:
    shape = [length if isinstance(length, int) else 3 for length in graph.value("x").shape]
    return np.random.default_rng(seed).uniform(-2, 2, shape).astype(np.float32)


def test_any_graph_runs_or_is_refused_by_name() -> None:
    counts: Counter[str] = Counter()
    for seed in range(GRAPHS):
        graph = Maker(seed).make()
        if graph is None:
            counts["none"] += 1
            continue
        x = samples(graph, seed)
        try:
            program = Program(graph, threads=1 + seed % 2)
        except EngineError as error:
            assert isinstance(error.__cause__, LowbitError | None), (seed, error.__cause__)
            assert error.where and error.remedy, (seed, str(error))
            counts["refused"] += 1
            continue
        if not program.by_rows and isinstance(graph.value("x").shape[0], str):
            x, counts["one sample"] = x[:1], counts["one sample"] + 1
        with np.errstate(all="ignore"):
            (expected,) = evaluate(graph, {"x": x}).values()
        found = program.run(x)
        assert found.shape == expected.shape, seed
        scale = max(1.0, float(np.nan_to_num(np.abs(expected)).max(initial=0)))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * scale, err_msg=str(seed))
        counts["run"] += 1
    assert counts["run"] > GRAPHS / 3 and counts["refused"] > GRAPHS / 20, counts
