"""One plan: words of before mean what they meant, contradictions are named, layers are said in one way."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lowbit
from lowbit.errors import PlanError
from lowbit.ir.text import to_text
from lowbit.plan import BITS, Plan
from lowbit.plan.plan import CALIBRATION, TRAINING
from lowbit.plan.words import OLD_WORDS
from lowbit.quantization import quantize
from lowbit.recipes import read_recipe, recipe_names
from lowbit.schemes.specification import every, specification
from lowbit.zoo.architecture import Activation, Architecture, Convolution, Flatten, Linear
from lowbit.zoo.float_graph import float_graph

ROOT = Path(__file__).parents[2]
RECIPES = [
    *(ROOT / f"recipes/{name}.toml" for name in recipe_names(ROOT / "recipes")),
    *ROOT.glob("tests/golden/lowbit-0.1/recipes/*.toml"),
]
NAMES = ("conv1", "conv2", "fc1", "fc2")


def meant(scheme: str, weights: int, activations: int) -> tuple[str, str] | None:
    """Return what a scheme and bits of earlier plans mean, None where they mean nothing: an oracle."""
    if scheme == "float":
        return "float", "float"
    if not scheme:
        scheme = "affine" if max(b for b in (weights, activations, 0) if b != 32) > 4 else "lq"
    ranges = {"lq": (1, 4, 1, 4), "affine": (2, 8, 2, 8), "pow2": (2, 4, 1, 8)}[scheme]
    alone = activations == 32 and scheme != "pow2"
    if not (ranges[0] <= weights <= ranges[1] and (alone or ranges[2] <= activations <= ranges[3])):
        return None
    inputs = {"lq": "lq", "affine": "affine", "pow2": "lq" if activations <= 4 else "affine"}[scheme]
    return f"{scheme}:{weights}", "float" if alone else f"{inputs}:{activations}"


def test_it_is_one_class() -> None:
    assert lowbit.Plan is Plan is lowbit.quantization.Plan
    pytest.importorskip("torch")
    from lowbit import nn

    assert nn.Plan is Plan is nn.LayerPlan


@pytest.mark.parametrize("scheme", ["", "lq", "affine", "pow2", "float"])
def test_schemes_and_bits_mean_specifications(scheme: str) -> None:
    for weights, activations in product((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 32), repeat=2):
        old = {"scheme": scheme, "weight_bits": weights, "activation_bits": activations}
        wanted = meant(scheme, weights, activations)
        if wanted is None:
            with pytest.raises(PlanError, match="bits out of range"):
                Plan(**old)
            continue
        assert Plan(**old) == Plan(*wanted) == Plan(scheme, weights, activations), old
        if weights == activations:
            assert Plan(scheme=scheme, bits=weights) == Plan(*wanted)
        for base in (Plan(), Plan("affine:8", "lq:1")):
            table = Plan(layers={"fc": old})
            assert table.for_layer("fc").forms == Plan(*wanted).forms
            assert base.adjusted(**old).forms == Plan(*wanted).forms


def test_what_has_bits_enough_is_not_restored() -> None:
    """`auto` asks both sides; a layer's own bits decide for it, and a method that is said is done."""
    assert not any(Plan(*forms).restores for forms in (("affine:8", "affine:8"), ("affine:8", "float")))
    assert Plan("affine:8", "lq:2").restores and Plan("lq:4", "affine:8").restores
    assert Plan("affine:8", "affine:8", method="gptq").restores
    assert not Plan("lq:2", "lq:2", layers={"fc": {"bits": 8}}).for_layer("fc").restores
    assert "method=bias" in str(Plan("affine:8", "affine:8"))
    assert (
        Plan("affine:8", "affine:8", layers={"last": {"bits": 32, "scheme": "float"}})
        .for_layer("last")
        .restores
    )


