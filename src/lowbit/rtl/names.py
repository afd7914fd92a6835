"""From the names of layers, which may be any text, to words that every tool takes."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

_LONGEST = 48

_KEYWORDS = """
accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin
bind bins binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos
config const constraint context continue cover covergroup coverpoint cross deassign default defparam design
disable dist do edge else end endcase endchecker endclass endclocking endconfig endfunction endgenerate
endgroup endinterface endmodule endpackage endprimitive endprogram endproperty endsequence endspecify
endtable endtask enum event eventually expect export extends extern final first_match for force foreach
forever fork forkjoin function generate genvar global highz0 highz1 if iff ifnone ignore_bins illegal_bins
implements implies import incdir include initial inout input inside instance int integer interconnect
interface intersect join join_any join_none large let liblist library local localparam logic longint
macromodule matches medium modport module nand negedge nettype new nexttime nmos nor noshowcancelled not
notif0 notif1 null or output package packed parameter pmos posedge primitive priority program property
protected pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase
randsequence rcmos real realtime ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0
rtranif1 s_always s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal
showcancelled signed small soft solve specify specparam static string strong strong0 strong1 struct super
supply0 supply1 sync_accept_on sync_reject_on table tagged task this throughout time timeprecision timeunit
tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type typedef union unique unique0 unsigned until
until_with untyped use uwire var vectored virtual void wait wait_order wand weak weak0 weak1 while wildcard
wire with within wor xnor xor
"""
"""Of SystemVerilog (IEEE 1800-2017, annex B)."""

_RESERVED = frozenset(_KEYWORDS.split())


def identifiers(names: Sequence[str], taken: Iterable[str] = ()) -> tuple[str, ...]:
    """Return a word for each name, no two alike: the name itself where it is a word already.

    A word has letters, digits and underscores, begins with a letter and is no keyword; none is how another
    one begins, up to an underscore, so that names made of them differ as well.

    Args:
        names: any text.
        taken: words that are in use; words do not begin with them, either.
    """
    words = [_word(name) for name in names]
    occupied, found = list(taken), []
    for number, word in enumerate(words):
        others = [*occupied, *words[:number], *words[number + 1 :]]
        clear = word not in _RESERVED and not any(_meet(word, other) for other in others)
        clear = clear and not re.match(r"unit\d", word)
        found.append(word if clear else f"unit{number + 1}_{word}")
    return tuple(found)


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Return a word for each name of a tool's; what are words already stay as they are."""
    every = sorted(set(names))
    plain = {name: name for name in every if not re.search(r"\W", name, re.ASCII)}
    used = set(plain)
    for name in every:
        if name not in plain:
            candidates = _numbered(re.sub(r"\W+", "_", name, flags=re.ASCII))
            plain[name] = next(word for word in candidates if word not in used)
            used.add(plain[name])
    return plain


def printable(text: str) -> str:
    """Return text in one line of plain letters, the rest as escapes."""
    return "".join(c if " " <= c <= "~" else c.encode("unicode_escape").decode() for c in text)


def _word(name: str) -> str:
    """Return a name as a word, which others may have as well."""
    word = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")[:_LONGEST].strip("_")
    return word if word[:1].isalpha() else f"layer_{word}".rstrip("_")


def _meet(word: str, other: str) -> bool:
    return f"{word}_".startswith(f"{other}_") or f"{other}_".startswith(f"{word}_")


def _numbered(word: str) -> Iterator[str]:
    yield word
    yield from (f"{word}_{number}" for number in count(2))
