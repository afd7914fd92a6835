"""A float module becomes a trainable low-bit one, in place: modules and parameters are the same objects.

Everything is made and checked first, and all that stands in the way is said at once. Layers change their
class and get quantizers, so hooks, other names and lists of the user's stay what they were; after an error,
so does the module. With an example of its input a module is tried as a whole: a layer that is called in
several places gets a quantizer for each of them, and what the engine or a file cannot do is named before
training.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import fx, nn

from lowbit.errors import LowbitError, PlanError, UnsupportedError
from lowbit.nn.changes import Changes, as_before
from lowbit.nn.example import Given, example_of, settled
from lowbit.nn.fixed_point import Tabulated
from lowbit.nn.functions import Calling, Site, calling, sites_of
from lowbit.nn.kinds import is_layer, low_bit_class
from lowbit.nn.low_bit import LowBit
from lowbit.nn.parts import Parts
from lowbit.nn.ranges import ANYTHING, Interval
from lowbit.nn.signs import ABOUT_THE_MEAN, device_of, functions_before_signs
from lowbit.nn.trace import trace
from lowbit.nn.trial import refuse_unexportable
from lowbit.plan import Plan
from lowbit.plan.plan import CALIBRATION
from lowbit.schemes.fixed_point.train import FixedPointInput

Plans = dict[str, Plan]


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
    model: nn.Module,
    plan: Plan,
    example: Given = None,
    *,
    inputs: Interval = ANYTHING,
    exportable: bool = True,
) -> Prepared:
    """Let layers become quantized ones, in place, as the plan says; list what changed and what is new.

    A float checkpoint of the model fits before and after (`strict=False` after). Where the sign of a layer's
    input would always be the same, what makes it so is replaced, or the layer reads its input about its mean
    (`lowbit.nn.signs`); `changed` says so.

    Args:
        model: a float one.
        plan: which layers become what.
        example: samples of its input, a tensor or one for each input, or the shape of one sample. Without one
            only layers are looked at, and `to_graph` says after training what has no operator.
        inputs: the least and the largest value of the network's input, where they are known.
        exportable: refuse a model that `to_graph`, the engine or ``.circle`` have no operators for.

    Raises:
        PlanError: the plan names a layer that does not exist, or the model has been prepared before.
        UnsupportedError: a planned layer is of a kind that cannot be quantized, or reads signs that would
            always be the same, or the example shows that the model cannot be exported; it is as it was.
    """
    before = set(model.state_dict())
    plan.require_unsaid(CALIBRATION, "calibration")
    given = None if example is None else example_of(model, example)
    if given is not None:
        _check_types(model)
        given = settled(model, given)
    calls = None if given is None else trace(model, given)
    sites = {} if calls is None else sites_of(model, calls)
    plans = plan.settled("float").by_layer(_names(model, sites))
    wanted = {name: chosen for name, chosen in plans.items() if not chosen.is_float}
    if not wanted:
        return Prepared({}, ())
    _refuse_prepared(model)
    changes = _Preparation(model, wanted, sites).changes(calls, inputs)
    with changes:
        changes.apply(model)
        if exportable and given is not None:
            refuse_unexportable(model, given)
    changed = {name: _said(model.get_submodule(name)) for name in changes.names}
    return Prepared(changed, tuple(name for name in model.state_dict() if name not in before))


def _names(model: nn.Module, sites: Mapping[str, Site]) -> list[str]:
    """Return the names of all layers that plans speak of: modules, and functions where they are called."""
    found = [name for name, module in _named(model) if is_layer(module)]
    functions = [name for name in sites if name not in found]
    return [*found[:-1], *functions, *found[-1:]]


def _said(module: nn.Module) -> str:
    said = module
    if isinstance(module, Parts):
        said = module.get_submodule(module.part_names[0])
    return f"{type(module).__name__}({said.extra_repr()})"


def replan(
    model: nn.Module,
    plan: Plan,
    example: Given = None,
    *,
    inputs: Interval = ANYTHING,
    exportable: bool = True,
) -> Prepared:
    """Prepare a model anew, whatever it was prepared as; what quantizers have learned begins again.

    Arguments, results and errors are those of `prepare`; after an error the model is as it was.
    """
    with as_before(model):
        return prepare(model, plan, example, inputs=inputs, exportable=exportable)


class _Preparation:
    """What becomes what; the model is not touched."""

    def __init__(self, model: nn.Module, wanted: Plans, sites: dict[str, Site]) -> None:
        self._model, self._errors = model, list[LowbitError]()
        self._wanted = wanted | _attention_of(model, wanted)
        modules = {
            name: module for name, module in _named(model) if name in self._wanted and is_layer(module)
        }
        self._modules = _one_name_each(model, modules, self._wanted, self._errors)
        self._sites = {name: site for name, site in sites.items() if name in self._wanted}
        for name in self._sites:
            self._modules.pop(name, None)

    def changes(self, calls: fx.Graph | None, inputs: Interval) -> Changes:
        """Return the changes.

        Raises:
            LowbitError: with everything that stands in the way.
        """
        for name, module in self._modules.items():
            self._try(name, lambda: _check_layer(module))  # noqa: B023
        unable = {error.where for error in self._errors}
        for name, module in self._modules.items() if unable else ():  # what else there is, before tracing
            if name not in unable:
                self._try(name, lambda: self._layer(Changes(), name, module, 1))  # noqa: B023
        self._refuse()
        calls = calls or trace(self._model)
        uses = {name: [call for call in calls.nodes if _calls(call, name)] for name in self._modules}
        uses |= {name: site.calls for name, site in self._sites.items()}
        signs = functions_before_signs(self._model, calls, uses, self._wanted, inputs)
        self._errors += [_unsupported(name, reason) for name, reason in signs.dead.items()]
        for name in signs.about_mean:
            about = {"activations": ABOUT_THE_MEAN, "activation_gradient": ""}
            self._wanted[name] = replace(self._wanted[name], **about)  # type: ignore[arg-type]
        changes = Changes()
        for name, module in self._modules.items():
            self._try(name, lambda: self._layer(changes, name, module, len(uses[name])))  # noqa: B023
        for name, site in self._sites.items():
            self._try(name, lambda: self._function(changes, name, site))  # noqa: B023
        self._refuse()
        functions = signs.functions | _tables(self._model, calls, self._wanted)
        mode = self._model.training
        changes.functions = {name: function.train(mode) for name, function in functions.items()}
        return changes

    def _try(self, name: str, make: Callable[[], None]) -> None:
        try:
            make()
        except (PlanError, UnsupportedError) as error:
            error.where = name
            self._errors.append(error)

    def _refuse(self) -> None:
        """Raise what stands in the way, and say how to go without these layers."""
        self._errors.sort(key=lambda error: list(self._wanted).index(error.where))
        unable = [error.where for error in self._errors if isinstance(error, UnsupportedError)]
        _raise(self._errors, f"To leave float what cannot be: plan.keeping({unable})." if unable else "")

    def _layer(self, changes: Changes, name: str, module: nn.Module, places: int) -> None:
        chosen = self._wanted[name]
        layer = as_class(module, low_bit_class(module))
        layer.quantize(chosen.weights, chosen.activations, places=max(places, 1), **_settings(chosen))
        for quantizer in layer.quantizers():
            quantizer.to(device_of(module)).train(module.training)
        changes.layers[name] = layer

    def _function(self, changes: Changes, name: str, site: Site) -> None:
        chosen, owner = self._wanted[name], self._model.get_submodule(site.owner)
        made = changes.layers.get(site.owner)
        if not isinstance(made, Calling):
            made = as_class(owner, calling(owner))
            assert isinstance(made, Calling)
            made._sites = {}
        made.add_site(name, site, chosen.weights, chosen.activations, **_settings(chosen))
        made.train(owner.training)
        changes.layers[site.owner] = made


def _calls(call: fx.Node, name: str) -> bool:
    return call.op == "call_module" and call.target == name


def _settings(plan: Plan) -> dict[str, Any]:
    return {
        "weight_gradient": plan.weight_gradient or None,
        "activation_gradient": plan.activation_gradient or None,
        "scale": plan.scale or None,
    }


def _raise(errors: list[LowbitError], remedy: str = "") -> None:
    """Raise the error, or one that says what all of them do; what they all expect is said once."""
    if not errors:
        return
    first, remedies = errors[0], [*(error.remedy for error in errors), remedy]
    first.remedy = " ".join(dict.fromkeys(each for each in remedies if each))
    if len(errors) == 1:
        raise first
    expected = first.expected if len({error.expected for error in errors}) == 1 else ""
    for error in errors:
        error.expected = "" if expected else error.expected
    found = "; ".join(f"{error.where}: {error.facts}" for error in errors)
    message = f"{len(errors)} layers cannot be prepared"
    raise type(first)(message, expected=expected, found=found, remedy=first.remedy)


def _unsupported(name: str, reason: str) -> UnsupportedError:
    return UnsupportedError(reason, where=name, remedy="Change the module, which is as it was.")


def _refuse_prepared(model: nn.Module) -> None:
    found = [name for name, module in model.named_modules() if isinstance(module, LowBit | Parts)]
    if found:
        raise PlanError(
            "the model has low-bit layers already",
            where=found[0],
            expected="a float model",
            found=f"{len(found)} of them",
            remedy="Call replan(model, plan), or prepare a copy of the float model (copy.deepcopy).",
        )


def _one_name_each(
    model: nn.Module, modules: Mapping[str, nn.Module], wanted: Plans, errors: list[LowbitError]
) -> dict[str, nn.Module]:
    """Return planned modules by the first of their names; the others have to be planned alike."""
    names: dict[int, list[str]] = {}
    for name, module in _named(model):
        names.setdefault(id(module), []).append(name)
    found: dict[str, nn.Module] = {}
    for name, module in modules.items():
        known = names[id(module)]
        if any(wanted.get(other) != wanted[name] for other in known):
            reason = f"it is one module under {len(known)} names, which the plan wants different: "
            errors.append(_unsupported(name, reason + ", ".join(known)))
        elif name == known[0]:
            found[name] = module
    return found


def _named(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return modules by every name that they have."""
    return list(model.named_modules(remove_duplicate=False))