@pytest.mark.parametrize(("old", "new"), [("restore", "gptq"), ("plain", "rtn")])
def test_methods_have_two_names(old: str, new: str) -> None:
    assert Plan(method=old) == Plan(method=new) and Plan(method=old).restores == (new == "gptq")
    assert Plan.from_toml(f'method = "{old}"\n[layers.fc]\nmethod = "{new}"').for_layer("fc").method == new


def test_what_is_not_said() -> None:
    assert [str(form) for form in Plan().forms] == ["lq:3", "lq:3"]
    assert Plan().settled("float").is_float
    assert [str(form) for form in Plan(weights="lq:2").forms] == ["lq:2", "float"]
    assert [str(form) for form in Plan(weight_bits=2).forms] == ["lq:2", "lq:3"]
    assert [str(form) for form in Plan(activation_bits=8).forms] == ["affine:3", "affine:8"]
    assert [str(form) for form in Plan(weights="binary", activation_bits=8).forms] == ["binary", "affine:8"]


def test_every_pair_is_said_and_read_again() -> None:
    weights, activations = list(every("weights")), list(every("activations"))
    for index, form in enumerate(weights):
        other = activations[(7 * index) % len(activations)]
        plan = Plan(form, other)
        assert plan.forms == (form, other) and plan == Plan(str(form), str(other))
        toml = f'weights = "{form}"\nactivations = "{other}"'
        assert Plan.from_toml(toml) == plan == Plan.of({"weights": str(form), "activations": str(other)})
        assert str(plan).startswith(f"weights={form} activations={other} ")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"weights": "lq:2", "weight_bits": 3}, "weight_bits"),
        ({"weights": "lq:2", "bits": 3}, "weight_bits"),
        ({"weights": "lq:2", "scheme": "affine"}, "scheme"),
        ({"weights": "lq:2", "scheme": "fixed:6.7", "activations": "fixed:6.7"}, "fixed"),
        ({"weights": "lq:2", "weight": "lq:3"}, "weight"),
        ({"activations": "lq:2", "activation": "float"}, "activation"),
        ({"weights": "affine:8", "activations": "affine:8", "activation_bits": 32}, "activation_bits"),
        ({"weights": "lq:2:offset", "weight_offset": False}, "weight_offset"),
        ({"weights": "lq:2", "activations": "lq:2:offset", "activation_offset": False}, "activation_offset"),
    ],
)
def test_words_that_contradict_each_other_are_refused_by_name(settings: dict[str, Any], named: str) -> None:
    for make in (lambda: Plan(**settings), lambda: Plan(layers={"fc": settings})):
        with pytest.raises(PlanError) as caught:
            make()
        assert named in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"weights": "lq:2", "weight_bits": 2, "scheme": "lq"}, ("lq:2", "float")),
        ({"weights": "affine:8", "bits": 8}, ("affine:8", "affine:8")),
        ({"weights": "pow2:3", "scheme": "pow2", "activation_bits": 8}, ("pow2:3", "affine:8")),
        ({"weight": "ternary", "weights": "ternary"}, ("pow2:2", "float")),
    ],
)
def test_words_that_agree_are_one_plan(settings: dict[str, Any], wanted: tuple[str, str]) -> None:
    assert tuple(map(str, Plan(**settings).forms)) == wanted


def test_given_settings_win_over_a_file() -> None:
    both = 'bits = 2\n[layers.last]\nweights = "affine:8"'
    assert list(map(str, Plan.from_toml(both, weights="affine:4").forms)) == ["affine:4", "lq:2"]
    assert list(map(str, Plan.from_toml(both, weight_bits=8).forms)) == ["affine:8", "affine:2"]
    mixed = Plan.from_toml('weights = "pow2:3"\nactivations = "fixed:4.4"', weight_bits=2)
    assert list(map(str, mixed.forms)) == ["lq:2", "fixed:4.4"]


