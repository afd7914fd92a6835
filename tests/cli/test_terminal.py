"""No control character of a stranger's file reaches the terminal; JSON keeps it exactly."""

import json
import re
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

import lowbit
from lowbit.cli import terminal
from lowbit.cli.terminal import Terminal, cell, in_lines
from lowbit.ir import Graph, Node
from lowbit.visible import visible, visible_lines
from tests.command import Command
from tests.ir.networks import float_mlp

CONTROLS = [chr(code) for code in (*range(1, 32), 127, *range(128, 160))]  # C0, DEL, C1; no name has a zero
DIRECTIONS = [chr(code) for code in (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))]
HIDDEN = ["\u200b", "\u2028", "\u2029", "\ufeff", "\U000e0041"]
EVIL = "a" + "b".join([*CONTROLS, *DIRECTIONS, *HIDDEN]) + "[red]c[/][bold]\x1b]0;title\x07\x1b[2Jd"
FILE = "".join([*CONTROLS, *DIRECTIONS, *HIDDEN])  # 152 bytes; a name may have 255
SUFFIXES = (".circle", ".onnx", ".txt")


def test_long_names_end_lines_at_a_mark() -> None:
    name = "functional_1/conv2d_12/Relu;functional_1/batch_normalization_7/FusedBatchNormV3;conv2d_12/BiasAdd"
    text = f"most for {name}: 144 bytes, {'y' * 60}"
    lines = in_lines(text, 43).split("\n")
    assert "".join(lines) == text
    assert all(line[-1] in "/;_" for line in lines[:-1])
    assert max(map(len, lines[1:-1])) <= 43
    assert in_lines("words of a line stay", 7) == "words of a line stay"


def evil_network() -> Graph:
    """Return an MLP for the digits whose every name and metadata is full of such characters."""
    graph = float_mlp((64, 12, 10))
    names = {name: f"{EVIL}{index}" for index, name in enumerate(graph.values)}
    named = Graph(
        EVIL,
        tuple(names[name] for name in graph.inputs),
        tuple(names[name] for name in graph.outputs),
        values={names[name]: replace(value, name=names[name]) for name, value in graph.values.items()},
        metadata={EVIL: EVIL},
    )
    for index, node in enumerate(graph.nodes):
        ends = (tuple(names[name] for name in ends) for ends in (node.inputs, node.outputs))
        named.nodes.append(Node(node.op, *ends, node.attributes, f"{EVIL}n{index}"))
    return named


