"""``lowbit inspect``: an answer, all that is in the way, readable in a narrow terminal, with an exit code."""

import json
from pathlib import Path

import onnx
import pytest

import lowbit
from lowbit.compatibility import target_names
from lowbit.zoo import trained
from tests.command import Command
from tests.formats.test_refused import model
from tests.test_compatibility import network


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "digits.onnx"
    lowbit.write(trained("digits"), path)
    return path


def test_the_answer_for_scripts(digits: Path, command: Command) -> None:
    code, out, _ = command("inspect", digits, "--json")
    found = json.loads(out)
    assert code == 0 and [row["name"] for row in found["targets"]] == target_names()
    assert all(row["works"] == (not row["blockers"]) for row in found["targets"])
    assert found["quantization"]["possible"] and found["inputs"] and found["outputs"]
    assert sum(found["operators"].values()) > 0


def test_the_exit_code_says_whether_what_is_needed_works(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(network(3), path)
    found = json.loads(command("inspect", path, "--json")[1])
    works = {row["name"]: row["works"] for row in found["targets"]}
    assert len({*works.values()}) == 2, "some do, some do not"
    for name, does in works.items():
        assert command("inspect", path, "--for", name)[0] == (0 if does else 5)
    assert command("inspect", path, *(word for name in works for word in ("--for", name)))[0] == 5
    code, _, err = command("inspect", path, "--for", "toaster")
    assert code == 2 and "engine" in err


@pytest.mark.parametrize("width", [60, 100])
def test_lines_fit_the_terminal(
    width: int, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lowbit.cli.terminal.out._width", width)
    good, bad = tmp_path / "net.onnx", tmp_path / "bad.onnx"
    onnx.save(network(3), good)
    onnx.save(model(["operator", "attribute", "operator"])[0], bad)
    for path, wanted in ((good, "Does it work?"), (bad, "not read")):
        _, out, _ = command("inspect", path)
        assert wanted in out
        assert max(map(len, out.splitlines())) <= width


def test_a_file_that_is_not_read_says_everything(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "bad.onnx"
    proto, names = model(["operator", "attribute", "condition", "operator"])
    onnx.save(proto, path)
    code, out, _ = command("inspect", path)
    flat = " ".join(out.split())
    assert code == 5 and "4 in the way" in flat and "2 × Unheard" in flat
    assert all(name in flat for some in names.values() for name in some)
    code, out, _ = command("inspect", path, "--json")
    found = json.loads(out)
    assert code == 5 and not found["reads"] and found["error"]["code"] == "UNSUPPORTED"
    assert sum(each["count"] for each in found["blockers"]) == 4
    assert all(each["remedy"] for each in found["blockers"])


def test_a_damaged_file_is_an_error(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"\xff" * 40)
    assert command("inspect", path)[0] == 3


def test_long_tables_of_bytes_add_up(digits: Path, command: Command) -> None:
    short, long = command("inspect", digits)[1], command("inspect", digits, "--bytes")[1]
    assert short.count("\n") <= long.count("\n")
    assert "total" in short and "total" in long
