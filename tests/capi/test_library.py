"""The C library that the package brings along: its example, errors, threads, and what it shows of itself."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lowbit.backends.library import Options, library, load
from lowbit.engine import Program
from lowbit.errors import DataError, TooLargeError, UnsupportedError
from lowbit.ir import Graph
from lowbit.program.file import blockers, content_of
from lowbit.version import __version__
from tests.fuzz.mutators import NETWORKS
from tests.ir.networks import Convolution, lowbit_convnet, lowbit_mlp

ROOT = Path(__file__).parents[2]
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
CC = shutil.which("cc") or ""
INSTALLED = ROOT / "build/library/installed"
ONE_LEVEL = ROOT / "build/library-one"
"""What scripts/c-library made: with all levels, and with one beside portable."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="is tried on Linux")
needs_cc = pytest.mark.skipif(not CC, reason="needs a C compiler")


def shared() -> Path:
    return Path(library()._name)


def compiled(source: str, folder: Path, *flags: str) -> Path:
    made = folder / Path(source).stem
    where = [f"-I{ROOT / 'cpp/capi'}", str(shared()), f"-Wl,-rpath,{shared().parent}", *flags]
    subprocess.run([CC, *STRICT[1:], str(ROOT / source), *where, "-o", str(made)], check=True)
    return made


def written(graph: Graph, folder: Path, count: int) -> tuple[Path, Path, np.ndarray]:
    """Return a program file, a file of samples, and what the engine gives."""
    net, samples = folder / "net.lbp", folder / "samples.f32"
    net.write_bytes(content_of(graph))
    shape = (count, *graph.value(graph.inputs[0]).shape[1:])
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    samples.write_bytes(x.tobytes())
    return net, samples, Program(graph).run(x)


def printed(program: Path, *words: Path) -> np.ndarray:
    """Return the numbers that the example prints, exactly."""
    done = subprocess.run([program, *words], check=True, capture_output=True, text=True)
    rows = [[float.fromhex(number) for number in line.split()] for line in done.stdout.splitlines()]
    return np.array(rows, np.float32)


