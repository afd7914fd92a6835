"""The page in a real browser: it draws a seven and reads seven, and its scores are the engine's."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lowbit
from lowbit.data import load
from lowbit.ir import Node, Value
from lowbit.ui import write_page
from lowbit.zoo import trained
from tests.browser import Browser, browser
from tests.ir.networks import float_mlp

image = pytest.importorskip("PIL.Image")
ERROR = "return document.getElementById('error').textContent"
TYPE = "document.getElementById('numbers').value = {}; document.getElementById('run').click()"
Floats = np.ndarray[Any, np.dtype[np.float32]]
NETWORKS = ("mnist-mlp-1bit", "mnist-mlp-2bit", "mnist-lst1-q6.7", "mnist-conv-4bit")
SEVEN = ((0.28, 0.25), (0.72, 0.25), (0.60, 0.50), (0.48, 0.80))


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


def digits(side: int) -> Floats:
    """All digits of the package, thrice as large in a picture of MNIST's size, or as they are."""
    found = np.concatenate([load("digits", split=split).samples for split in ("train", "test")])[:1000]
    if side == 8:
        return found
    large = found.reshape(-1, 8, 8).repeat(3, axis=1).repeat(3, axis=2)
    return np.ascontiguousarray(np.pad(large, ((0, 0), (2, 2), (2, 2))).reshape(len(large), -1))


def wait(window: Browser) -> None:
    """Wait until the page has shown what it shows first."""
    window.run_async("page.ready.then(() => done(1))")
    window.run_async("setTimeout(() => done(1), 400)")
    assert window.run(ERROR) == ""


def scores(window: Browser, samples: Floats, number: int = 0) -> Floats:
    """What the page's engine gives for samples, to the last bit."""
    text = base64.b64encode(samples.tobytes()).decode()
    script = f"return page.scores(new Float32Array(bytesOf({json.dumps(text)}).buffer), {number})"
    return np.asarray(window.run(script), np.float32)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_thousand_digits_have_the_engines_scores(name: str, window: Browser, tmp_path: Path) -> None:
    graph, samples = lowbit.pretrained(name), digits(28)
    write_page(tmp_path / "page.html", graph)
    window.open(tmp_path / "page.html")
    wait(window)
    given = samples.reshape(len(samples), *graph.value(graph.inputs[0]).shape[1:])
    wanted = lowbit.load(graph).run(given)
    assert len(np.unique(wanted, axis=0)) > 900
    np.testing.assert_array_equal(scores(window, samples), wanted)


@pytest.mark.parametrize("width", [1100, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_seven_is_drawn_and_read(width: int, dark: bool, window: Browser, tmp_path: Path) -> None:
    wide = trained("digits")
    low, _ = lowbit.quantize(wide, load("digits", split="train").samples, bits=2)
    write_page(tmp_path / "page.html", low, against=wide)
    window.open(tmp_path / "page.html", width=width, dark=dark)
    wait(window)
    window.draw("#drawing", SEVEN)
    wait(window)
    best = window.run("return document.querySelector('tr.best th').textContent")
    window.keep(f"ui-{width}-{'dark' if dark else 'light'}")
    assert best == "7"
    window.check()
    times = window.run("return document.getElementById('times').textContent")
    assert "low-bit" in times and "float" in times and ("µs" in times or "ms" in times)
    assert window.run("return document.querySelectorAll('#codes canvas').length") > 0
    samples = digits(8)
    for number, graph in enumerate((low, wide)):
        np.testing.assert_array_equal(scores(window, samples, number), lowbit.load(graph).run(samples))


def test_a_picture_of_the_networks_size_is_given_as_it_is(window: Browser, tmp_path: Path) -> None:
    pixels = np.random.default_rng(20).integers(0, 256, (6, 9, 3), np.uint8)
    image.fromarray(pixels).save(tmp_path / "picture.png")
    graph = float_mlp((3 * 6 * 9, 5, 4))
    graph.update("x", shape=("n", 6, 9, 3))
    graph.add_constant("shape", np.array([-1, 162]), "int64")
    graph.nodes.insert(0, Node("Reshape", ("x", "shape"), ("rows",), {}, "rows"))
    graph.nodes[1] = replace(graph.nodes[1], inputs=("rows", *graph.nodes[1].inputs[1:]))
    graph.add(Value("rows", "float32", ("n", 162)))
    graph.metadata["normalize"] = "0.25,0.5,0.125,2.0,0.5,1.0"
    write_page(tmp_path / "page.html", graph)
    window.open(tmp_path / "page.html")
    wait(window)
    window.run("page.given = []; const run = page.run; page.run = x => (page.given = Array.from(x), run(x))")
    window.choose("#file", tmp_path / "picture.png")
    wait(window)
    mean, deviation = np.array([0.25, 0.5, 0.125]), np.array([2.0, 0.5, 1.0])
    wanted = ((pixels / 255 - mean) / deviation).astype(np.float32).ravel()
    np.testing.assert_array_equal(np.array(window.run("return page.given"), np.float32), wanted)
    (tmp_path / "none.png").write_bytes(b"no picture")
    window.choose("#file", tmp_path / "none.png")
    window.run_async("setTimeout(() => done(1), 300)")
    assert window.run(ERROR) == "none.png is no picture that this browser reads."


def test_what_cannot_be_meant_is_said_and_the_page_goes_on(window: Browser, tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", float_mlp((11, 9, 3)))
    window.open(tmp_path / "page.html", width=390)
    wait(window)
    window.run(TYPE.format("'1, 2, three'"))
    assert window.run(ERROR) == "expected 11 numbers; found 3, some of which are none"
    window.run("page.run(new Float32Array(11).fill(NaN))")
    assert "NaN" in window.run(ERROR)
    window.run(TYPE.format("'1 '.repeat(11)"))
    wait(window)
    wanted = lowbit.load(float_mlp((11, 9, 3))).run(np.ones((1, 11), np.float32))
    np.testing.assert_array_equal(scores(window, np.ones((1, 11), np.float32)), wanted)
