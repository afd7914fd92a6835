"""Generated C on generated networks: every integer that it holds is the reference's."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import which

import numpy as np
import pytest

from lowbit.backends import BACKENDS
from lowbit.c99.target import generated
from lowbit.errors import LowbitError
from lowbit.ir import Graph, Node, Value, infer
from lowbit.ir.activations import preimage_thresholds
from lowbit.ir.graph import Array
from lowbit.program import plan
from tests.conformance import pairs
from tests.conformance.pairs import FLOAT, Case

CASES = [case for case in pairs.few_cases() if case.activations != FLOAT]


def levels_of(graph: Graph, name: str, codes: Array) -> Array:
    """Return levels, since two codes may have one."""
    encoding = graph.value(name).encoding
    return codes if encoding is None else np.asarray(encoding.integer_levels()[0][codes])


def check(graph: Graph, x: Array, tolerance: float = 0, flags: tuple[str, ...] = ()) -> None:
    """Compare every value that generated C shows."""
    wanted = BACKENDS["reference"].load(graph).trace(x)
    found = BACKENDS["c99"].load(graph, flags=flags).trace(x)
    assert found.keys() >= {*graph.outputs}
    for name in wanted.keys() & found.keys():
        ours, theirs = (levels_of(graph, name, values[name]) for values in (found, wanted))
        np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, rtol=tolerance, err_msg=name)


def check_case(case: Case, *flags: str) -> None:
    check(pairs.network(case), case.samples(), 1e-6 if case.end == "tanh" else 0, flags)


@pytest.mark.parametrize("case", CASES[::19], ids=str)
def test_pairs(case: Case) -> None:
    check_case(case)


@pytest.mark.parametrize("case", CASES[7::97], ids=str)
def test_cores_that_cannot_multiply_and_those_that_count_bits(case: Case) -> None:
    check_case(case, "-DLOWBIT_NO_MULTIPLY", "-DLOWBIT_BUILTIN_POPCOUNT")


@pytest.mark.parametrize(
    ("bits", "shape", "way"), [(4, "groups", "even"), (4, "linear-65", "even"), (8, "linear-65", "evenw")]
)
def test_many_thresholds_that_lie_evenly_are_a_multiplication(bits: int, shape: str, way: str) -> None:
    """As files of before have them, in whose layers no rounding stands."""
    case = Case(f"affine:{bits}", f"affine:{bits}", shape, "affine:8")
    graph = pairs.network(case)
    layer, target = graph.nodes[1], graph.value("a").encoding
    assert target is not None
    name = graph.add_constant("a/steps", preimage_thresholds(target.thresholds()[0], "relu"))
    graph.nodes[1] = replace(layer, inputs=(*layer.inputs[:3], name))
    text = generated(graph, "net", given="", integers=False).code
    assert way in text and "search_int" not in text
    check(graph, case.samples())


def test_pictures_that_are_bounded_and_joined_keep_their_order() -> None:
    graph = Graph("reals", ("x",), ("y",), values={"x": Value("x", "float32", ("n", 3, 4, 5))})
    for name, bound in (("low", -0.5), ("high", 0.6)):
        graph.add_constant(name, np.float32(bound))
    windows = {"kernel_shape": (2, 2), "strides": (2, 2)}
    graph.nodes = [
        Node("MaxPool", ("x",), ("p",), dict(windows), "p"),
        Node("Clip", ("x", "low", "high"), ("k",), {}, "k"),
        Node("MaxPool", ("k",), ("q",), dict(windows), "q"),
        Node("Concat", ("p", "q"), ("y",), {"axis": 1}, "y"),
    ]
    infer(graph)
    check(graph, np.random.default_rng(0).normal(size=(3, 3, 4, 5)).astype(np.float32))


@pytest.mark.nightly
def test_all_pairs() -> None:
    for case in CASES:
        check_case(case)
        check_case(case, "-DLOWBIT_NO_MULTIPLY")


def odd(families: tuple[str, ...], seeds: range) -> Iterator[tuple[str, Graph, Array]]:
    """Yield odd graphs, quantized one way after the other, that floats do not keep from C99."""
    pytest.importorskip("onnxruntime")
    from lowbit.formats.onnx import from_proto
    from tests.conformance.odd_graphs.check import feeds_of
    from tests.conformance.odd_graphs.families import FAMILIES, draw
    from tests.conformance.odd_graphs.schemes import SCHEMES

    schemes = [name for name in SCHEMES if "weights" not in name and name != "mixed"]
    for family in families or tuple(FAMILIES):
        for seed in seeds:
            drawn = draw(family, seed)
            try:
                network = from_proto(drawn.model, family)
            except LowbitError:
                continue
            if len(network.inputs) > 1:
                continue
            scheme = schemes[(seed * 7 + list(FAMILIES).index(family)) % len(schemes)]
            x = feeds_of(network, drawn)[network.inputs[0]]
            try:
                graph = SCHEMES[scheme](network, x)
            except LowbitError:
                continue
            if not BACKENDS["c99"].blockers(graph):
                batch = graph.value(graph.inputs[0]).shape[0]
                rows = batch if isinstance(batch, int) else 5 if plan(graph).by_rows else 1
                yield f"{family} {seed} {scheme}", graph, x[:rows].astype(np.float32)


FEW = {
    "fixed sums": 101,
    "pools": 104,
    "windows": 104,
    "grouped": 101,
    "Concat twice": 100,
    "pads": 104,
    "residual": 104,
    "transposed": 103,
    "flatten": 101,
}
"""Families, and a seed of each that C99 runs."""


@pytest.mark.parametrize("family", FEW)
def test_odd_graphs(family: str) -> None:
    seed = FEW[family]
    ((_, graph, x),) = odd((family,), range(seed, seed + 1))
    check(graph, x, 1e-6)


@pytest.mark.nightly
def test_more_odd_graphs() -> None:
    found = 0
    for name, graph, x in odd((), range(12)):
        try:
            check(graph, x, 1e-6)
        except AssertionError as error:
            raise AssertionError(name) from error
        found += 1
    assert found > 100


MAIN = """
#include <stdio.h>
{includes}
int main(void)
{{
  unsigned seed = 1;
  int i, k;
{calls}
  return 0;
}}
"""

CALL = """
  for (k = 0; k < 20; ++k) {{
    static {name}_input x[{name}_INPUT_COUNT];
    static {name}_output y[{name}_OUTPUT_COUNT];
    for (i = 0; i < {name}_INPUT_COUNT; ++i) {{
      seed = seed * 1664525u + 1013904223u;
      x[i] = {draw};
    }}
    {name}_run(x, y);
    for (i = 0; i < {name}_OUTPUT_COUNT; ++i) printf("%.9g\\n", (double)y[i]);
  }}