@pytest.fixture(scope="module", params=SUFFIXES)
def evil(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("evil") / f"{FILE}{request.param}"
    lowbit.write(evil_network(), path)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    path = tmp_path / f"{FILE}.npz"
    np.savez(path, x=random.random((40, 64), np.float32), y=np.arange(40) % 10)
    return path


def require_harmless(*texts: str) -> None:
    for text in texts:
        assert visible_lines(text) == text


@pytest.mark.parametrize("letter", [*CONTROLS, *DIRECTIONS, *HIDDEN, "\x00", "\udcff"])
def test_every_such_character_is_written_as_python_would(letter: str) -> None:
    assert visible(f"a{letter}b") == f"a{letter!r}b".replace("'", "")
    assert visible("Straße, 猫 × µ → ▏") == "Straße, 猫 × µ → ▏"


@pytest.mark.parametrize("letter", [*CONTROLS, *DIRECTIONS, *HIDDEN])
def test_a_console_never_writes_them(letter: str, capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().print(f"a{letter}b", cell(f"c{letter}d"), f"[red]e{letter}[/red]")
    text = capsys.readouterr().out
    require_harmless(text)
    assert "[red]e" in text


WORDS = [
    ["inspect", "EVIL"],
    ["inspect", "EVIL", "--graph"],
    ["analyze", "EVIL", "--data", "DATA", "--backend", "engine", "--sensitivity", "2"],
    ["eval", "EVIL", "--data", "DATA"],
    ["run", "EVIL", "--data", "DATA", "-o", "OUT.npz"],
    ["quantize", "EVIL", "-o", "OUT.circle", "--data", "DATA", "--bits", "2"],
    ["quantize", "EVIL", "-o", "OUT.txt", "--scheme", "fixed:4.8"],
    ["convert", "EVIL", "OUT.txt"],
    ["bench", "EVIL", "--repeats", "1"],
    ["bench", "EVIL", "--layers"],
    ["predict", "EVIL", "--data", "DATA", "--classes", "CLASSES"],
    ["report", "EVIL", "--data", "DATA", "-o", "OUT.html"],
    ["plot", "levels", "EVIL", "--scheme", "fixed:4.8", "-o", "OUT.png"],
    ["plot", "confusion", "EVIL", "--data", "DATA", "-o", "OUT.svg"],
    ["sweep", "EVIL", "--data", "DATA", "--bits", "2", "--cache", "CACHE", "-o", "OUT.json"],
]


@pytest.mark.parametrize("words", WORDS, ids=[" ".join(words) for words in WORDS])
def test_no_command_writes_them(
    evil: Path,
    data: Path,
    tmp_path: Path,
    command: Command,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    classes = tmp_path / "classes.txt"
    name = "".join(EVIL.splitlines())
    classes.write_text("\n".join(f"{index}{name}" for index in range(10)))
    places = {"EVIL": evil, "DATA": data, "CLASSES": classes}
    code, *texts = command(*[places.get(word, word) for word in words])
    require_harmless(*texts)
    assert code == 0, texts


MISTAKES = [
    ["eval", "missing EVIL", "--data", "digits"],
    ["eval", "MODEL", "--data", "EVIL"],
    ["eval", "MODEL", "--data", "digits", "--split", "EVIL"],
    ["inspect", "DAMAGED"],
    ["plot", "levels", "MODEL", "--layer", "EVIL", "-o", "x.png"],
    ["plot", "sweep", "DAMAGED", "-o", "x.png"],
    ["plot", "sweep", "DAMAGED", "-o", "EVIL"],
    ["quantize", "MODEL", "-o", "x.circle", "--data", "digits", "--plan", "PLAN"],
    ["quantize", "MODEL", "-o", "x.circle", "--data", "digits", "--scheme", "EVIL"],
    ["train", "RECIPE"],
    ["zoo", "EVIL", "-o", "x.onnx"],
    ["reproduce", "EVIL"],
    ["EVIL"],
    ["inspect", "MODEL", "EVIL"],
    ["inspect", "--EVIL"],
    ["data", "fetch", "mnist", "--from", "EVIL", "--to", "x"],
]


@pytest.mark.parametrize("words", MISTAKES, ids=[" ".join(words) for words in MISTAKES])
def test_no_error_writes_them(
    tmp_path: Path, command: Command, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    escaped = '"' + "".join(f"\\U{ord(letter):08x}" for letter in EVIL) + '"'
    model, damaged = tmp_path / "model.circle", tmp_path / f"{FILE}.json"
    lowbit.write(float_mlp((64, 12, 10)), model)
    damaged.write_text(json.dumps({EVIL: EVIL, "models": [{EVIL: 1}], "rows": []}))
    (tmp_path / "plan.toml").write_text(f"bits = 2\n[layers.{escaped}]\nbits = 2\n")
    (tmp_path / "recipe.toml").write_text(f"name = {escaped}\n{escaped} = 1\n")
    places = {
        "MODEL": model,
        "DAMAGED": damaged,
        "PLAN": tmp_path / "plan.toml",
        "RECIPE": tmp_path / "recipe.toml",
    }
    code, *texts = command(*[places.get(word, word.replace("EVIL", EVIL)) for word in words])
    require_harmless(*texts)
    assert code > 1, texts


def test_json_keeps_names_exactly(evil: Path, command: Command) -> None:
    code, out, _ = command("inspect", evil, "--json")
    require_harmless(out)
    assert code == 0 and json.loads(out)["layers"][0]["name"].startswith(EVIL)
    where = json.loads(command("inspect", evil / FILE, "--json")[1])["error"]["where"]
    assert where.endswith(FILE)


class _Rude(BaseHTTPRequestHandler):
    """A server whose reasons are not for a terminal."""

    def do_GET(self) -> None:
        self.wfile.write(b"HTTP/1.0 404 \x1b]0;title\x07\x9b2Jgone\r\n\r\n")

    def log_message(self, *words: object) -> None:
        """Say nothing."""


def test_reasons_of_a_server_are_harmless(tmp_path: Path, command: Command) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Rude)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    code, *texts = command("data", "fetch", "mnist", "--from", address, "--to", tmp_path)
    server.shutdown()
    server.server_close()
    require_harmless(*texts)
    assert code > 1 and "gone" in texts[1]


def test_progress_and_colours_on_a_terminal_carry_none(
    evil: Path, data: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    words = ("quantize", evil, "-o", tmp_path / "x.circle", "--data", data, "--bits", 2)
    code, *texts = command(*words)
    assert code == 0 and "\x1b[" in texts[0] + texts[1]
    require_harmless(
        *(re.sub(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[\d*[AKG]|\r", "", text) for text in texts)
    )


NUMBERS = ("12,345.6", "123456.7", "12.0")
NAME = "model/conv2d_1/very_long_name_of_a_layer/Conv2D"


@pytest.mark.parametrize("width", [200, 84, 68, 60, 40, 20])
def test_no_width_breaks_a_number_or_loses_a_part_of_a_name(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(terminal, "out", terminal.Terminal())
    columns = ("layer", "weights", "KB", "moved", "× less")
    terminal.print_table("a title", columns, [(NAME, "lq 2 or more", *NUMBERS), ("fc", "", None, "7", "")])
    text = capsys.readouterr().out
    assert all(cell_len(line) <= width for line in text.splitlines())
    assert all(number in text for number in NUMBERS) and "…" not in text
    bare = re.sub(r"[│ \n]", "", re.sub(r"│ +lq.*", "", text))
    assert all(part in bare for part in ("model/conv", "2D")) and "fc" in bare
