"""A float module becomes a trainable low-bit one, in place; its parameters are the same objects.

Everything is made and checked on the traced module first, and all that stands in the way is said at once;
only then is the module changed. So after an error it is as it was, and another plan can be tried.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import fx, nn

from lowbit.errors import LowbitError, PlanError, UnsupportedError
from lowbit.nn.emission import unknown_calls
from lowbit.nn.fixed_point import Tabulated
from lowbit.nn.layers import Conv2d, Layer, Linear
from lowbit.nn.ranges import ANYTHING, Interval
from lowbit.nn.signs import device_of, functions_before_signs
from lowbit.nn.trace import trace
from lowbit.plan import Plan
from lowbit.plan.plan import CALIBRATION
from lowbit.schemes.fixed_point.train import FixedPointInput

Plans = Mapping[str, Plan]


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did.

    Attributes:
        changed: what every changed module is now, by name.
        new: names of the state that a float checkpoint does not have.
    """

    changed: dict[str, str]
    new: tuple[str, ...]


def prepare(
    model: nn.Module, plan: Plan, *, inputs: Interval = ANYTHING, exportable: bool = True
) -> Prepared:
    """Replace layers by quantized ones, in place, as the plan says; list what changed and what is new.

    A float checkpoint of the model fits before and after (`strict=False` after). Where the sign of a layer's
    input would always be the same, what makes it so is replaced (`lowbit.nn.signs`).

    Args:
        model: a float one.
        plan: which layers become what.
        inputs: the least and the largest value of the network's input, where they are known.
        exportable: refuse a model with calls that `to_graph` has no operator for.

    Raises:
        PlanError: the plan names a layer that does not exist, or the model has been prepared before.
        UnsupportedError: a planned layer is of a kind that cannot be quantized, is used in several places or
            under several names, or reads signs that would always be the same, or a call cannot be exported;
            the model is as it was.
    """
    before = set(model.state_dict())
    plan.require_unsaid(CALIBRATION, "calibration")
    plans = plan.settled("float").by_layer(name for name, module in _named(model) if _is_layer(module))
    wanted = {name: chosen for name, chosen in plans.items() if not chosen.is_float}
    changes = _changes(model, wanted, inputs, exportable) if wanted else {}
    for name, module in changes.items():
        model.set_submodule(name, module)
    changed = {name: str(module).split("\n")[0] for name, module in changes.items()}
    return Prepared(changed, tuple(name for name in model.state_dict() if name not in before))


def _changes(model: nn.Module, wanted: Plans, inputs: Interval, exportable: bool) -> dict[str, nn.Module]:
    """Return what is put where; the model is not touched.

    Raises:
        LowbitError: with everything that stands in the way.
    """
    _refuse_prepared(model)
    layers: dict[str, nn.Module] = {}
    errors: list[LowbitError] = []
    for name, chosen in wanted.items():
        try:
            layers[name] = _quantized(model.get_submodule(name), chosen, name)
        except (PlanError, UnsupportedError) as error:
            errors.append(error)
    _raise(errors)
    calls = trace(model)
    functions, dead = functions_before_signs(model, calls, wanted, inputs)
    functions |= _tables(model, calls, wanted)
    errors += [_unsupported(name, reason) for name, reason in dead.items()]
    errors += [_unsupported(*each) for each in _shared(model, calls, wanted)]
    if exportable and (unknown := unknown_calls(calls, model)):
        errors.append(_not_exportable(type(model).__name__, unknown))
    _raise(errors)
    return layers | {name: function.train(model.training) for name, function in functions.items()}


def _raise(errors: list[LowbitError]) -> None:
    """Raise the error, or one that says what all of them do."""
    if len(errors) > 1:
        found = "; ".join(f"{error.where}: {error.facts}" for error in errors)
        remedies = dict.fromkeys(error.remedy for error in errors if error.remedy)
        message = f"{len(errors)} layers cannot be prepared"
        raise type(errors[0])(message, found=found, remedy=" ".join(remedies))
    for error in errors:
        raise error


def _not_exportable(name: str, unknown: list[str]) -> UnsupportedError:
    return UnsupportedError(
        f"to_graph has no operator for {len(unknown)} of the calls",
        where=name,
        found=", ".join(unknown),
        remedy="Write them otherwise, or train without a file in the end: exportable=False.",
    )


