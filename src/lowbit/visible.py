"""Text of strangers, made harmless to look at."""


def visible(text: object) -> str:
    r"""Return text in which every character is seen: what does not print, a line's end too, is escaped.

    That is what Python's own `repr` escapes: controls, marks of direction, separators other than the space,
    surrogates; written as there (``\x1b``, ``\u202e``).
    """
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in plain
    )


def visible_lines(text: str) -> str:
    """Return text of which every line is `visible`, and lines stay."""
    return "\n".join(map(visible, text.split("\n")))
