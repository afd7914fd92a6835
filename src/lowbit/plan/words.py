"""The words of earlier plans, read as those of today.

    scheme = "pow2", weight_bits = 3, activation_bits = 8      weights = "pow2:3", activations = "affine:8"
    bits = 2                                                   weights = "lq:2", activations = "lq:2"
    scheme = "fixed:6.7"  (of commands)                        weights = activations = "fixed:6.7"
    weight = "binary", activation = "pixels"  (of recipes)     weights = "binary", activations = "pixels"
    method = "restore", "plain"                                method = "gptq", "rtn"

A scheme of earlier plans is one of weights and inputs together; without it 1 to 4 bits mean `lq`, 5 to 8
`affine`. New words win nothing over old ones: where they do not say the same, the plan is refused.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lowbit.errors import PlanError
from lowbit.schemes.registry import FLOAT_BITS, REGISTRY, Bits
from lowbit.schemes.specification import Specification, Use, forms, specification

Forms = tuple[Specification, Specification]
"""Of weights and of a layer's input."""

SIDES: tuple[Use, Use] = ("weights", "activations")
OLD_BITS = {"weights": "weight_bits", "activations": "activation_bits"}
OLD_WORDS = ("scheme", *OLD_BITS.values(), "bits")
USUAL_BITS = 3
METHODS = {"restore": "gptq", "plain": "rtn"}

_RENAMED = {"weight": "weights", "activation": "activations"}
EARLIER = (*OLD_WORDS, *_RENAMED)
"""Names of settings in earlier plans."""
_INPUTS = {name: row.inputs for name, row in REGISTRY.items() if row.inputs}
"""What the input of a layer becomes: the first of these that has the bits."""
ALIKE = tuple(name for name, inputs in _INPUTS.items() if name in inputs)
"""Schemes that weights and inputs both have where a plan says one alone."""
_FLOAT_INPUT = dict.fromkeys(ALIKE, ("activation_bits", FLOAT_BITS))


def _ranges(scheme: str) -> dict[str, Bits]:
    """Return the fewest and most bits of weights and of inputs, as earlier plans called them."""
    weights, inputs = REGISTRY[scheme].weights, [REGISTRY[name].activations for name in _INPUTS[scheme]]
    bits = [each for found in inputs if found for each in found]
    assert weights is not None
    return {"weight_bits": weights, "activation_bits": (min(bits), max(bits))}


BITS: dict[str, dict[str, Bits]] = {scheme: _ranges(scheme) for scheme in _INPUTS}
"""The bits of a scheme of earlier plans."""

_NAMES = (*BITS, "float")


def usual_scheme(weight_bits: object, activation_bits: object) -> str:
    """Return the scheme that so many bits mean when none is said."""
    most = BITS["lq"]["weight_bits"][1]
    given = [bits for bits in (weight_bits, activation_bits) if isinstance(bits, int) and bits != FLOAT_BITS]
    return "affine" if any(bits > most for bits in given) else "lq"


def positional(given: Sequence[Any]) -> dict[str, Any]:
    """Return arguments without a name as settings: weights and activations, or as earlier plans had them."""
    if given and isinstance(given[0], Mapping):
        order: tuple[str, ...] = ("layers",)
    elif given and (isinstance(given[1], int) if len(given) > 1 else given[0] in BITS):
        order = ("scheme", "weight_bits", "activation_bits", "method", "samples", "patches", "seed")
    else:
        order = (*SIDES, "weight_gradient", "activation_gradient", "scale", "before_sign")
    if len(given) > len(order):
        raise PlanError(
            "a plan has no so many arguments without a name", expected=", ".join(order), found=str(len(given))
        )
    return dict(zip(order, given, strict=False))


def require_known(settings: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """Refuse a setting that there is not.

    Raises:
        PlanError: near names are listed.
    """
    names = (*known, *EARLIER)
    for name in settings:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=2) or known
            raise PlanError("unknown setting", where=where, expected=" or ".join(near), found=repr(name))