def test_patterns_ends_and_names() -> None:
    tables = {
        "fc2": {"weights": "lq:4"},
        "last": {"weights": "affine:8", "activations": "affine:8"},
        "conv*": {"activations": "affine:5"},
        "first": {"method": "rtn"},
        "*2": {"percentile": 99.0},
    }
    found = Plan("lq:2", "lq:2", layers=tables).by_layer(NAMES)
    assert {name: " ".join(map(str, plan.forms)) for name, plan in found.items()} == {
        "conv1": "lq:2 affine:5",
        "conv2": "lq:2 affine:5",
        "fc1": "lq:2 lq:2",
        "fc2": "lq:4 affine:8",
    }
    assert [plan.method for plan in found.values()] == ["rtn", "auto", "auto", "auto"]
    assert [plan.percentile for plan in found.values()] == [100, 99, 100, 99]
    whole = Plan(
        "lq:2", "lq:2", layers={"fc*": Plan("binary"), "fc2": {"activations": "pixels"}, "*1": Plan()}
    )
    texts = [" ".join(map(str, plan.forms)) for plan in whole.by_layer(NAMES).values()]
    assert texts == ["float float", "lq:2 lq:2", "float float", "binary pixels"]
    assert whole.resolved(NAMES).by_layer(NAMES) == whole.by_layer(NAMES)


@pytest.mark.parametrize("pattern", ["fc9", "con?", "conv3*"])
def test_a_pattern_of_no_layer_is_named(pattern: str) -> None:
    with pytest.raises(PlanError, match=r"layers\..*(fc2|conv1).*first or last"):
        Plan(layers={pattern: {"weights": "lq:2"}}).resolved(NAMES)


def test_layers_say_nothing_of_the_network() -> None:
    for settings in ({"samples": 3}, Plan(samples=3), Plan(layers={"fc1": {}})):
        with pytest.raises(PlanError, match=r"layers\.fc1: this is said once"):
            Plan(layers={"fc1": settings})


def test_settings_that_nobody_reads_are_named() -> None:
    values = {
        "weight_gradient": "clip",
        "activation_gradient": "clip",
        "scale": "one",
        "before_sign": "prelu",
    }
    assert tuple(values) == TRAINING
    plan = Plan("lq:2", "lq:2", **values, layers={"fc1": {"method": "rtn"}})
    with pytest.raises(PlanError, match="found weight_gradient, activation_gradient, scale, before_sign"):
        quantize(network(), np.zeros((3, 2, 5, 5), np.float32), plan)
    with pytest.raises(PlanError, match=r"found layers\.fc1\.method"):
        plan.require_unsaid(CALIBRATION, "calibration")


VALUES: tuple[Any, ...] = (
    *(None, True, 0, 3, -1, 32, 10**30, 1.5, float("nan"), "", "lq", "lq:2", "fixed:6.7", "plain", "x"),
    *([], [1], ["lq:2"], {}, {"a": 1}, {"weights": "lq:2"}, {"bits": 2}, b"x", (1, 2)),
)


def test_settings_of_any_kind_are_read_or_refused() -> None:
    random = np.random.default_rng(0)
    names = [
        "weights",
        "activations",
        *OLD_WORDS,
        "weight",
        *CALIBRATION,
        *TRAINING,
        "layers",
        "no",
        "*",
        "fc1",
    ]

    def table() -> dict[str, Any]:
        chosen = random.choice(names, int(random.integers(4)), replace=False)
        return {str(name): VALUES[random.integers(len(VALUES))] for name in chosen}

    ways: tuple[Callable[[dict[str, Any]], Plan], ...] = (
        lambda one: Plan(**one),
        lambda one: Plan.of(one),
        lambda one: Plan.of({"*": one}),
        lambda one: Plan.of({"*": VALUES[random.integers(len(VALUES))]}),
        lambda one: Plan(layers={"fc1": one}),
        lambda one: Plan().adjusted(**one),
    )
    read = 0
    for _ in range(300):
        one = table()
        for way in ways:
            with suppress(PlanError):
                str(way(one))
                read += 1
    assert 50 < read < 1200


