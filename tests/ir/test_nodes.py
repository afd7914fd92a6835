"""A graph finds who makes and who reads a value, whatever changed its nodes before."""

import copy
import pickle  # noqa: TID251 - its own
import time
from collections.abc import Callable

import numpy as np
import pytest

from lowbit.ir import Graph, Node
from lowbit.ir.nodes import Nodes


def node(number: int, *inputs: str) -> Node:
    return Node(
        "Add", inputs or (f"v{number - 1}", f"v{number // 2}"), (f"v{number}", f"w{number}"), {}, f"n{number}"
    )


CHANGES: list[Callable[[list[Node]], object]] = [
    lambda nodes: nodes.append(node(90)),
    lambda nodes: nodes.insert(2, node(91, "v1", "v1")),
    lambda nodes: nodes.extend([node(92), node(93)]),
    lambda nodes: nodes.__setitem__(3, node(94)),
    lambda nodes: nodes.__setitem__(slice(1, 3), [node(95)]),
    lambda nodes: nodes.__delitem__(4),
    lambda nodes: nodes.pop(),
    lambda nodes: nodes.remove(nodes[0]),
    lambda nodes: nodes.reverse(),
    lambda nodes: nodes.sort(key=lambda each: each.name),
    lambda nodes: nodes.__iadd__([node(96)]),
    lambda nodes: nodes.clear(),
]


def right(graph: Graph) -> None:
    names = {name for each in graph.nodes for name in (*each.inputs, *each.outputs)} | {"v90", "none"}
    for name in names:
        makers = [each for each in graph.nodes if name in each.outputs]
        assert graph.producer(name) is (makers[0] if makers else None)
        assert graph.consumers(name) == [each for each in graph.nodes if name in each.inputs]


@pytest.mark.parametrize("seed", range(20))
def test_who_makes_and_reads_is_found_after_any_changes(seed: int) -> None:
    random = np.random.default_rng(seed)
    graph = Graph("g", nodes=[node(number) for number in range(1, 12)])
    for change in random.permutation(len(CHANGES) - 1)[:6]:
        right(graph)
        CHANGES[change](graph.nodes)
    right(graph)
    graph.nodes = [each for each in graph.nodes if each.name != "n5"]
    right(graph)
    CHANGES[-1](graph.nodes)
    right(graph)


def test_what_a_reader_got_is_its_own() -> None:
    graph = Graph("g", nodes=[node(1), node(2)])
    graph.consumers("v1").clear()
    assert graph.consumers("v1") == [graph.nodes[1]]
    for again in (copy.deepcopy(graph), pickle.loads(pickle.dumps(graph))):  # noqa: S301 - its own
        right(again)
        assert (
            isinstance(again.nodes, Nodes) and again.nodes == graph.nodes and again.nodes is not graph.nodes
        )


def test_a_long_chain_is_not_searched_again_and_again() -> None:
    graph = Graph("g", nodes=[node(number) for number in range(1, 20_000)])
    start = time.process_time()
    for number in range(1, 20_000):
        graph.producer(f"v{number}")
        graph.consumers(f"v{number}")
    assert time.process_time() - start < 2  # all pairs would take minutes
