"""A module as a list of calls: seen on an example, or by `torch.fx`, with every layer left whole."""

from torch import fx, nn

from lowbit.errors import UnsupportedError
from lowbit.nn.example import Example
from lowbit.nn.fixed_point import Tabulated
from lowbit.nn.low_bit import LowBit
from lowbit.nn.parts import Parts
from lowbit.nn.recorder import record
from lowbit.schemes.training.quantizer import Quantizer


class _Tracer(fx.Tracer):
    """Looks into containers and into modules written by users, not into layers."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _LAYERS) or super().is_leaf_module(m, module_qualified_name)


_LAYERS = (LowBit, Parts, Quantizer, Tabulated)


def trace(model: nn.Module, example: Example | None = None) -> fx.Graph:
    """Return the calls that a module makes; `meta["constant"]` of a call is the constant that it reads.

    Args:
        model: it is left as it was.
        example: to run it on; without one it is run on symbols, which fewer modules take.

    Raises:
        UnsupportedError: what it does depends on its input.
    """
    if example is not None:
        return record(model, example)
    known = set(vars(model))
    try:
        calls = _Tracer().trace(model)
    except Exception as error:  # whatever a forward raises that is given no numbers
        raise UnsupportedError(
            "the module cannot be traced",
            where=type(model).__name__,
            expected="a forward that does the same for every input",
            found=str(error),
            remedy="Give an example of its input: prepare(model, plan, example).",
        ) from error
    else:
        constants = {name: vars(model)[name] for name in set(vars(model)) - known}
        for call in calls.nodes:
            if call.op == "get_attr" and call.target in constants:
                call.meta["constant"] = constants[str(call.target)]
        return calls
    finally:
        for name in set(vars(model)) - known:  # the tracer leaves constants in the model
            delattr(model, name)
