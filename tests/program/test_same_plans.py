"""Networks whose batch stays in front keep the plans that they had: the same steps, on the same values.

The file beside this one has the plans of the zoo and of the golden files, as the program that ran one input
and one output made them. Who changes a plan on purpose makes it again: ``python -m
tests.program.test_same_plans``.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from lowbit.errors import LowbitError
from lowbit.formats import read_model
from lowbit.ir import Graph
from lowbit.program import plan
from lowbit.zoo import NETWORKS, float_graph

PLANS = Path(__file__).parent / "plans.json"
GOLDEN = Path(__file__).parents[1] / "golden" / "lowbit-0.1"
LARGE = ("vgg16",)  # takes as long as all others


def networks() -> Iterator[tuple[str, Graph]]:
    """Return networks by name."""
    for name in sorted(set(NETWORKS) - {*LARGE}):
        yield name, float_graph(NETWORKS[name])
    for file in sorted(GOLDEN.rglob("*.circle")):
        yield file.name, read_model(file)


def described(graph: Graph) -> str:
    """Return the steps of a plan: what each is and reads, or nothing where it is refused."""
    try:
        planned = plan(graph)
    except LowbitError:
        return ""
    return " ".join(f"{type(step).__name__}{list(step.sources)}".replace(" ", "") for step in planned.steps)


def test_plans_are_those_of_before() -> None:
    wanted, seen = json.loads(PLANS.read_text()), dict(networks())
    assert wanted.keys() == seen.keys() and sum(map(bool, wanted.values())) > 60
    for name, graph in seen.items():
        assert not wanted[name] or described(graph) == wanted[name], name


if __name__ == "__main__":
    found = {name: described(graph) for name, graph in networks()}
    PLANS.write_text(json.dumps(found, indent=0) + "\n")