"""


@pytest.mark.nightly
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_sanitizers_find_nothing(tmp_path: Path, compiler: str) -> None:
    if which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    graphs = [pairs.network(case) for case in CASES[::29]]
    graphs += [graph for _, graph, _ in odd(tuple(FEW), range(100, 102))]
    names, draws = [], ("(float)(seed >> 16) / 16384.0f - 2.0f", "(uint8_t)(seed >> 24)")
    calls = []
    for number, graph in enumerate(graphs):
        integers = number % 2 == 1
        try:
            source = generated(graph, f"net{number}", integers=integers)
        except LowbitError:
            integers, source = False, generated(graph, f"net{number}", given="float")
        (tmp_path / f"{source.name}.h").write_text(source.header)
        (tmp_path / f"{source.name}.c").write_text(source.code)
        names.append(source.name)
        calls.append(CALL.format(name=source.name, draw=draws[integers]))
    includes = "\n".join(f'#include "{name}.h"' for name in names)
    (tmp_path / "main.c").write_text(MAIN.format(includes=includes, calls="".join(calls)))
    strict = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    checked = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g1"]
    printed = []
    for flags in (["-O2"], ["-O1", *checked]):
        command = [compiler, *strict, *flags, "main.c", *(f"{name}.c" for name in names), "-o", "main"]
        subprocess.run(command, cwd=tmp_path, check=True)
        printed.append(subprocess.run(["./main"], cwd=tmp_path, check=True, capture_output=True).stdout)
    assert printed[0] == printed[1] and len(printed[0].split()) > 1000
