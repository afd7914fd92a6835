"""A module as a list of calls: `torch.fx`, with every layer left whole."""

from torch import fx, nn

from lowbit.errors import UnsupportedError
from lowbit.nn.fixed_point import Tabulated
from lowbit.nn.layers import Conv2d, Linear
from lowbit.nn.quantizer import Quantizer


class _Tracer(fx.Tracer):
    """Looks into containers and into modules written by users, not into layers."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _LAYERS) or super().is_leaf_module(m, module_qualified_name)


_LAYERS = (Conv2d, Linear, Quantizer, Tabulated)


def trace(model: nn.Module) -> fx.Graph:
    """Return the calls that a module makes.

    Raises:
        UnsupportedError: what it does depends on its input.
    """
    try:
        return _Tracer().trace(model)
    except (fx.proxy.TraceError, TypeError, RuntimeError) as error:
        raise UnsupportedError(
            "the module cannot be traced",
            where=type(model).__name__,
            expected="a forward that does the same for every input",
            found=str(error),
        ) from error


def modules_before(calls: fx.Graph, name: str, model: nn.Module) -> list[str]:
    """Return the modules between a layer and whatever made its input, the nearest first.

    Only what keeps or rearranges single values is looked through: pooling, flattening, dropout.
    """
    call = next((node for node in calls.nodes if node.op == "call_module" and node.target == name), None)
    found: list[str] = []
    while call is not None:
        source = call.args[0] if call.args else None
        if not isinstance(source, fx.Node) or source.op != "call_module":
            break
        found.append(str(source.target))
        through = isinstance(model.get_submodule(found[-1]), nn.MaxPool2d | nn.Flatten | nn.Dropout)
        call = source if through else None
    return found
