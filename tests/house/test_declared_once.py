"""A thing is declared once: no list of operators or schemes, and no test of an encoding's kind, elsewhere.

`tests.house.declared_once` counts; here the counter itself is tried first, on examples of every form.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lowbit.ir import Trait, operators_with
from tests.house.declared_once import SOURCE, Place, described, kind_tests, operator_lists, scheme_lists

LISTS = {
    "tuple": 'MOVES = ("Flatten", "Reshape")',
    "list": 'x = ["Flatten", "Reshape"]',
    "set": 'x = {"Flatten", "Reshape"}',
    "frozenset": 'x = frozenset({"Flatten", "Reshape"})',
    "frozenset of words": 'x = frozenset("Flatten Reshape".split())',
    "one of many": 'x = ["a", "b", "c", "Flatten", "d", "Reshape"]',
    "pairs": 'x = [("", "Flatten"), ("lowbit", "Encode")]',
    "domain and name": 'x = ["lowbit.Encode", "lowbit.Decode"]',
    "keys": 'x = {"Flatten": 1, "Reshape": 2}',
    "values": 'x = {"a": "Flatten", "b": "Reshape"}',
    "keywords": "x = dict(Flatten=1, Reshape=2)",
    "fromkeys": 'x = dict.fromkeys(("Flatten", "Reshape"))',
    "words": 'x = "Flatten Reshape".split()',
    "words between commas": 'x = "Flatten, Reshape".split(", ")',
    "pattern": 'x = re.compile("Flatten|Reshape")',
    "sum": 'x = ("Flatten",) + ("Reshape",)',
    "union": 'x = {"Flatten"} | {"Reshape"}',
    "arguments": 'x = set().union("Flatten", "Reshape")',
    "chain": 'x = chain(["Flatten"], ["Reshape"])',
    "starred": 'x = (*("Flatten",), *("Reshape",))',
    "class": 'class Moves:\n    FIRST = "Flatten"\n    SECOND = "Reshape"',
    "in": 'x = node.op in ("Flatten", "Reshape")',
    "or": 'x = node.op == "Flatten" or node.op == "Reshape"',
    "or with more": 'x = node.op == "Flatten" or (node.op == "Reshape" and node.inputs)',
    "and": 'x = node.op != "Flatten" and node.op != "Reshape"',
    "any": 'x = any(node.op == name for name in ("Flatten", "Reshape"))',
    "match": 'match node.op:\n    case "Flatten" | "Reshape":\n        pass',
    "cases": 'match node.op:\n    case "Flatten":\n        a()\n    case "Reshape":\n        b()',
    "cases of pairs": 'match n:\n  case ("", "Flatten"):\n    a()\n  case ("", "Reshape"):\n    b()',
    "if": 'if node.op == "Flatten":\n    a()\nelif node.op == "Reshape":\n    b()',
    "expression": 'x = a if node.op == "Flatten" else b if node.op == "Reshape" else c',
    "beginning": 'x = node.op.startswith("Global")',
    "end": 'x = proto.op_type.endswith("Pool")',
    "two beginnings": 'x = name.startswith(("Flatten", "Reshape"))',
}

FREE = {
    "one name": 'x = node.op == "Flatten"',
    "two things": 'x = node.op == "Flatten" and reader.op == "Reshape"',
    "two ifs apart": 'if node.op == "Flatten":\n    a()\nif other.op == "Reshape":\n    b()',
    "docstring": '"""Flatten Reshape"""',
    "sentence": 'x = "Flatten and Reshape move elements"',
    "words of others": 'x = ("relu", "tanh")',
}

TABLES = {
    "functions": 'T = {"Flatten": _move, "Transpose": _turn}',
    "typed": 'T: dict[str, Lower] = {("", "Flatten"): _move, ("", "Transpose"): _turn}',
    "made": 'T = {"Relu": _unary("RELU"), "Tanh": _unary("TANH")}',
    "codes": 'T = {"Add": "add", "Mul": "multiply"}',
    "numbers": 'T = {"Relu": 1, "Tanh": 4}',
    "bodies": 'T = {"Relu": """\n  y = Max(x, 0)\n""", "Tanh": """\n  y = Tanh(x)\n"""}',
    "with settings": 'T = {"Relu": ("clip", {"low": 0}), "Tanh": ("activate", {})}',
    "with limits": 'T = {"Relu": (1, 2, _unary), "Add": (2, 2, _sum)}',
    "for several": 'T = {**dict.fromkeys(("Relu", "Tanh"), _unary), "Add": _sum}',
    "of a file's words": 'T = {"RELU": "Relu", "TANH": "Tanh"}',
}

NO_TABLES = {
    "a set": 'T = {"Flatten": True, "Reshape": True}',
    "nothing": 'T = {"Flatten": None, "Reshape": None}',
    "all the same": 'T = {"Flatten": _move, "Reshape": _move}',
    "all the same, from keys": 'T = dict.fromkeys(("Flatten", "Reshape"), _move)',
    "texts": 'T = {"Flatten": "Leave it out.", "Reshape": "Use another."}',
    "names of texts": 'A = "Leave it out."\nB = "Use another."\nT = {"Flatten": A, "Reshape": B}',
    "operators to operators": 'T = {"AveragePool": "GlobalAveragePool", "MaxPool": "GlobalMaxPool"}',
    "limits": 'T = {"Flatten": (1, 8), "Reshape": (2, 4)}',
    "to schemes": 'T = {"Gemm": "lq", "Conv": "affine"}',
    "inside a function": 'def f(op):\n    return {"Flatten": _move, "Transpose": _turn}[op]',
}

KINDS = {
    "isinstance": ("x = isinstance(e, Affine)", 1),
    "of a module": ("x = isinstance(e, schemes.Affine)", 1),
    "of two": ("x = isinstance(e, Affine | LearnedBasis)", 2),
    "of a tuple": ("x = isinstance(e, (Affine, LearnedBasis))", 2),
    "assertion": ("assert isinstance(e, Affine)", 1),
    "issubclass": ("x = issubclass(kind, Affine)", 1),
    "type": ("x = type(e) is Affine", 1),
    "types": ("x = type(e) in (Affine, PowerOfTwo)", 2),
    "class": ("x = e.__class__ == Affine", 1),
    "scheme": ('x = e.scheme == "lq"', 1),
    "not scheme": ('x = "lq" != e.scheme', 1),
    "schemes": ('x = e.scheme in ("lq", "affine")', 2),
    "words": ('x = e.scheme in "lq affine".split()', 2),
    "field": ('x = fields["scheme"] == "lq"', 1),
    "match of classes": (
        "match e:\n    case Affine():\n        pass\n    case LearnedBasis(basis=b):\n        pass",
        2,
    ),
    "match of schemes": ('match e.scheme:\n    case "lq" | "affine":\n        pass', 2),
    "hasattr": ('x = hasattr(e, "zero_point")', 1),
    "getattr": ('x = getattr(e, "multipliers", None)', 1),
    "table of classes": ("x = {Affine: f, LearnedBasis: g}[type(e)]", 2),
    "table of other classes": ("x = {EncodeBytes: f, Rank: g}[type(step)]", 0),
    "table of schemes": ('x = {"lq": f, "affine": g}[e.scheme]', 2),
    "dispatch": ("@f.register(Affine)\ndef _(e): ...", 1),
    "annotated dispatch": ("@f.register\ndef _(e: Affine): ...", 1),
    "other classes": ("x = isinstance(e, Encoding) or isinstance(e, int)", 0),
    "equal schemes": ("x = e.scheme == other.scheme", 0),
    "name in files": ('x = e.file_stem == "Affine"', 1),
    "no scheme": ('x = scheme == "float"', 0),
    "annotation": ("def f(e: Affine) -> Affine: ...", 0),
    "construction": ("x = Affine(8, scale, zero)", 0),
    "all have it": ('x = getattr(e, "bits", 0)', 0),
}


def planted(folder: Path, text: str, file: str = "quantization/planted.py") -> Path:
    path = folder / file
    path.parent.mkdir(parents=True)
    path.write_text(text + "\n")
    return folder


@pytest.mark.parametrize("form", LISTS)
def test_a_list_of_operators_in_any_form_is_counted_once(tmp_path: Path, form: str) -> None:
    assert len(operator_lists(planted(tmp_path, LISTS[form]))) == 1


@pytest.mark.parametrize("form", FREE)
def test_what_is_no_list_is_not_counted(tmp_path: Path, form: str) -> None:
    assert operator_lists(planted(tmp_path, FREE[form])) == []


@pytest.mark.parametrize("form", TABLES)
def test_a_lowering_table_is_free_where_it_belongs(tmp_path: Path, form: str) -> None:
    here, there = (
        planted(tmp_path / "a", TABLES[form], "formats/new/writer.py"),
        planted(tmp_path / "b", TABLES[form]),
    )
    assert operator_lists(here) == [] and len(operator_lists(there)) == 1


@pytest.mark.parametrize("form", NO_TABLES)
def test_a_list_that_looks_like_a_table_is_counted(tmp_path: Path, form: str) -> None:
    assert operator_lists(planted(tmp_path, NO_TABLES[form], "formats/new/writer.py"))


def test_operators_may_be_listed_where_they_are_declared(tmp_path: Path) -> None:
    assert operator_lists(planted(tmp_path, LISTS["tuple"], "ir/operators/new.py")) == []


@pytest.mark.parametrize("form", KINDS)
def test_a_test_of_the_kind_in_any_form_is_counted(tmp_path: Path, form: str) -> None:
    text, count = KINDS[form]
    assert len(kind_tests(planted(tmp_path, text))) == count


def test_a_scheme_may_ask_for_its_own_kind(tmp_path: Path) -> None:
    assert kind_tests(planted(tmp_path, KINDS["isinstance"][0], "schemes/new/fit.py")) == []


@pytest.mark.parametrize("form", LISTS)
def test_a_list_of_schemes_in_any_form_is_counted(tmp_path: Path, form: str) -> None:
    text = LISTS[form].replace("Flatten", "lq").replace("Reshape", "affine")
    if "lq" in text and "affine" in text:
        assert len(scheme_lists(planted(tmp_path, text))) == 1


@pytest.mark.parametrize(
    ("count", "most", "instead"),
    [
        (
            operator_lists,
            0,
            "ask a trait of lowbit.ir.Trait, or map names to what does them in a lowering table",
        ),
        (kind_tests, 0, "ask the encoding what it is stored as, what its levels are, whether it rounds"),
        (scheme_lists, 0, "ask the registry of schemes"),
    ],
)
def test_things_are_declared_once(count: Callable[[], list[Place]], most: int, instead: str) -> None:
    places = count()
    assert len(places) <= most, f"{len(places)} places; {instead}:\n{described(places)}"


@pytest.mark.parametrize("trait", [*Trait.__members__.values()], ids=lambda trait: str(trait.name))
def test_a_trait_is_asked_by_two_modules_or_more(trait: Trait) -> None:
    """What one module alone would ask for stands there."""
    questions = (f"Trait.{trait.name}", *(["is_monotone(graph"] if trait is Trait.MONOTONE else []))
    modules = [path for path in SOURCE.rglob("*.py") if path.parent != SOURCE / "ir" / "operators"]
    texts = (path.read_text() for path in modules)
    asked = sum(any(re.search(rf"\b{re.escape(each)}\b", text) for each in questions) for text in texts)
    assert asked >= 2 or trait is Trait.NONE


def test_there_are_two_layers_of_codes() -> None:
    low_bit = [name for domain, name in operators_with(Trait.LAYER) if domain == "lowbit"]
    assert sorted(low_bit) == ["Convolution", "Linear"]
