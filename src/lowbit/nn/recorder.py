"""What a module calls, seen while it runs on an example: a graph of `torch.fx` without symbols.

Lengths are numbers and loops have run, so whatever runs can be seen. Modules of torch are seen whole, those
that contain others but for attention and recurrent ones from inside.
"""

import operator
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree

from lowbit.errors import LowbitError, UnsupportedError
from lowbit.nn.example import Example
from lowbit.nn.functions import FORMS
from lowbit.nn.kinds import has_low_bit_form
from lowbit.nn.low_bit import LowBit
from lowbit.nn.parts import Parts
from lowbit.schemes.training.quantizer import Quantizer

_READS = ("__bool__", "__int__", "__float__", "__index__", "__contains__", "item", "tolist", "numpy")
_SHAPES = ("nonzero", "masked_select", "unique", "unique_consecutive")
_WHOLE = (nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase, LowBit, Parts, Quantizer)


class Recorder(TorchFunctionMode):
    """Writes calls down.

    Attributes:
        calls: a graph as `torch.fx` traces it; ``meta["constant"]`` of a call is the constant that it reads.
        reads: names of functions that read numbers which depend on the input.
    """

    def __init__(self, model: nn.Module, example: Example) -> None:
        super().__init__()
        self.calls, self.reads = fx.Graph(), list[str]()
        self._names = {id(each): name for name, each in reversed([*model.named_modules()])}
        self._tensors = {id(each): name for name, each in (*model.named_parameters(), *model.named_buffers())}
        self._known: dict[int, fx.Node] = {}
        self._kept: list[Tensor] = []  # so that no identity is used twice
        self._depends: set[fx.Node] = set()
        self._inside = False
        self._scopes = [("", 1)]
        self._runs: Counter[str] = Counter()
        for number, tensor in enumerate(example.tensors):
            self._depends.add(self._keep(tensor, self.calls.placeholder(f"x{number or ''}")))

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if self._inside:
            return function(*args, **named)
        name = getattr(function, "__name__", "")
        if name in (*_READS, *_SHAPES) and self._is_dependent((args, named)):
            self.reads.append(name.strip("_"))
        given = function(*args, **named)
        if any(isinstance(each, Tensor) for each in _pytree.tree_leaves(given)):
            node = self._note(given, args, named, *_target(function, name))
            if function in FORMS:
                node.meta |= {"function": function, "scope": self._scopes[-1], "values": (args, named)}
        return given

    def module_called(self, call: Any, module: nn.Module, *args: Any, **named: Any) -> Any:
        """Run a module, and note it whole where it is."""
        whole = id(module) in self._names and is_whole(module)
        if self._inside:
            return call(module, *args, **named)
        if not whole:
            return self._entered(call, module, *args, **named)
        self._inside = True
        try:
            given = call(module, *args, **named)
        finally:
            self._inside = False
        self._note(given, args, named, "call_module", self._names[id(module)])
        return given

    def _entered(self, call: Any, module: nn.Module, *args: Any, **named: Any) -> Any:
        """Run a module that is seen from inside."""
        name = self._names.get(id(module), self._scopes[-1][0])
        self._runs[name] += 1
        self._scopes.append((name, self._runs[name]))
        try:
            return call(module, *args, **named)
        finally:
            self._scopes.pop()

    def finish(self, given: Any) -> fx.Graph:
        """Note the result, and return the calls."""
        self.calls.output(_pytree.tree_map(self._node, given))
        return self.calls

    def _note(self, given: Any, args: Any, named: Any, kind: str, target: Any, *more: Any) -> fx.Node:
        depends = self._is_dependent((args, named))
        arguments = _pytree.tree_map(self._node, (tuple(args), dict(named)))
        node = self.calls.create_node(kind, target, (*arguments[0], *more), arguments[1])
        made = [node]
        if isinstance(given, Tensor):
            node.meta["shape"] = tuple(given.shape)
            self._keep(given, node)
        else:
            for index, each in enumerate(_pytree.tree_leaves(given)):
                if isinstance(each, Tensor):
                    made.append(self._keep(each, self.calls.call_function(operator.getitem, (node, index))))
        self._depends.update(made if depends else ())
        for each in made if depends else ():
            each.meta["depends"] = True
        return node

    def _node(self, value: Any) -> Any:
        """Return the call that gave a tensor, or a constant of it; other values as they are."""
        if not isinstance(value, Tensor):
            return value
        if id(value) not in self._known:
            name = self._tensors.get(id(value), "")
            node = self.calls.create_node("get_attr", name or "constant")
            if not name:  # parameters and buffers may become anything
                node.meta["constant"] = value.detach()
            self._keep(value, node)
        return self._known[id(value)]

    def _keep(self, tensor: Tensor, node: fx.Node) -> fx.Node:
        self._known[id(tensor)] = node
        self._kept.append(tensor)
        return node

    def _is_dependent(self, given: Any) -> bool:
        found = (self._known.get(id(each)) for each in _pytree.tree_leaves(given))
        return any(node in self._depends for node in found if node is not None)


def is_whole(module: nn.Module) -> bool:
    """Return whether a module is one call: one of torch without others inside, or one of ours."""
    own = type(module).__module__.startswith(("torch.nn.modules", "torch.nn.qat"))
    return isinstance(module, _WHOLE) or (own and not module._modules) or has_low_bit_form(module)


def _target(function: Any, name: str) -> tuple[Any, ...]:
    """Return kind and target of a call, as `torch.fx` has them, and further arguments."""
    if name == "__get__":
        return "call_function", getattr, getattr(getattr(function, "__self__", None), "__name__", "")
    plain = name.strip("_")
    if name.startswith("__") and hasattr(operator, plain):
        return "call_function", getattr(operator, plain)
    if getattr(Tensor, name, None) is function:
        return "call_method", name
    return "call_function", function


@torch.no_grad()
def record(model: nn.Module, example: Example) -> fx.Graph:
    """Return the calls that a module makes on an example.

    Raises:
        UnsupportedError: what it computes depends on its input, or it fails on the example.
    """
    recorder = Recorder(model, example)
    try:
        with torch.random.fork_rng(devices=[]), slow_attention(), _modules(recorder), recorder:
            given = model(*example.tensors)
    except LowbitError:
        raise
    except Exception as error:  # whatever a forward raises
        raise UnsupportedError(
            "the module does not run on the example",
            where=type(model).__name__,
            expected="a forward that takes it",
            found=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            remedy="Give samples of its input [n, ...], in a tuple if it has several, or the shape of one.",
        ) from error
    if recorder.reads:
        raise UnsupportedError(
            "the module cannot be traced",
            where=type(model).__name__,
            expected="a forward that does the same for every input",
            found=f"numbers that depend on the input are read: {', '.join(dict.fromkeys(recorder.reads))}",
        )
    return recorder.finish(given)


@contextmanager
def _modules(recorder: Recorder) -> Iterator[None]:
    """Let a recorder know of modules that are called."""
    call = nn.Module.__call__

    def called(module: nn.Module, *args: Any, **named: Any) -> Any:
        return recorder.module_called(call, module, *args, **named)

    with mock.patch.object(nn.Module, "__call__", called):
        yield


@contextmanager
def slow_attention() -> Iterator[None]:
    """Let attention of torch be made of its functions, not of one fused one."""
    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was)