def _unsupported(name: str, reason: str) -> UnsupportedError:
    return UnsupportedError(
        reason, where=name, remedy="Change the module, or leave the layer float; the model is as it was."
    )


def _refuse_prepared(model: nn.Module) -> None:
    found = [name for name, module in model.named_modules() if isinstance(module, Conv2d | Linear)]
    if found:
        raise PlanError(
            "the model has low-bit layers already",
            where=found[0],
            expected="a float model",
            found=f"{len(found)} of them",
            remedy="Prepare a copy of the float model (copy.deepcopy), or build it again.",
        )


def _shared(model: nn.Module, calls: fx.Graph, wanted: Plans) -> Iterator[tuple[str, str]]:
    """Yield planned modules that are not one layer in one place, and why."""
    names: dict[int, list[str]] = {}
    for name, module in _named(model):
        names.setdefault(id(module), []).append(name)
    for name in wanted:
        known = names.get(id(model.get_submodule(name)), [name])
        if len(known) > 1:
            yield name, f"it is one module under {len(known)} names: {', '.join(known)}"
            continue
        uses = sum(call.op == "call_module" and call.target == name for call in calls.nodes)
        if uses > 1:
            yield name, f"it is used in {uses} places, which would share its input's codes"
        elif not uses and (user := _user_of_weights(name, calls)):
            yield name, f"it is not called, its weights are read by {user}, which would read them as they are"


def _user_of_weights(name: str, calls: fx.Graph) -> str:
    """Return who reads the weights of a layer that is not called: a function, or a module of torch."""
    for call in calls.nodes:
        target = str(call.target)
        if call.op == "get_attr" and target.startswith(f"{name}."):
            return ", ".join(str(user) for user in call.users)
        if call.op == "call_module" and name.startswith(f"{target}."):
            return target
    return ""


def _named(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield modules by every name that they have."""
    yield from model.named_modules(remove_duplicate=False)


_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Bilinear, nn.RNNBase)


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, _WEIGHTED)


def _quantized(module: nn.Module, plan: Plan, name: str) -> Layer:
    """Return a quantized layer with the parameters of a float one."""
    settings: dict[str, object] = {
        "weight": plan.weights,
        "activation": plan.activations,
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
    _check_parameters(module, name)
    layer.weight, layer.bias = module.weight, module.bias
    for quantizer in filter(None, (layer.weight_quantizer, layer.input_quantizer)):
        quantizer.to(module.weight.device)
    return layer.train(module.training)


def _check_parameters(module: nn.Module, name: str) -> None:
    """Refuse a layer on several devices, in another type than float32, or with hooks, which would be lost."""
    if module._forward_pre_hooks or module._forward_hooks or module._backward_hooks:
        raise UnsupportedError(
            "it has hooks", where=name, expected="none", remedy="Remove them, and add them after prepare."
        )
    devices = {str(parameter.device) for parameter in module.parameters()}
    types = {str(parameter.dtype).removeprefix("torch.") for parameter in module.parameters()}
    if len(devices) > 1:
        raise UnsupportedError(
            "its parameters lie on several devices",
            where=name,
            expected="one",
            found=", ".join(sorted(devices)),
        )
    if types != {"float32"}:
        raise UnsupportedError(
            "its parameters are not float32",
            where=name,
            expected="float32",
            found=", ".join(sorted(types)),
            remedy="Keep the model in float32 and train under torch.autocast.",
        )


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


def _tables(model: nn.Module, calls: fx.Graph, plans: Plans) -> dict[str, nn.Module]:
    """Return what replaces functions behind fixed-point layers, and the grid of a fixed-point network."""
    formats = {
        name: plan.weight_form.fixed_point
        for name, plan in plans.items()
        if {form.scheme for form in plan.forms} == {"fixed"}
    }
    result: dict[str, nn.Module] = {}
    for call in calls.nodes if formats else ():
        maker = call.args[0].target if call.args and isinstance(call.args[0], fx.Node) else None
        module = model.get_submodule(call.target) if call.op == "call_module" else None
        if maker in formats and isinstance(module, nn.Tanh | nn.Sigmoid):
            table = Tabulated(type(module).__name__.lower(), formats[maker])
            result[call.target] = table.to(device_of(model.get_submodule(str(maker))))
    if formats and isinstance(getattr(model, "grid", None), nn.Identity):
        name, form = next(iter(formats.items()))
        result["grid"] = FixedPointInput(form).to(device_of(model.get_submodule(name)))
    return result
