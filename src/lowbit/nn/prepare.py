"""A float module becomes a trainable low-bit one, in place; its parameters are the same objects."""

from dataclasses import dataclass

from torch import fx, nn

from lowbit.errors import PlanError, UnsupportedError
from lowbit.nn.fixed_point import FixedPointInput, Tabulated
from lowbit.nn.layers import Conv2d, Layer, Linear
from lowbit.nn.plan import LayerPlan, Plan
from lowbit.nn.specification import specification
from lowbit.nn.trace import modules_before, trace


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did.

    Attributes:
        changed: what every changed module is now, by name.
        new: names of the state that a float checkpoint does not have.
    """

    changed: dict[str, str]
    new: tuple[str, ...]


def prepare(model: nn.Module, plan: Plan) -> Prepared:
    """Replace layers by quantized ones, in place, as the plan says; list what changed and what is new.

    A float checkpoint of the model fits before and after (`strict=False` after).

    Raises:
        PlanError: the plan names a layer that does not exist.
        UnsupportedError: a planned layer is of a kind that cannot be quantized.
    """
    before = set(model.state_dict())
    plans = plan.resolved(name for name, module in model.named_modules() if _is_layer(module))
    wanted = {name: chosen for name, chosen in plans.items() if not chosen.is_float}
    functions = _functions_before_signs(model, wanted) | _tables(model, wanted)
    for name, chosen in wanted.items():
        model.set_submodule(name, _quantized(model.get_submodule(name), chosen, name))
    for name, function in functions.items():
        model.set_submodule(name, function)
    changed = {name: str(model.get_submodule(name)).split("\n")[0] for name in (*wanted, *functions)}
    return Prepared(changed, tuple(name for name in model.state_dict() if name not in before))


_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Bilinear, nn.RNNBase)


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, _WEIGHTED)


def _quantized(module: nn.Module, plan: LayerPlan, name: str) -> Layer:
    """Return a quantized layer with the parameters of a float one."""
    settings: dict[str, object] = {
        "weight": plan.weight,
        "activation": plan.activation,
        "weight_gradient": plan.weight_gradient or None,
        "activation_gradient": plan.activation_gradient or None,
        "scale": plan.scale or None,
        "device": "meta",  # its own parameters are never drawn
    }
    try:
        layer = _empty(module, settings, name)
    except (PlanError, UnsupportedError) as error:
        facts = {"expected": error.expected, "found": error.found, "remedy": error.remedy}
        raise type(error)(error.message, where=name, **facts) from error
    assert isinstance(module, nn.Linear | nn.Conv2d)
    layer.weight, layer.bias = module.weight, module.bias
    return layer.to(module.weight.device).train(module.training)


def _empty(module: nn.Module, settings: dict[str, object], name: str) -> Layer:
    has_bias = getattr(module, "bias", None) is not None
    if type(module) is nn.Linear:
        return Linear(module.in_features, module.out_features, has_bias, **settings)  # type: ignore[arg-type]
    if type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str):
        return Conv2d(
            module.in_channels,
            module.out_channels,
            module.kernel_size,  # type: ignore[arg-type]
            module.stride,  # type: ignore[arg-type]
            module.padding,  # type: ignore[arg-type]
            module.dilation,  # type: ignore[arg-type]
            module.groups,
            has_bias,
            **settings,  # type: ignore[arg-type]
        )
    raise UnsupportedError(
        "this layer cannot be quantized",
        where=name,
        expected="torch.nn.Linear, or torch.nn.Conv2d padded by a number of zeros",
        found=str(module),
        remedy="Leave it float in the plan.",
    )


def _functions_before_signs(model: nn.Module, plans: dict[str, LayerPlan]) -> dict[str, nn.Module]:
    """Return what replaces every ReLU whose sign is taken, by name."""
    signed = {name: plan for name, plan in plans.items() if specification(plan.activation).scheme == "binary"}
    result: dict[str, nn.Module] = {}
    calls = trace(model) if signed else None
    for name, plan in signed.items():
        assert calls is not None
        found = modules_before(calls, name, model)
        if found and isinstance(model.get_submodule(found[-1]), nn.ReLU):
            makers = modules_before(calls, found[-1], model)
            result[found[-1]] = _function(
                plan.before_sign, model.get_submodule(makers[0]) if makers else None
            )
    return result


def _tables(model: nn.Module, plans: dict[str, LayerPlan]) -> dict[str, nn.Module]:
    """Return what replaces functions behind fixed-point layers, and the grid of a fixed-point network."""
    formats = {
        name: specification(plan.weight).fixed_point
        for name, plan in plans.items()
        if specification(plan.weight).scheme == specification(plan.activation).scheme == "fixed"
    }
    result: dict[str, nn.Module] = {}
    for call in trace(model).nodes if formats else ():
        maker = call.args[0].target if call.args and isinstance(call.args[0], fx.Node) else None
        module = model.get_submodule(call.target) if call.op == "call_module" else None
        if maker in formats and isinstance(module, nn.Tanh | nn.Sigmoid):
            result[call.target] = Tabulated(type(module).__name__.lower(), formats[maker])
    if formats and isinstance(getattr(model, "grid", None), nn.Identity):
        result["grid"] = FixedPointInput(next(iter(formats.values())))
    return result


def _function(name: str, maker: nn.Module | None) -> nn.Module:
    if name == "hardtanh":
        return nn.Hardtanh()
    if name == "prelu":
        widths = (getattr(maker, key, None) for key in ("num_features", "out_channels", "out_features"))
        return nn.PReLU(next((width for width in widths if width), 1))
    return nn.Identity()