@needs_cc
def test_the_example_gives_what_the_engine_gives(tmp_path: Path) -> None:
    example = compiled("examples/c/run.c", tmp_path, STRICT[0])
    for graph in (
        lowbit_mlp((65, 33, 10), 2, 2),
        lowbit_convnet((3, 6, 5), (Convolution(5), Convolution(4)), classes=3),
    ):
        net, samples, expected = written(graph, tmp_path, 70)
        np.testing.assert_array_equal(printed(example, net, samples), expected)
    (tmp_path / "net.lbp").write_bytes(b"\x89LBP")
    done = subprocess.run([example, net, samples], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "net.lbp: this is no program file" in done.stderr
    assert len((ROOT / "examples/c/run.c").read_text().splitlines()) <= 60


@needs_cc
@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_run_takes_no_memory_and_threads_share_programs(threads: str, tmp_path: Path) -> None:
    calls = compiled("tests/capi/calls.c", tmp_path, "-std=c11", "-pthread", "-D_GNU_SOURCE")
    for make in NETWORKS.values():
        net, _, _ = written(make(), tmp_path, 1)
        done = subprocess.run([calls, net, threads], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "0\n"), done.stdout + done.stderr


@needs_cc
def test_the_header_is_c_and_cpp(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("#include <lowbit.h>\nint main(void) { return LOWBIT_OK; }\n")
    include = f"-I{ROOT / 'cpp/capi'}"
    subprocess.run([CC, *STRICT, include, "-fsyntax-only", tmp_path / "a.c"], check=True)
    compiler = shutil.which("c++")
    if compiler:
        command = [compiler, "-x", "c++", "-Wall", "-Wextra", "-Werror", include, "-fsyntax-only"]
        subprocess.run([*command, tmp_path / "a.c"], check=True)


@pytest.mark.skipif(not shutil.which("nm") or not shutil.which("ldd"), reason="needs nm and ldd")
def test_it_shows_its_own_names_alone_and_needs_no_runtime_of_cpp() -> None:
    names = subprocess.run(
        ["nm", "-D", "--defined-only", shared()], check=True, capture_output=True, text=True
    )
    shown = {line.split()[-1].partition("@")[0] for line in names.stdout.splitlines()}
    header = (ROOT / "cpp/capi/lowbit.h").read_text()
    declared = set(re.findall(r"LOWBIT_API [\w \*]*?(lowbit_\w+)\(", header))
    assert shown == declared and len(declared) > 10
    needed = subprocess.run(["ldd", shared()], check=True, capture_output=True, text=True).stdout
    assert "stdc++" not in needed and "libgcc" not in needed and "python" not in needed.lower()


# Errors, by the binding that compares it as a back end.


def status_of(function: str, *arguments: object) -> tuple[int, str]:
    return getattr(library(), function)(*arguments), library().lowbit_error().decode()


def test_what_cannot_be_meant_is_said(tmp_path: Path) -> None:
    program, content = ctypes.c_void_p(), content_of(lowbit_mlp((33, 9, 4), 2, 2))
    size = ctypes.c_size_t(len(content))
    assert library().lowbit_version().decode() == __version__
    assert status_of("lowbit_open_memory", None, size, None, ctypes.byref(program))[0] == 5
    assert status_of("lowbit_open_memory", content, size, None, None)[0] == 5
    missing = str(tmp_path / "none.lbp")
    status, text = status_of("lowbit_open", missing.encode(), None, ctypes.byref(program))
    assert status == 1 and text == (
        f"{missing}: the file cannot be opened; expected a file that may be read; found No such file or "
        "directory. Check the path and its permissions."
    )
    assert status_of("lowbit_open", str(tmp_path).encode(), None, ctypes.byref(program))[0] == 1
    assert status_of("lowbit_open", os.devnull.encode(), None, ctypes.byref(program))[0] == 1
    for options, status in (((1, 1, 0, None, 0), 5), ((40, 0, 0, None, 0), 2), ((40, 1, 99, None, 0), 3)):
        given = ctypes.byref(Options(*options))
        assert status_of("lowbit_open_memory", content, size, given, ctypes.byref(program))[0] == status
        assert program.value is None
    assert status_of("lowbit_open_memory", content, size, None, ctypes.byref(program))[0] == 0
    port = ctypes.create_string_buffer(64)
    assert status_of("lowbit_input", program, ctypes.c_size_t(1), port)[0] == 5
    assert status_of("lowbit_run", program, ctypes.c_size_t(1), None, None)[0] == 5
    nothing = (ctypes.c_void_p * 1)()
    found = status_of("lowbit_run", program, ctypes.c_size_t(1), nothing, nothing)
    assert found[0] == 5 and "NULL" in found[1]
    assert status_of("lowbit_run", program, ctypes.c_size_t(0), nothing, nothing)[0] == 0
    assert library().lowbit_inputs(program) == 1 and library().lowbit_outputs(program) == 1
    assert library().lowbit_note(program, b"nothing") is None
    library().lowbit_close(program)
    library().lowbit_close(None)
    assert library().lowbit_inputs(None) == 0


def test_content_may_begin_anywhere() -> None:
    content = content_of(lowbit_mlp((33, 9, 4), 2, 2))
    room = ctypes.create_string_buffer(len(content) + 16)
    for offset in range(9):
        at = ctypes.addressof(room) + offset
        ctypes.memmove(at, content, len(content))
        program = ctypes.c_void_p()
        size = ctypes.c_size_t(len(content))
        opened = library().lowbit_open_memory(ctypes.c_void_p(at), size, None, ctypes.byref(program))
        assert opened == 0, library().lowbit_error()
        library().lowbit_close(program)


def test_samples_that_are_none_are_refused() -> None:
    graph = lowbit_mlp((33, 9, 4), 2, 2)
    runner = load(graph)
    x = np.zeros((3, 33), np.float32)
    x[1, 5] = np.nan
    with pytest.raises(DataError, match="NaN in sample 1"):
        runner.run(x)
    for wrong in (x[:, :5], x[0], x.astype(np.complex64)):
        with pytest.raises(DataError, match="does not fit"):
            runner.run(wrong)
    with pytest.raises(TooLargeError):
        load(graph, memory=10)


def test_open_lengths_are_a_blocker() -> None:
    graph = lowbit_convnet((3, 6, 5), (Convolution(5),), classes=3)
    value = graph.value(graph.inputs[0])
    assert blockers(graph) == []
    from dataclasses import replace

    graph.values[value.name] = replace(value, shape=("n", 3, "h", 5))
    assert "known lengths" in blockers(graph)[0].what
    with pytest.raises(UnsupportedError, match="input_shapes"):
        content_of(graph)


# An installed tree: scripts/c-library builds it and runs these.

needs_tree = pytest.mark.skipif(not INSTALLED.exists(), reason="needs scripts/c-library")


@needs_cc
@needs_tree
@pytest.mark.parametrize("way", ["cc", "pkg-config", "pkg-config static", "cmake", "cmake static"])
def test_the_example_is_built_with_what_is_installed(way: str, tmp_path: Path) -> None:
    library = next(INSTALLED.glob("lib*/pkgconfig")).parent
    static, example = "static" in way, tmp_path / "run"
    environment = {
        **os.environ,
        "PKG_CONFIG_PATH": str(library / "pkgconfig"),
        "LD_LIBRARY_PATH": str(library),
    }
    source = ROOT / "examples/c/run.c"
    if "cmake" in way:
        shutil.copytree(ROOT / "examples/c", tmp_path / "c")
        options = [f"-DCMAKE_PREFIX_PATH={INSTALLED}", f"-DSTATIC={'ON' if static else 'OFF'}"]
        made = ["cmake", "-S", tmp_path / "c", "-B", tmp_path / "build", *options]
        subprocess.run(made, check=True, capture_output=True)
        subprocess.run(["cmake", "--build", tmp_path / "build"], check=True, capture_output=True)
        example = tmp_path / "build/run"
    else:
        flags = [f"-I{INSTALLED / 'include'}", f"-L{library}", "-llowbit"]
        if way != "cc":
            asked = ["pkg-config", "--cflags", "--libs", *(["--static"] if static else []), "lowbit"]
            found = subprocess.run(asked, check=True, capture_output=True, text=True, env=environment).stdout
            flags = found.replace("-llowbit", str(library / "liblowbit.a") if static else "-llowbit").split()
        subprocess.run([CC, *STRICT, source, *flags, "-o", example], check=True)
    net, samples, expected = written(lowbit_mlp((65, 33, 10), 3, 2), tmp_path, 9)
    done = subprocess.run(
        [example, net, samples], check=True, capture_output=True, text=True, env=environment
    )
    found = [[float.fromhex(number) for number in line.split()] for line in done.stdout.splitlines()]
    np.testing.assert_array_equal(np.array(found, np.float32), expected)


@needs_cc
@pytest.mark.skipif(not ONE_LEVEL.exists(), reason="needs scripts/c-library")
def test_a_library_of_one_level_runs_it_and_refuses_others(tmp_path: Path) -> None:
    net, samples, expected = written(lowbit_mlp((65, 33, 10), 3, 2), tmp_path, 9)
    made = compiled("examples/c/run.c", tmp_path)
    environment = {**os.environ, "LD_PRELOAD": str(next(ONE_LEVEL.glob("liblowbit.so")))}

    def run(level: str) -> subprocess.CompletedProcess[str]:
        chosen = {**environment, "LOWBIT_KERNELS": level}
        return subprocess.run([made, net, samples], capture_output=True, text=True, env=chosen)

    for level in ("", "portable"):
        done = run(level)
        found = [[float.fromhex(number) for number in line.split()] for line in done.stdout.splitlines()]
        np.testing.assert_array_equal(np.array(found, np.float32), expected)
    refused = run("avx512_vnni")
    assert refused.returncode != 0
    assert re.search(r"no such kernel level.*one of portable, (avx2|neon); found avx512_vnni", refused.stderr)
