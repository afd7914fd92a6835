"""The page: what of a network it needs, and its file."""

import base64
import gzip
import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from lowbit.data import NetworkInput, remembered_class_names, remembered_normalize
from lowbit.data.photograph import picture_shape
from lowbit.errors import DataError, ModelFormatError, UnsupportedError
from lowbit.ir import Graph
from lowbit.page import Markup, document, element, name
from lowbit.program.file import content_of
from lowbit.scores import class_count
from lowbit.untrusted import require_writable, write_atomic

MOST_BYTES = 64 << 20
"""Of the programs of a page: what browsers on telephones still open."""

_ENGINE = Path(__file__).with_name("engine.wasm.gz")


def write_page(
    path: str | os.PathLike[str], graph: Graph, *, against: Graph | None = None, classes: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Write a page on which a network runs: of digits drawn there, of pictures, or of numbers.

    Args:
        path: the ``.html`` to write, whole or not at all.
        graph: the network, which tells classes apart.
        against: the float network, to set beside it.
        classes: their names; those that the file remembers, or numbers, when not given.

    Returns:
        ``bytes`` of the page and ``input``: ``picture`` or ``numbers``.

    Raises:
        DataError: networks, names or the input do not match.
        UnsupportedError: it takes several inputs, or other than real numbers, or is too large.
        EngineError: what the engine does not run, all of it.
    """
    require_writable(path)
    facts = _facts(graph, against, classes)
    style = Path(__file__).with_name("page.css").read_text()
    text = document(f"{graph.name}: lowbit", *_body(graph, facts), style=style, script=_script(facts))
    content = text.encode()
    write_atomic(path, content)
    return {"bytes": len(content), "input": "numbers" if facts["input"]["picture"] is None else "picture"}


def engine_module() -> bytes:
    """Return the engine as a WebAssembly module.

    Raises:
        ModelFormatError: it is not the one that was made.
    """
    return gzip.decompress(_packed_engine())


def _facts(graph: Graph, against: Graph | None, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return what the page's script reads."""
    count = class_count(graph)
    names = classes or remembered_class_names(graph) or tuple(map(str, range(count)))
    if len(names) != count:
        raise DataError(
            "names do not match the network's classes", expected=f"{count} names", found=str(len(names))
        )
    given = _input(graph)
    networks = [_network(graph, "low-bit")]
    if against is not None:
        if class_count(against) != count or _input(against)["features"] != given["features"]:
            raise DataError(
                "the float network is another one's",
                where=against.name,
                expected=f"{given['features']} numbers in, {count} classes out",
                found=f"{_input(against)['features']} numbers in, {class_count(against)} classes out",
                remedy="Give the network that this one was made of.",
            )
        networks.append(_network(against, "float"))
    return {"input": given, "classes": names, "networks": networks, "values": _values(graph)}


def _input(graph: Graph) -> dict[str, Any]:
    """Return what a network takes, and how pictures become that."""
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise UnsupportedError(
            "the page gives a network one input, and shows one output",
            where=graph.name,
            expected="one input and one output",
            found=f"inputs {', '.join(graph.inputs)}; outputs {', '.join(graph.outputs)}",
            remedy="Run it with lowbit run.",
        )
    value = graph.value(graph.inputs[0])
    network = NetworkInput.of(graph)
    if value.dtype != "float32" or network.integers is not None or not network.shape:
        raise UnsupportedError(
            "the page gives networks real numbers alone",
            where=f"{graph.name}/{value.name}",
            expected="an input of float32",
            found=str(network.integers or value.dtype),
            remedy="Run it with lowbit run.",
        )
    lengths = [length for length in network.shape if isinstance(length, int)]
    if len(lengths) != len(network.shape):
        raise UnsupportedError(
            "lengths of the network's input are open",
            where=f"{graph.name}/{value.name}",
            expected="lengths that are numbers",
            found=str(network.shape),
            remedy="Say them: --input-shape.",
        )
    features = 1
    for length in lengths:
        features *= length
    picture = picture_shape(network.shape)
    normalize = remembered_normalize(graph)
    means, deviations = (_by_channel(each) for each in normalize or (0.0, 1.0))
    last = picture is not None and len(lengths) == 3 and tuple(lengths) != picture
    return {
        "features": features,
        "shape": lengths,
        "picture": picture,
        "channels_last": last,
        "means": means,
        "deviations": deviations,
    }


def _by_channel(numbers: float | tuple[float, ...]) -> list[float]:
    return list(numbers) if isinstance(numbers, tuple) else [numbers]


def _network(graph: Graph, called: str) -> dict[str, Any]:
    """Return a network as the page carries it."""
    content = content_of(graph)
    if len(content) > MOST_BYTES:
        raise UnsupportedError(
            "the network is too large for a page",
            where=graph.name,
            expected=f"at most {MOST_BYTES >> 20} MiB of program",
            found=f"{len(content) / (1 << 20):.1f} MiB",
            remedy="Give it fewer bits, or run it with lowbit run.",
        )
    return {
        "name": graph.name,
        "called": called,
        "bytes": len(content),
        "program": base64.b64encode(content).decode(),
    }


def _values(graph: Graph) -> dict[str, dict[str, Any]]:
    """Return shape and number of codes of every value that has codes."""
    return {
        value.name: {"shape": value.shape[1:], "codes": 1 << value.encoding.bits}
        for value in graph.values.values()
        if value.encoding is not None and value.data is None and value.encoding.bits <= 8
    }


def _body(graph: Graph, facts: dict[str, Any]) -> list[Markup]:
    """Return the page without what its script shows."""
    given = facts["input"]
    return [
        element("h1", name(graph.name)),
        element("p", _about(facts), class_="soft"),
        element("p", id="error", role="alert"),
        _numbers(given["features"]) if given["picture"] is None else _picture(given["picture"]),
        element("h2", "What it says"),
        element("div", id="scores", class_="scroll"),
        element("p", id="times", class_="soft"),
        element("h2", "Hidden codes"),
        element("p", _CODES, id="about-codes", class_="soft"),
        element("div", id="codes", class_="cards"),
        element("noscript", element("p", "The network is run by a script; here none may run.")),
    ]


_CODES = (
    "Between its layers every number is one of a few codes. Each square is a number: the stronger its "
    "colour, the higher its code."
)


def _about(facts: dict[str, Any]) -> str:
    """Return what networks of what size the page holds."""
    sizes = [f"{network['called']}: {network['bytes'] / 1024:.1f} KB" for network in facts["networks"]]
    return (
        f"{' · '.join(sizes)}. The lowbit engine runs here, in this file, as WebAssembly: nothing is sent "
        "anywhere."
    )


def _picture(shape: tuple[int, int, int]) -> Markup:
    """Return where a picture is drawn or chosen, and what the network sees of it."""
    channels, height, width = shape
    seen = f"What the network sees: {width} × {height}, {'grey' if channels == 1 else 'colours'}"
    drawn = element(
        "figure",
        element("canvas", id="drawing", width=280, height=280, role="img", aria_label="Draw here"),
        element("figcaption", "Draw here, with a finger or the mouse", class_="soft"),
    )
    small = element(
        "figure",
        element("canvas", id="seen", width=width, height=height, role="img", aria_label=seen),
        element("figcaption", seen, class_="soft"),
    )
    choices = element(
        "p",
        element("button", "Clear", id="clear", type="button"),
        element("label", "or take a picture: ", element("input", id="file", type="file", accept="image/*")),
        _switch("invert", "dark on light (invert it)"),
        _switch("centre", "centre what is drawn, as MNIST is", on=channels == 1),
        class_="choices",
    )
    return element("div", element("div", drawn, small, class_="pictures"), choices)


def _switch(key: str, text: str, *, on: bool = False) -> Markup:
    box = element("input", id=key, type="checkbox", checked="" if on else None)
    return element("label", box, f" {text}")


def _numbers(count: int) -> Markup:
    """Return where numbers are written."""
    return element(
        "p",
        element("label", f"This network takes {count} numbers, commas or spaces between:", for_="numbers"),
        element("textarea", id="numbers", rows=4, spellcheck="false"),
        element("button", "Run", id="run", type="button"),
        class_="choices",
    )


def _script(facts: dict[str, Any]) -> str:
    """Return the page's script with all that it reads; a "<" of a name ends nothing."""
    data = json.dumps(facts | {"engine": base64.b64encode(_packed_engine()).decode()})
    script = Path(__file__).with_name("page.js").read_text()
    return f"const page = {data.replace('<', chr(92) + 'u003c')};\n{script}"


@cache
def _packed_engine() -> bytes:
    """Return the module as the package has it, of the hash that was noted when it was made."""
    packed = _ENGINE.read_bytes()
    wanted = json.loads(_ENGINE.with_name("engine.json").read_text())["sha256"]
    found = hashlib.sha256(gzip.decompress(packed)).hexdigest()
    if found != wanted:
        raise ModelFormatError(
            "the engine of the page is another one",
            where=str(_ENGINE),
            expected=f"SHA-256 {wanted[:16]}…",
            found=f"{found[:16]}…",
            remedy="Install lowbit again, or make it: scripts/wasm.",
        )
    return packed
