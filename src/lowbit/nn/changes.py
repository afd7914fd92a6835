"""Changes of a module that are made as a whole or not at all."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self, TypeGuard

from torch import nn

from lowbit.nn.low_bit import LowBit
from lowbit.nn.parts import Parts
from lowbit.nn.signs import Places

_FLOAT = "_lowbit_float"
"""What a changed layer remembers: its class and the names of its children. A model has functions by name."""


class Changes:
    """Layers that get another class and quantizers, and modules that are replaced.

    In a `with`, whatever raises takes back what was applied.

    Attributes:
        layers: what a layer becomes, by one of its names.
        functions: what stands in the place of a module, by name.
    """

    def __init__(self) -> None:
        self.layers: dict[str, LowBit | Parts] = {}
        self.functions: dict[str, nn.Module] = {}
        self._undo: list[Any] = []

    @property
    def names(self) -> list[str]:
        """Names of all modules that change."""
        return [*self.layers, *self.functions]

    def apply(self, model: nn.Module) -> None:
        """Change the module."""
        for name, made in self.layers.items():
            module = model.get_submodule(name)
            self._undo.append(_restored(module))
            made.__dict__[_FLOAT] = type(module), tuple(module._modules)
            module.__class__ = type(made)
            module.__dict__.update(made.__dict__)
        self._undo.append(_restored(model))
        kept = {name: model.get_submodule(name) for name in self.functions}
        _put(model, self.functions)
        if kept:
            model.__dict__[_FLOAT + "_functions"] = kept
            self._undo.append(lambda: _put(model, kept))
        if any(_has_places(module) for module in model.modules()):
            hook = model.register_forward_pre_hook(begin_places)
            model.__dict__[_FLOAT + "_hook"] = hook.id
            self._undo.append(hook.remove)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *others: object) -> None:
        for undo in reversed(self._undo) if kind else ():
            undo()


def begin_places(model: nn.Module, inputs: object) -> None:
    """Let layers and functions that are called in several places begin with the first of them."""
    for module in model.modules():
        if _has_places(module):
            module.begin()


def _has_places(module: nn.Module) -> TypeGuard[LowBit | Parts | Places]:
    several = isinstance(module, LowBit) and module.other_inputs is not None
    return several or isinstance(module, Parts | Places)


def _put(model: nn.Module, modules: Mapping[str, nn.Module]) -> None:
    for name, module in modules.items():
        model.set_submodule(name, module)


def _restored(module: nn.Module) -> Any:
    """Return what lets a module be what it is now."""
    kind, state, children = type(module), dict(module.__dict__), dict(module._modules)

    def restore() -> None:
        module.__class__ = kind
        module.__dict__.clear()
        module.__dict__.update(state)
        module.__dict__["_modules"] = children

    return restore


@contextmanager
def as_before(model: nn.Module) -> Iterator[None]:
    """Let a model be the float one that it was before `prepare`; an error lets it be what it is now."""
    undo = [_restored(module) for module in model.modules()]
    try:
        _put(model, model.__dict__.pop(_FLOAT + "_functions", {}))
        model._forward_pre_hooks.pop(model.__dict__.pop(_FLOAT + "_hook", None), None)
        for module in list(model.modules()):
            if isinstance(module, LowBit | Parts) and _FLOAT in module.__dict__:
                kind, children = module.__dict__.pop(_FLOAT)
                _strip(module, kind, children)
        yield
    except BaseException:
        for restore in undo:
            restore()
        raise


_OWN = (
    *("weight_specification", "activation", "weight_quantizer", "input_quantizer", "other_inputs", "kept"),
    *("_deployed", "part_names", "_place", "_places", "_sites"),
)
"""What low-bit layers have and float ones have not."""


def _strip(module: LowBit | Parts, kind: type[nn.Module], children: tuple[str, ...]) -> None:
    """Let a layer be of its float class, without quantizers."""
    for name in set(module._modules) - set(children):
        del module._modules[name]
    for name in _OWN:
        module.__dict__.pop(name, None)
    module.__class__ = kind  # type: ignore[assignment]