def tables_of(path: Path) -> Mapping[str, Mapping[str, str]]:
    found: Mapping[str, Mapping[str, str]] = read_recipe(path).get("plan", {})
    return found


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.parent.name}/{path.stem}")
def test_recipes_mean_what_they_meant(path: Path) -> None:
    tables = tables_of(path)
    found = Plan.of(tables).settled("float").by_layer(NAMES)
    for place, name in enumerate(NAMES):
        wanted: Mapping[str, str] = {}
        for pattern, table in tables.items():
            end = {"first": 0, "last": len(NAMES) - 1}.get(pattern)
            if place == end or (end is None and fnmatchcase(name, pattern)):
                wanted = table
        texts = wanted.get("weight", "float"), wanted.get("activation", "float")
        assert found[name].forms == tuple(map(specification, texts))
        for rule in TRAINING:
            assert getattr(found[name], rule) == wanted.get(rule, getattr(Plan(), rule))


def test_a_recipe_may_say_a_plan() -> None:
    settings = {"weights": "lq:2", "activations": "lq:2:offset", "layers": {"first": {"weights": "affine:8"}}}
    found = Plan.of(settings).settled("float").by_layer(NAMES)
    assert [" ".join(map(str, plan.forms)) for plan in found.values()] == [
        "affine:8 lq:2:offset",
        *["lq:2 lq:2:offset"] * 3,
    ]
    with pytest.raises(PlanError, match="table of tables"):
        Plan.of({**settings, "fc1": {"weights": "lq:2"}})


def network() -> Any:
    layers = (Convolution(3, 3), Activation(), Flatten(), Linear(6), Activation(), Linear(4))
    return float_graph(Architecture("small", (2, 5, 5), layers, ""), seed=0)


@pytest.mark.parametrize("old", [{"bits": 2}, {"scheme": "affine", "bits": 8}, {"scheme": "pow2", "bits": 3}])
@pytest.mark.parametrize("method", ["restore", "plain"])
def test_old_and_new_words_give_the_same_network(old: dict[str, Any], method: str) -> None:
    samples = np.random.default_rng(0).random((40, 2, 5, 5)).astype(np.float32)
    plan = Plan(**old, method=method, restarts=1, layers={"last": {"bits": 4, "scheme": "affine"}})
    weights, activations = map(str, plan.forms)
    table = {"weights": "affine:4", "activations": "affine:4"}
    renamed = {"restore": "gptq", "plain": "rtn"}[method]
    other = Plan(weights, activations, method=renamed, restarts=1, layers={"last": table})
    assert to_text(quantize(network(), samples, plan)[0]) == to_text(quantize(network(), samples, other)[0])


def test_fixed_point_throughout_needs_no_samples() -> None:
    low, report = lowbit.quantize(mlp(), plan=Plan("fixed:6.7", "fixed:6.7"))
    assert low.value(low.nodes[0].outputs[0]).encoding == specification("fixed:6.7").fixed_point
    assert report.samples == 0
    with pytest.raises(lowbit.errors.DataError, match="needs samples"):
        lowbit.quantize(mlp(), plan=Plan("fixed:6.7", "fixed:6.2"))


def mlp() -> Any:
    return float_graph(Architecture("small", (6,), (Linear(5), Activation(), Linear(4)), ""), seed=0)


def test_bits_of_the_registry_are_those_of_earlier_plans() -> None:
    assert BITS == {
        "lq": {"weight_bits": (1, 4), "activation_bits": (1, 4)},
        "affine": {"weight_bits": (2, 8), "activation_bits": (2, 8)},
        "pow2": {"weight_bits": (2, 4), "activation_bits": (1, 8)},
    }


@pytest.mark.parametrize("side", ["weights", "activations"])
@pytest.mark.parametrize("table", ["", "[layers.fc]\n", '[layers."fc*"]\n'])
def test_a_table_that_names_a_specification_says_one(side: str, table: str) -> None:
    with pytest.raises(PlanError, match=f"{side}: nothing is said"):
        Plan.from_toml(f'{table}{side} = ""')
