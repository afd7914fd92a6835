"""Names of layers may be any text; those in Verilog are words, and no two are alike."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowbit.rtl.names import identifiers, plain_names, printable

ANY_NAMES = st.lists(st.text(st.sampled_from("aB1_ .:/\"'\\\n\t$é中*"), max_size=8), max_size=8)


@given(ANY_NAMES)
def test_any_text_becomes_words_of_which_none_begins_another(names: list[str]) -> None:
    words = identifiers(names, ["scores"])
    assert all(re.fullmatch(r"[A-Za-z]\w*", word, re.ASCII) for word in words)
    everything = [*words, "scores"]
    for at, word in enumerate(everything):
        assert not any(f"{other}_".startswith(f"{word}_") for other in everything[:at] + everything[at + 1 :])


def test_words_stay_as_they_are_and_keywords_do_not() -> None:
    assert identifiers(["fc1", "conv_a"]) == ("fc1", "conv_a")
    assert identifiers(["output", "a b", "a.b", "unit1_output", "1"], ["scores"]) == (
        "unit1_output",
        "unit2_a_b",
        "unit3_a_b",
        "unit4_unit1_output",
        "layer_1",
    )


@given(ANY_NAMES)
def test_no_two_names_become_one(names: list[str]) -> None:
    plain = plain_names(["engine.core", "engine_core", *names])
    assert len(set(plain.values())) == len(plain) and plain["engine_core"] == "engine_core"


@pytest.mark.parametrize("text", ["a\nb", "a\r`define x", "é\u2028"])
def test_a_comment_stays_in_its_line(text: str) -> None:
    assert len(printable(text).splitlines()) == 1 and printable(text).isascii()
