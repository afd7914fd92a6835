"""What a back end is: a name, what keeps it from a graph, and what runs one."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from lowbit.blockers import Blocker
    from lowbit.ir import Graph
    from lowbit.ir.graph import Array


@dataclass(frozen=True)
class Runner:
    """A network that is ready to run.

    Attributes:
        run: ``run(*inputs)`` takes an array per input, in the order of the graph, the batch first, and
            returns an array per output. Reals are float32, codes are codes.
        trace: ``trace(*inputs)`` returns inputs, outputs and all values between them that the back end shows,
            by name, in the shapes of the graph. What it computes in one go with others is not shown.
    """

    run: Callable[..., tuple[Array, ...]]
    trace: Callable[..., dict[str, Array]]


class Implementation(Protocol):
    """What the module of a back end has."""

    def blockers(self, graph: Graph, /) -> list[Blocker]:
        """See `Backend.blockers`."""

    def load(self, graph: Graph, /, **options: Any) -> Runner:
        """See `Backend.load`."""


@dataclass(frozen=True)
class Backend:
    """What runs a graph; its module is imported when it is first asked something.

    Attributes:
        name: of its module beside this one, as commands and results call it.
        about: what it is, one clause.
    """

    name: str
    about: str

    def blockers(self, graph: Graph) -> list[Blocker]:
        """Return what keeps it from a verified graph: all of it, with counts and remedies.

        Its own table of operators is asked; nothing is run, and no package of an extra is needed for that.
        Without blockers `load` succeeds, as far as memory and packages go; hardware may still find numbers or
        its device in the way when it plans.
        """
        return self._implementation.blockers(graph)

    def load(self, graph: Graph, /, **options: Any) -> Runner:
        """Return what runs a verified graph.

        Args:
            graph: the network.
            options: see its module; all know ``threads``.

        Raises:
            MissingExtra: a package of it is not installed.
            LowbitError: it does not run this graph; everything that is in the way.
        """
        return self._implementation.load(graph, **options)

    @property
    def _implementation(self) -> Implementation:
        return import_module(f"lowbit.backends.{self.name}")


def named(graph: Graph, inputs: tuple[Array, ...]) -> dict[str, Array]:
    """Return a network's inputs by name.

    Raises:
        DataError: there are more or fewer than it has.
    """
    from lowbit.errors import DataError

    if len(inputs) != len(graph.inputs):
        raise DataError(
            "these are not the inputs of the network",
            where=graph.name,
            expected=f"{len(graph.inputs)}: {', '.join(graph.inputs)}",
            found=f"{len(inputs)} arrays",
        )
    return dict(zip(graph.inputs, inputs, strict=True))