def _attention_of(model: nn.Module, wanted: Plans) -> Plans:
    """Return attention that stays float beside layers of the plan, which torch's own would pass by."""
    found: dict[str, Plan] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention) and name not in wanted:
            above = name.rpartition(".")[0]
            whole = isinstance(model.get_submodule(above), nn.TransformerEncoderLayer)
            around = f"{above}." if whole and above else "" if whole else f"{name}."
            if any(other.startswith(around) for other in wanted):
                found[name] = Plan("float")
    return found


def _check_types(model: nn.Module) -> None:
    """Refuse a model of another type than float32 before it runs on an example."""
    errors: list[LowbitError] = []
    for name, module in model.named_modules():
        try:
            if is_layer(module):
                _check_parameters(module)
        except UnsupportedError as error:
            error.where = name
            errors.append(error)
    _raise(errors)


def _check_layer(module: nn.Module) -> None:
    """Refuse a layer that has no low-bit form, before anything is traced."""
    low_bit_class(module)
    _check_parameters(module)


def as_class(module: nn.Module, made: type[LowBit] | type[Parts]) -> LowBit | Parts:
    """Return another module of a class that has all that a module has: parameters, hooks, settings."""
    layer = made.__new__(made)
    layer.__dict__.update(module.__dict__)
    layer.__dict__["_modules"] = dict(module._modules)
    return layer


def _check_parameters(module: nn.Module) -> None:
    """Refuse a layer on several devices, or in another type than float32."""
    devices = {str(parameter.device) for parameter in module.parameters()}
    types = {str(parameter.dtype).removeprefix("torch.") for parameter in module.parameters()}
    if len(devices) > 1:
        raise UnsupportedError(
            "its parameters lie on several devices", expected="one", found=", ".join(sorted(devices))
        )
    if types != {"float32"}:
        raise UnsupportedError(
            "its parameters are not float32",
            expected="float32",
            found=", ".join(sorted(types)),
            remedy="Keep the model in float32 and train under torch.autocast.",
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
