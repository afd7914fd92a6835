"""The grammar: every specification is read as written; what is none is told where, and what is near."""

import string

import numpy as np
import pytest

from lowbit.errors import PlanError
from lowbit.schemes.registry import REGISTRY
from lowbit.schemes.specification import FLOAT, Specification, every, forms, specification

USES = ("weights", "activations")


@pytest.mark.parametrize("use", USES)
def test_every_specification_is_read_as_it_is_written(use) -> None:
    found = list(every(use))
    assert {form.scheme for form in found} == {row.name for row in REGISTRY.values() if getattr(row, use)}
    assert len(set(found)) == len(found) == len({str(form) for form in found})
    for form in found:
        assert specification(str(form)) == specification(str(form), use) == specification(form, use) == form


@pytest.mark.parametrize(
    ("text", "scheme", "bits", "fraction", "options"),
    [
        ("float", "float", 32, 0, {}),
        ("binary", "binary", 1, 0, {}),
        ("ternary", "pow2", 2, 0, {}),
        ("pixels", "pixels", 8, 0, {}),
        ("lq:2", "lq", 2, 0, {}),
        ("lq:2:offset", "lq", 2, 0, {"offset": 1}),
        ("affine:4:group=128", "affine", 4, 0, {"group": 128}),
        ("fixed:6.7", "fixed", 13, 7, {}),
        ("fixed:6.7:floor", "fixed", 13, 7, {"floor": 1}),
        ("fixed:16.0", "fixed", 16, 0, {}),
    ],
)
def test_what_a_text_means(text, scheme, bits, fraction, options) -> None:
    found = specification(text)
    assert (found.scheme, found.bits, found.fraction, dict(found.options)) == (
        scheme,
        bits,
        fraction,
        options,
    )
    assert all(found.option(name) == value for name, value in options.items()) and not found.option("none")
    assert str(found) == REGISTRY[scheme].aliases.get(text, text)


def test_properties() -> None:
    assert specification("float") == FLOAT and FLOAT.is_float and not specification("lq:1").is_float
    assert specification("lq:1:offset").offset and not specification("lq:1").offset
    assert [form for form in every("weights") if form.is_int8] == [specification("affine:8")]
    assert [str(form) for form in every("activations") if form.is_int8] == ["affine:8", "pixels"]
    found = specification("fixed:4.5:floor").fixed_point
    assert (found.integer_bits, found.fraction_bits, found.rounding) == (4, 5, "floor")


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("lp:2", 1, "lq:K"),
        ("LQ:2", 1, "lq:K"),
        ("lq2", 1, "lq:K"),
        ("fixed6.7", 1, "fixed:M.N"),
        ("afine:8", 1, "affine:K"),
        ("", 1, "lq:K"),
        (" lq:2", 1, "lq:K"),
        ("lq", 3, "lq:1 to lq:4"),
        ("lq:", 4, "lq:1 to lq:4"),
        ("lq:5", 4, "lq:1 to lq:4"),
        ("lq:0", 4, "lq:1 to lq:4"),
        ("lq:-1", 4, "lq:1 to lq:4"),
        ("lq:٢", 4, "lq:1 to lq:4"),
        ("lq:2.0", 4, "lq:1 to lq:4"),
        ("affine:9", 8, "affine:2 to affine:8"),
        ("pow2:5", 6, "pow2:2 to pow2:4"),
        ("lq:2:ofset", 6, "offset"),
        ("lq:2:offset:offset", 13, "once"),
        ("lq:2:", 6, "offset"),
        ("pow2:3:offset", 8, "pow2"),
        ("affine:4:group", 10, "group="),
        ("affine:4:group=0", 10, "group=128"),
        ("affine:4:group=x", 10, "group=128"),
        ("fixed:6", 7, "fixed:M.N"),
        ("fixed:0.4", 7, "M at least 1"),
        ("fixed:9.8", 7, "2 to 16"),
        ("fixed:1.0", 7, "2 to 16"),
        ("fixed:6.7:flor", 11, "floor"),
        ("binary:1", 8, "binary"),
        ("ternary:3", 9, "ternary"),
    ],
)
def test_what_is_none_is_told_where_and_what_is_near(text, place, expected) -> None:
    with pytest.raises(PlanError) as caught:
        specification(text)
    assert caught.value.found.endswith(f"at character {place} of {text!r}")
    assert expected in caught.value.expected


@pytest.mark.parametrize("text", [None, 3, 2.5, ["lq:2"], b"lq:2"])
def test_what_is_no_text(text) -> None:
    with pytest.raises(PlanError, match="no text"):
        specification(text)


@pytest.mark.parametrize(
    ("text", "use"), [("pixels", "weights"), ("pow2:3", "activations"), ("ternary", USES[1])]
)
def test_what_a_use_cannot_have(text, use) -> None:
    with pytest.raises(PlanError, match=f"{use} cannot have this scheme") as caught:
        specification(text, use)
    assert text.partition(":")[0] not in caught.value.expected
    with pytest.raises(PlanError, match="cannot have"):
        specification(specification(text), use)


def test_one_letter_more_less_or_other_is_another_specification_or_none() -> None:
    generator, letters = np.random.default_rng(0), string.ascii_lowercase + string.digits + ":.=- "
    texts = [str(form) for use in USES for form in every(use)]
    for text in generator.choice(texts, 200, replace=False).tolist():
        place = int(generator.integers(len(text) + 1))
        for changed in (
            text[:place] + letters[generator.integers(len(letters))] + text[place:],
            text[:place] + text[place + 1 :],
            text[:place] + letters[generator.integers(len(letters))] + text[place + 1 :],
        ):
            try:
                found = specification(changed)
            except PlanError as error:
                assert "at character" in error.found and error.expected
            else:
                assert isinstance(found, Specification) and specification(str(found)) == found


def test_forms_are_those_of_the_registry() -> None:
    assert "lq:K[:offset]" in forms() and "affine:K[:group=N]" in forms() and "ternary" in forms("weights")
    assert "pixels" not in forms("weights") and "pow2:K" not in forms("activations")
