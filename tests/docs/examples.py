"""Does what a page says: its blocks in order, in a folder of their own.

a first line "# name.py", "/* name.c */", "# name.toml"    a file
```python otherwise    runs, after the blocks before it
```sh                  commands, each line by a shell; "lowbit" is this one; a backslash continues a line
```text                what is printed: every line of it was, before
others                 are read by people
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"(?:#|/\*) (\S+\.(?:py|c|h|toml))(?: \*/)?\n")
_SECONDS = 300


@dataclass(frozen=True)
class Block:
    """A block of a page: its language, and what is in it."""

    language: str
    text: str

    @property
    def file(self) -> str:
        """The file that it is, or nothing."""
        found = _NAME.match(self.text)
        return found[1] if found else ""

    @property
    def runs(self) -> bool:
        """Whether something is done by it."""
        return self.language == "sh" or (self.language == "python" and not self.file)


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in order."""
    return [Block(language, text) for language, text in _BLOCK.findall(page.read_text())]


def follow(page: Path, folder: Path, less: tuple[tuple[str, str], ...] = ()) -> str:
    """Do what a page says and return what was printed.

    Args:
        page: the page.
        folder: where it is done.
        less: patterns and what stands in their place, to make it shorter.

    Raises:
        AssertionError: a command fails, or prints other than the page says.
    """
    environment, printed, python = _environment(folder), "", ""
    work = folder / "work"
    work.mkdir()
    for block in blocks(page):
        text = block.text
        for pattern, shorter in less:
            text = re.sub(pattern, shorter, text)
        if block.file:
            (work / block.file).write_text(text)
        elif block.language == "python":
            python += text
            printed += _run([sys.executable, "-c", python], work, environment)
        elif block.language == "sh":
            for line in text.replace("\\\n", " ").splitlines():
                printed += _run(["sh", "-ec", line], work, environment)
        elif block.language == "text" and not less:
            missing = [line for line in text.splitlines() if _bare(line) not in _bare(printed)]
            assert not missing, f"{page.name} says that this is printed: {missing}; found: {printed}"
    return printed


def _run(words: list[str], work: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        words,
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{words[-1]}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def _bare(text: str) -> str:
    """Return a text in which spaces and breaks of lines do not count."""
    return " ".join(text.split())


def _environment(folder: Path) -> dict[str, str]:
    """Return one in which ``lowbit`` and ``python`` are those that run the test."""
    programs = folder / "programs"
    programs.mkdir(parents=True)
    for name, words in (("lowbit", "-m lowbit"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (programs / name).chmod(0o755)
    return {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "COLUMNS": "120", "NO_COLOR": "1"}
