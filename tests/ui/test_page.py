"""The page's file: what it holds, what it refuses, and whether its engine is the one that was made."""

import gzip
import hashlib
import html
import json
import re
import runpy
from pathlib import Path

import pytest

import lowbit
from lowbit.errors import DataError, ModelFormatError, UnsupportedError, WriteError
from lowbit.ui import engine_module, write_page
from lowbit.ui import page as module
from tests.command import Command
from tests.ir.networks import float_mlp

PLACE = Path(module.__file__).parent
MOST = 350 * 1024


def facts(path: Path) -> dict[str, object]:
    text = path.read_text()
    found = re.search(r"<script>const page = (\{.*\});\n", text)
    assert found is not None
    return dict(json.loads(found[1]))


def test_the_engine_is_what_was_made_and_small() -> None:
    noted = json.loads((PLACE / "engine.json").read_text())
    assert hashlib.sha256(engine_module()).hexdigest() == noted["sha256"]
    assert engine_module()[:8] == b"\0asm\1\0\0\0" and len(engine_module()) == noted["bytes"]
    assert (PLACE / "engine.wasm.gz").stat().st_size <= MOST


@pytest.mark.nightly
def test_the_engine_is_made_of_the_sources_of_today() -> None:
    made = runpy.run_path(str(Path(__file__).parents[2] / "scripts/wasm_module.py"))
    noted = json.loads((PLACE / "engine.json").read_text())["sources"]
    assert noted == made["sources_hash"](), "the C++ changed: run scripts/wasm"


def test_another_engine_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(engine_module())
    content[len(content) // 2] ^= 1
    (tmp_path / "engine.wasm.gz").write_bytes(gzip.compress(content))
    (tmp_path / "engine.json").write_bytes((PLACE / "engine.json").read_bytes())
    monkeypatch.setattr(module, "_ENGINE", tmp_path / "engine.wasm.gz")
    module._packed_engine.cache_clear()
    with pytest.raises(ModelFormatError, match="the engine of the page is another one"):
        engine_module()
    module._packed_engine.cache_clear()


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    made = write_page(tmp_path / "page.html", lowbit.pretrained("mnist-lst1-q6.7"))
    text = (tmp_path / "page.html").read_text()
    assert made == {"bytes": len(text.encode()), "input": "picture"}
    assert not re.search(r"(?:src|href)=|https?:", text.split("<script>")[0])
    policy = html.unescape(text[: text.index("<style>")])
    assert "connect-src" not in policy and "default-src 'none'" in policy
    given = facts(tmp_path / "page.html")["input"]
    assert given == {
        "features": 784,
        "shape": [1, 28, 28],
        "picture": [1, 28, 28],
        "channels_last": False,
        "means": [0.5],
        "deviations": [0.5],
    }


def test_names_cannot_leave_the_script(tmp_path: Path) -> None:
    graph = float_mlp((64, 9, 3))
    graph.name = "</script><script>alert(1)</script>"
    write_page(tmp_path / "page.html", graph, classes=("<b>", "</script>", "c"))
    text = (tmp_path / "page.html").read_text()
    assert text.count("<script>") == 1 == text.count("</script>")
    assert facts(tmp_path / "page.html")["classes"] == ["<b>", "</script>", "c"]


@pytest.mark.parametrize(
    ("features", "kind"), [(64, "picture"), (3 * 49, "picture"), (11, "numbers"), (1, "numbers")]
)
def test_what_is_no_picture_is_written_as_numbers(features: int, kind: str, tmp_path: Path) -> None:
    made = write_page(tmp_path / "page.html", float_mlp((features, 9, 3)))
    assert made["input"] == kind
    assert (f"takes {features} numbers" in (tmp_path / "page.html").read_text()) == (kind == "numbers")


def test_what_the_page_cannot_give_is_refused(tmp_path: Path) -> None:
    wide = float_mlp((64, 9, 3))
    with pytest.raises(DataError, match="expected 64 numbers in, 3 classes out; found 16 numbers in, 3"):
        write_page(tmp_path / "page.html", wide, against=float_mlp((16, 9, 3)))
    with pytest.raises(DataError, match="expected 3 names; found 2"):
        write_page(tmp_path / "page.html", wide, classes=("a", "b"))
    with pytest.raises(WriteError):
        write_page(tmp_path / "missing" / "page.html", wide)
    assert not list(tmp_path.iterdir())


def test_integers_and_several_inputs_are_refused(tmp_path: Path) -> None:
    graph = float_mlp((8, 9, 3))
    graph.update(graph.inputs[0], dtype="int32")
    with pytest.raises(UnsupportedError, match="real numbers alone"):
        write_page(tmp_path / "page.html", graph)
    graph = float_mlp((8, 9, 3))
    graph.inputs = ("x", "another")
    with pytest.raises(UnsupportedError, match="one input and one output; found inputs x, another"):
        write_page(tmp_path / "page.html", graph)


def test_the_command(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = command("ui", "digits", "--no-open")
    assert code == 0 and "lowbit.html" in out and "file://" in out.replace("\n", "")
    code, out, _ = command("ui", "mnist-mlp-1bit", "-o", "other.html", "--json")
    assert code == 0 and json.loads(out)["bytes"] == Path("other.html").stat().st_size
    code, _, err = command("ui", "mnist-mlp-3bit", "--no-open")
    assert code == 3 and "mnist-mlp-3bit" in err
    assert {path.name for path in tmp_path.iterdir()} == {"lowbit.html", "other.html"}