def require_said(settings: Mapping[str, Any]) -> None:
    """Refuse an empty specification in a table: what stays as it is is left out.

    Raises:
        PlanError: names what is empty.
    """
    for side in SIDES:
        if settings.get(side) == "":
            expected = " or ".join(forms(side))
            raise PlanError("nothing is said", where=side, expected=expected, found="an empty text")


def combined(tables: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return tables of which a later one changes an earlier one, all in old words as one.

    So bits and schemes of several tables are those of one plan, as they always were.
    """
    if any(not table.keys().isdisjoint((*SIDES, *_RENAMED)) for table in tables):
        return [dict(table) for table in tables]
    return [{name: value for table in map(_renamed, tables) for name, value in table.items()}]


def new_words(settings: Mapping[str, Any], base: Forms | None = None) -> dict[str, Any]:
    """Return settings in the words of today.

    Args:
        settings: in any words.
        base: weights and inputs that settings of a layer change; None for those of the network.

    Raises:
        PlanError: bits or schemes that there are not, or words that contradict each other.
    """
    found = _renamed(settings)
    old = {name: found.pop(name) for name in ("scheme", *OLD_BITS.values()) if name in found}
    if not old:
        return found
    _check_old(old)
    said = {side: found[side] for side in SIDES if found.get(side, "") != ""}
    if not said and base is None and old.get("scheme") == "float":
        found["layers"] = _with_bits(found.get("layers", {}), old)
    if not said:
        return {**found, **_texts(old, base)}
    for side, bits in OLD_BITS.items():
        if side in said:
            _agree(side, said[side], old)
        elif bits in old:
            found[side] = _text(side, old)
    return found


def _with_bits(layers: Any, old: Mapping[str, Any]) -> Any:
    """Return layers with the bits that a float network was given, which a scheme of a layer takes up."""
    if not isinstance(layers, Mapping):
        return layers
    bits = {name: value for name, value in old.items() if name != "scheme"}
    takes = {name: isinstance(table, Mapping) and table.get("scheme") for name, table in layers.items()}
    return {name: {**bits, **_renamed(table)} if takes[name] else table for name, table in layers.items()}


def _renamed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by the names of today; `bits` is said of weights and of inputs."""
    found = dict(settings)
    for old, new in _RENAMED.items():
        if old in found:
            value = found.pop(old)
            if found.setdefault(new, value) != value:
                raise _contradiction(old, value, new, found[new])
    if isinstance(scheme := found.get("scheme"), str) and ":" in scheme:
        del found["scheme"]
        for side in SIDES:
            if found.setdefault(side, scheme) != scheme:
                raise _contradiction("scheme", scheme, side, found[side])
    if "bits" in found:
        bits = found.pop("bits")
        found = {**dict.fromkeys(OLD_BITS.values(), bits), **found}
    if isinstance(method := found.get("method"), str):
        found["method"] = METHODS.get(method, method)
    return found


def _check_old(old: Mapping[str, Any]) -> None:
    for name, value in old.items():
        kind, like = (str, "lq") if name == "scheme" else (int, USUAL_BITS)
        if type(value) is not kind:
            raise PlanError(
                "a setting has the wrong type", where=name, expected=f"like {like!r}", found=repr(value)
            )
    if old.get("scheme", "") not in ("", *_NAMES):
        raise PlanError("unknown scheme", where="scheme", expected=" or ".join(_NAMES), found=old["scheme"])


def _texts(old: Mapping[str, Any], base: Forms | None) -> dict[str, str]:
    """Return the specifications that a scheme and bits of earlier plans mean, of network or layer."""
    bits = dict.fromkeys(OLD_BITS.values(), USUAL_BITS)
    said = {name: old[name] for name in bits if name in old}
    if base is None:
        return _pair(old.get("scheme") or usual_scheme(*(bits | said).values()), **(bits | said))
    weights, inputs = base
    together = one_scheme(base)
    if not together and "scheme" not in old:
        return {side: _text(side, old) for side, name in OLD_BITS.items() if name in said}
    if not weights.is_float:
        bits = dict(zip(bits, (weights.bits, inputs.bits), strict=True))
    bits |= said
    scheme = together if together not in ("", "lq") else usual_scheme(*bits.values())
    chosen = old.get("scheme", scheme) or usual_scheme(*bits.values())
    texts = _pair(chosen, **bits)
    return {side: _as_before(texts[side], form) for side, form in zip(SIDES, base, strict=True)}


def _pair(scheme: str, weight_bits: int, activation_bits: int) -> dict[str, str]:
    """Return the specifications of a scheme of earlier plans.

    Raises:
        PlanError: it has not these bits.
    """
    if scheme == "float":
        return dict.fromkeys(SIDES, "float")
    for name, bits in (("weight_bits", weight_bits), ("activation_bits", activation_bits)):
        least, most = BITS[scheme][name]
        if not least <= bits <= most and (name, bits) != _FLOAT_INPUT.get(scheme):
            raise PlanError(
                "bits out of range",
                where=name,
                expected=f"{least} to {most} for {scheme}",
                found=str(bits),
                remedy="Choose other bits or another scheme: lq has 1 to 4 bits, affine 2 to 8, pow2 2 to 4; "
                "activation_bits = 32 leaves activations float, with lq and affine.",
            )
    inputs = next((name for name in _INPUTS[scheme] if _has(name, activation_bits)), "float")
    return {
        "weights": f"{scheme}:{weight_bits}",
        "activations": "float" if inputs == "float" else f"{inputs}:{activation_bits}",
    }


def _has(scheme: str, bits: int) -> bool:
    least, most = REGISTRY[scheme].activations or (1, 0)
    return least <= bits <= most


def one_scheme(forms: Forms) -> str:
    """Return the scheme that earlier plans had for these weights and inputs together; empty where none."""
    weights, inputs = forms
    if weights.scheme not in _NAMES:
        return ""
    try:
        texts = _pair(weights.scheme, weights.bits, inputs.bits)
    except PlanError:
        return ""
    same = all(text == _bare(form) for text, form in zip(texts.values(), forms, strict=True))
    return weights.scheme if same else ""


def _bare(form: Specification) -> str:
    return str(replace(form, options=()))


def _as_before(text: str, before: Specification) -> str:
    """Return a text with the options that were said before, where its scheme is the same."""
    form = specification(text)
    return str(replace(form, options=before.options)) if form.scheme == before.scheme else text


def _text(side: str, old: Mapping[str, Any]) -> str:
    """Return the specification of one side alone that bits, and perhaps a scheme, mean."""
    bits = {name: old[OLD_BITS[side]] if name == OLD_BITS[side] else 2 for name in OLD_BITS.values()}
    return _pair(old.get("scheme") or usual_scheme(*bits.values()), **bits)[side]


def _agree(side: str, text: object, old: Mapping[str, Any]) -> None:
    """Refuse old words beside a new one that says something else.

    Raises:
        PlanError: names both.
    """
    form = specification(text, side)  # type: ignore[arg-type]
    schemes = {
        "weights": (form.scheme,),
        "activations": tuple(n for n in _INPUTS if form.scheme in _INPUTS[n]),
    }
    if old.get("scheme") and old["scheme"] not in (*schemes[side], *(["float"] if form.is_float else [])):
        raise _contradiction("scheme", old["scheme"], side, text)
    if old.get(OLD_BITS[side], form.bits) != form.bits:
        raise _contradiction(OLD_BITS[side], old[OLD_BITS[side]], side, text)


def _contradiction(old: str, value: object, new: str, text: object) -> PlanError:
    return PlanError(
        "two settings contradict each other",
        where=new,
        expected=f"{new} alone",
        found=f"{new} = {str(text)!r} and {old} = {value!r}",
    )
