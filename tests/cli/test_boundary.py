"""Where the command line ends: no traceback, and the declared exit code, whatever happens."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lowbit
from lowbit import api
from lowbit.cli import app
from lowbit.cli.command import Command as OurCommand
from lowbit.cli.envelope import SCHEMA
from lowbit.errors import ExitCode
from lowbit.visible import visible_lines
from tests.command import Command
from tests.ir.networks import float_mlp

FOREIGN = [
    (FileNotFoundError(errno.ENOENT, "No such file", "a.npz"), ExitCode.FILE, "FILE a.npz: "),
    (PermissionError(errno.EACCES, "Permission denied", "a"), ExitCode.FILE, "Permission denied"),
    (OSError(errno.ENOSPC, "No space left on device", "b"), ExitCode.FILE, "WRITE b: "),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), ExitCode.MEMORY, "MEMORY: "),
    (OSError("odd"), ExitCode.FILE, "odd"),
    (TimeoutError(), ExitCode.FILE, "TimeoutError"),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), ExitCode.FILE, "invalid start byte"),
    (MemoryError(), ExitCode.MEMORY, "MEMORY: "),
    (RecursionError("maximum recursion depth exceeded"), ExitCode.NETWORK, "nested too deeply"),
    (KeyboardInterrupt(), ExitCode.INTERRUPTED, "interrupted"),
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), ExitCode.CLOSED_PIPE, ""),
    (ZeroDivisionError("division by zero"), ExitCode.INTERNAL, "LOWBIT_DEBUG=1"),
    (KeyError("x\x1b]0;t\x07"), ExitCode.INTERNAL, "KeyError: 'x\\x1b"),
]


@pytest.mark.parametrize(("error", "code", "text"), FOREIGN, ids=[type(row[0]).__name__ for row in FOREIGN])
def test_every_exception_is_one_message_and_one_code(
    error: BaseException, code: ExitCode, text: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(api, "inspect", fail)
    monkeypatch.delenv("LOWBIT_DEBUG", raising=False)
    found, out, err = command("inspect", "x.onnx")
    assert (found, out) == (code, "") and text in " ".join(err.split())
    assert "Traceback" not in err
    found, out, _ = command("inspect", "x.onnx", "--json")
    assert found == code and (code > 100 or json.loads(out)["error"]["code"] in err)
    monkeypatch.setenv("LOWBIT_DEBUG", "1")
    _, _, err = command("inspect", "x.onnx")
    assert ("Traceback" in err) == (code < 100)


@pytest.mark.parametrize("words", [["nonsense"], ["eval"], ["--nonsense"], ["plot"], ["plot", "x"]])
def test_wrong_usage_is_json_when_asked(words: list[str], command: Command) -> None:
    code, _, err = command(*words)
    assert code == ExitCode.USAGE
    found, out, _ = command(*words, "--json")
    error = json.loads(out)["error"]
    assert found == code and error["code"] == "USAGE" and "--help" in error["remedy"]
    assert words in (["plot"],) or error["message"][:12] in " ".join(err.split())


def test_version(command: Command) -> None:
    assert command("--version") == (0, f"lowbit {lowbit.__version__}\n", "")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "mlp.circle"
    lowbit.write(float_mlp((64, 33, 10)), path)
    return path


def shell(text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash, where `lowbit` is ours."""
    line = f'lowbit() {{ "{sys.executable}" -m lowbit "$@"; }}; {text}'
    names = {**os.environ, **environment}
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, errors="replace", env=names)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    ("line", "code", "text"),
    [
        # A writer that is done before its reader leaves has not been left.
        ("lowbit inspect {} | head -n 1; [[ ${{PIPESTATUS[0]}} =~ ^(0|141)$ ]]", 0, ""),
        ("lowbit inspect {} --json | true; exit ${{PIPESTATUS[0]}}", 141, ""),
        ("lowbit inspect {} >/dev/full", 3, "No space left"),
        ("lowbit inspect {} --json >/dev/full", 3, "No space left"),
        ("lowbit inspect {} >&-", 3, "standard output"),
        ("lowbit convert {} new.txt >&-", 3, "is written"),
        ("lowbit nonsense --json >/dev/full", 2, "nonsense"),
        ("lowbit nonsense 2>/dev/full", 2, ""),
        ("lowbit nonsense >&- 2>&-", 2, ""),
        ("lowbit inspect {} <&- >/dev/null 2>&-", 0, ""),
    ],
)
def test_streams_that_are_full_closed_or_left(
    line: str, code: int, text: str, model: Path, tmp_path: Path
) -> None:
    done = shell(f"cd {tmp_path}; " + line.format(model))
    assert done.returncode == code and text in " ".join(done.stderr.split()), done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert ("new.txt" in line) == (tmp_path / "new.txt").exists()


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
def test_letters_that_the_output_does_not_have(encoding: str, model: Path) -> None:
    data = model.with_name("x.npz")
    np.savez(data, x=np.ones((1, 64), np.float32), y=[0])
    done = shell(f"lowbit predict {model} --data {data}; lowbit zoo", PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and "#" in done.stdout and "vgg16" in done.stdout, done.stderr


def test_warnings_and_the_log_are_shown_harmlessly() -> None:
    code = """
import logging, sys, warnings
from lowbit import api, cli
def inspect(*_, **__):
    warnings.warn("one\\x1b]0;t\\x07")
    logging.getLogger("lowbit").warning("two %s", "\\x9b2J")
    logging.getLogger("lowbit").info("three")
    raise ValueError("four\\u202e")
api.inspect = inspect
sys.argv = ["lowbit", "inspect", "x"]
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.INTERNAL and visible_lines(done.stderr) == done.stderr
    said = ["UserWarning: one\\x1b]0;t\\x07", "two \\x9b2J", "four\\u202e"]
    assert all(text in done.stderr for text in said) and "three" not in done.stderr


OUTPUTS = [
    ["quantize", "IN.onnx", "-o", "IN.onnx", "--data", "digits", "--bits", "2"],
    ["quantize", "IN.onnx", "-o", "IN.onnx", "--scheme", "fixed:4.4"],
    ["convert", "IN.onnx", "IN.onnx"],
    ["convert", "IN.onnx", "LINK.onnx"],
    ["convert", "LINK.onnx", "IN.onnx"],
    ["convert", "IN.onnx", "HARD.onnx"],
    ["run", "IN.onnx", "--data", "DATA.npz", "-o", "DATA.npz"],
    ["sweep", "IN.onnx", "--data", "digits", "-o", "IN.onnx"],
    ["sweep", "IN.onnx", "--data", "DATA.npz", "--plot", "DATA.npz"],
    ["report", "IN.onnx", "--data", "digits", "--against", "DATA.npz", "-o", "DATA.npz"],
    ["predict", "IN.onnx", "DATA.png", "-o", "DATA.png"],
    ["data", "convert", "DATA.npz", "DATA.npz"],
]


@pytest.mark.parametrize("words", OUTPUTS, ids=[" ".join(words) for words in OUTPUTS])
def test_an_input_is_not_written_over(
    words: list[str], tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lowbit.write(float_mlp((64, 33, 10)), "IN.onnx")
    for name in ("DATA.npz", "DATA.png"):
        Path(name).write_bytes(b"mine")
    Path("LINK.onnx").symlink_to("IN.onnx")
    os.link("IN.onnx", "HARD.onnx")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    code, _, err = command(*words)
    assert code == 3 and "the output is an input" in " ".join(err.split()) and "--force" in err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_it_is_where_that_is_said(tmp_path: Path, command: Command) -> None:
    path = tmp_path / "x.txt"
    lowbit.write(float_mlp((64, 33, 10)), path)
    assert command("quantize", path, "-o", path, "--scheme", "fixed:4.4", "--force")[0] == 0
    assert "fixed" in path.read_text()


def test_every_command_that_writes_asks_before_it_writes_over_an_input() -> None:
    from typer.main import get_command

    waiting, seen = [get_command(app)], 0
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        words = [word for parameter in command.params for word in parameter.opts]
        if not hasattr(command, "commands"):
            assert isinstance(command, OurCommand)
        if "--output" in words or "target" in words:
            assert "--force" in words, command.name
            seen += 1
    assert seen > 10


@pytest.mark.parametrize("place", ["absent/OUT", "FOLDER", "IN.onnx/OUT"])
@pytest.mark.parametrize(
    "words",
    [
        ["quantize", "IN.onnx", "--bits", "2", "--data", "absent.npz", "-o"],
        ["quantize", "IN.onnx", "--scheme", "fixed:4.4", "-o"],
        ["run", "IN.onnx", "--data", "absent.npz", "-o"],
        ["report", "IN.onnx", "--data", "absent.npz", "-o"],
        ["sweep", "IN.onnx", "--data", "absent.npz", "-o"],
        ["sweep", "IN.onnx", "--data", "absent.npz", "--plot"],
        ["convert", "IN.onnx"],
    ],
    ids=" ".join,
)
def test_a_place_that_cannot_be_written_is_said_before_work(
    words: list[str], place: str, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data do not exist: whoever reads them first says so instead."""
    monkeypatch.chdir(tmp_path)
    lowbit.write(float_mlp((64, 33, 10)), "IN.onnx")
    Path("FOLDER").mkdir()
    before = sorted(tmp_path.rglob("*"))
    code, _, err = command(*words, place)
    assert code == 3 and f"WRITE {place}" in " ".join(err.split())
    assert sorted(tmp_path.rglob("*")) == before


def test_what_scripts_read_is_one_envelope(command: Command, tmp_path: Path) -> None:
    """Results and errors alike: an object with the schema and the version."""
    missing = str(tmp_path / "none.onnx")
    for words in (("zoo", "--json"), ("inspect", missing, "--json"), ("nonsense", "--json")):
        _, out, _ = command(*words)
        found = json.loads(out)
        assert (found["schema"], found["lowbit"]) == (SCHEMA, lowbit.__version__)
        assert ("error" in found) == (words[0] != "zoo")
