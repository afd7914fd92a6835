"""Low-bit layers as one node each of what torch exports: ``lowbit.train.Call``, whatever they compute.

While a module is exported, a layer calls `Export.call`: torch sees one operator that gives what the layer
gives, and whoever reads the file is told by its key what to write in its place.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

Emit = Callable[[Any, str, str], None]
"""Writes a call: the reader of the file, the name of what it reads, and of what it gives."""

DOMAIN, OPERATOR, KEY = "lowbit.train", "Call", "key"

_LIBRARY = torch.library.Library("lowbit", "FRAGMENT")  # type: ignore[no-untyped-call]
_LIBRARY.define("call(Tensor x, str key) -> Tensor")  # type: ignore[no-untyped-call]


class Export:
    """The calls of one export.

    Args:
        names: of the layers, by identity.
        batch: how many samples the example has.
        is_open: whether a file with any number of samples is made.

    Attributes:
        emits: what writes each call, by key.
        shared: constants that calls share.
        moves: whether layers move what they read or give, as tokens.
    """

    def __init__(self, names: Mapping[int, str], batch: int, is_open: bool) -> None:
        self.emits: dict[str, Emit] = {}
        self.moves = False
        self.shared: dict[object, tuple[str, ...]] = {}
        self.is_open, self._names, self._batch = is_open, names, batch
        self._computes: dict[str, Callable[[Tensor], Tensor]] = {}

    def call(self, x: Tensor, compute: Callable[[Tensor], Tensor], emit: Emit) -> Tensor:
        """Return what `compute` gives, as one node that `emit` writes."""
        key = str(len(self.emits))
        self.emits[key], self._computes[key] = emit, compute
        made: Tensor = torch.ops.lowbit.call(x, key)
        return made

    def name(self, layer: object) -> str:
        """Return what a layer is called."""
        return self._names.get(id(layer), type(layer).__name__.lower())

    def batch_axis(self, x: Tensor) -> int:
        """Return along which axis of a value of tokens the samples lie, as far as lengths say."""
        found = [axis for axis, length in enumerate(x.shape[:-1]) if int(length) == self._batch]
        return found[0] if found else 0

    def compute(self, x: Tensor, key: str) -> Tensor:
        """Return what a call gives."""
        return self._computes[key](x).clone()  # an operator of torch gives no view of its input


@contextmanager
def untraced() -> Iterator[None]:
    """Let what is computed inside be no part of an export, lengths be numbers."""
    state = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch._C._set_tracing_state(state)  # type: ignore[attr-defined]


def is_new(x: Tensor) -> bool:
    """Return whether a tensor of an export was made of its lengths alone."""
    if active() is None or torch._C._get_tracing_state() is None:
        return False
    made = torch._C._get_value_trace(x).node()  # type: ignore[attr-defined]
    return str(made.kind()).removeprefix("aten::") in _NEW


_NEW = ("zeros", "ones", "full", "empty", "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones")


@contextmanager
def outside() -> Iterator[None]:
    """Let what is computed inside be a constant of an export, if one goes on."""
    held = _active[:]
    _active.clear()
    try:
        with untraced():
            yield
    finally:
        _active[:] = held


_active: list[Export] = []


def active() -> Export | None:
    """Return the export that goes on, if one does."""
    return _active[-1] if _active else None


@contextmanager
def exporting(names: Mapping[int, str], batch: int, is_open: bool) -> Iterator[Export]:
    """Let layers be calls of an export; arguments are those of `Export`."""
    _active.append(Export(names, batch, is_open))
    try:
        yield _active[-1]
    finally:
        _active.pop()


def _compute(x: Tensor, key: str) -> Tensor:
    return _active[-1].compute(x, key)


def symbolic(graph: Any, x: Any, key: Any) -> Any:
    """Return the node of a call, with the shape that torch saw."""
    made = graph.op(f"{DOMAIN}::{OPERATOR}", x, **{f"{KEY}_s": key.node().s("value")})
    seen = graph.original_node.output().type()
    export = active()
    if export is not None and export.is_open and seen.sizes():
        seen = seen.with_sizes([None, *seen.sizes()[1:]])
    return made.setType(seen)


_LIBRARY.impl("call", _compute, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
