"""Verilator's runtime is compiled once on a machine, and again where compiler or flags are others."""

from pathlib import Path

import pytest

from lowbit.rtl import runtime

COMPILER = ("g++",)


class Compilations(list[str]):
    """Stands for the compiler: writes what it is asked for, and remembers it."""

    def __call__(self, command: list[str], folder: Path, *, name: str) -> None:
        self.append(command[-1])
        (folder / command[-1]).write_bytes(b"object")


@pytest.fixture
def compilations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compilations:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(runtime.metadata, "version", lambda package: "5.0")
    done = Compilations()
    monkeypatch.setattr(runtime, "run", done)
    return done


def fresh(root: Path, compiler: tuple[str, ...], waveforms: bool) -> tuple[Path, ...]:
    """Return what a new process would."""
    runtime.runtime.cache_clear()
    try:
        return runtime.runtime(root, compiler, waveforms)
    finally:
        runtime.runtime.cache_clear()


def test_it_is_compiled_once(compilations: Compilations, tmp_path: Path) -> None:
    first = fresh(tmp_path, COMPILER, True)
    assert compilations == ["runtime.o", "waveforms.o"] and len(first) == 2
    assert fresh(tmp_path, COMPILER, True) == first and len(compilations) == 2
    assert all(path.read_bytes() == b"object" and tmp_path in path.parents for path in first)


def test_another_compiler_or_other_flags_make_another(compilations: Compilations, tmp_path: Path) -> None:
    (one,) = fresh(tmp_path, COMPILER, False)
    assert one not in fresh(tmp_path, COMPILER, True)
    assert fresh(tmp_path, ("env", "g++"), False) != (one,)
    assert compilations == ["runtime.o", "runtime.o", "waveforms.o", "runtime.o"]


def test_without_a_folder_to_keep_it_lives_as_long_as_the_process(
    compilations: Compilations, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("no folder")
    (path,) = fresh(tmp_path, COMPILER, False)
    assert path.read_bytes() == b"object" and fresh(tmp_path, COMPILER, False) != (path,)
