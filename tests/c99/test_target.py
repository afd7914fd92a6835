"""``lowbit compile net.circle -o net.c``: what is written, what compilers say of it, limits and refusals."""

import subprocess
from pathlib import Path
from shutil import which

import numpy as np
import pytest

import lowbit
from lowbit.c99.target import generated
from lowbit.errors import PlanError, UnsupportedError, UsageError
from lowbit.quantization import Plan, quantize
from lowbit.targets import TARGETS
from tests.command import Command
from tests.conformance.pairs import Case, network
from tests.ir.networks import float_mlp, lowbit_mlp

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wshadow", "-Wconversion")


def written(folder: Path, graph, **options) -> dict[str, int]:
    return TARGETS["c99"].write(graph, folder / "net.c", None, **options)


def needs(tool: str) -> None:
    if which(tool) is None:
        pytest.skip(f"there is no {tool}")


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_compilers_have_nothing_to_say(tmp_path: Path, compiler: str) -> None:
    needs(compiler)
    written(tmp_path, lowbit_mlp((65, 33, 10), 2, 3, softmax=False))
    done = subprocess.run([compiler, *STRICT[:5], "-O2", "-c", "net.c"], cwd=tmp_path, check=False)
    assert done.returncode == 0


def test_what_is_written(tmp_path: Path) -> None:
    said: list[str] = []
    sizes = TARGETS["c99"].write(
        lowbit_mlp((65, 33, 10), 1, 1, softmax=False), tmp_path / "a b.c", said.append
    )
    assert sorted(each.name for each in tmp_path.iterdir()) == ["Makefile", "a b.c", "a b.h"]
    assert "void a_b_run(const a_b_input input[a_b_INPUT_COUNT]" in (tmp_path / "a b.h").read_text()
    assert sizes["weights"] == 4 * (33 * 3 + 10 * 2)
    assert any(f"weights {sizes['weights']:,}" in line for line in said)


@pytest.mark.parametrize("stem", ["a-b.int8", "7 up", "net", 'say "so"'])
def test_whatever_a_file_is_called_it_compiles(tmp_path: Path, stem: str) -> None:
    needs("gcc")
    TARGETS["c99"].write(lowbit_mlp((9, 4, 3), 1, 1, softmax=False), tmp_path / f"{stem}.c", None)
    subprocess.run(["gcc", *STRICT[:5], "-c", f"{stem}.c", "-o", "net.o"], cwd=tmp_path, check=True)
    (tmp_path / "net.o").unlink()
    if (tmp_path / "Makefile").exists() and which("make"):
        subprocess.run(["make", "-s"], cwd=tmp_path, check=True)
        subprocess.run(["make", "-s", "-q"], cwd=tmp_path, check=True)  # it knows what it made
        subprocess.run(["make", "-s", "clean"], cwd=tmp_path, check=True)
    assert '"' in stem or ((tmp_path / "Makefile").exists() and not [*tmp_path.glob("*.o")])


def test_a_makefile_of_ones_own_stays(tmp_path: Path) -> None:
    graph, said, makefile = lowbit_mlp((5, 4, 3), 1, 1, softmax=False), [], tmp_path / "Makefile"
    makefile.write_text("all:\n")
    TARGETS["c99"].write(graph, tmp_path / "net.c", said.append)
    assert makefile.read_text() == "all:\n" and any("stays as it is" in line for line in said)
    makefile.unlink()
    for stem in ("net", "other"):
        written(tmp_path, graph)
        TARGETS["c99"].write(graph, tmp_path / f"{stem}.c")
        assert f"{stem}.o: {stem}.c {stem}.h" in makefile.read_text()


def test_code_is_about_as_large_as_is_said(tmp_path: Path) -> None:
    needs("arm-none-eabi-gcc")
    for bits in ((1, 1), (2, 2), (4, 8)):
        sizes = written(tmp_path, lowbit_mlp((65, 33, 10), *bits, softmax=False), integer_output=True)
        flags = ["-mcpu=cortex-m0", "-mthumb", "-Os", "-std=c99", "-ffreestanding"]
        subprocess.run(["arm-none-eabi-gcc", *flags, "-c", "net.c"], cwd=tmp_path, check=True)
        printed = subprocess.run(
            ["arm-none-eabi-size", "net.o"], cwd=tmp_path, check=True, capture_output=True
        )
        text, _, bss = map(int, printed.stdout.splitlines()[1].split()[:3])
        assert sizes["ram"] == bss
        assert 0.5 < (text - sizes["weights"] - sizes["constants"]) / sizes["code"] < 1.5
        undefined = subprocess.run(
            ["arm-none-eabi-nm", "-u", "net.o"], cwd=tmp_path, check=True, capture_output=True
        )
        assert all(name.startswith(b"__") for name in undefined.stdout.split()[1::2])


def test_limits_say_how_much_and_which_layer(tmp_path: Path) -> None:
    graph = lowbit_mlp((65, 33, 10), 2, 2, softmax=False)
    sizes = written(tmp_path, graph)
    for each in tmp_path.iterdir():
        each.unlink()
    for name in ("flash", "ram"):
        with pytest.raises(PlanError, match="1 too many; most for"):
            written(tmp_path, graph, **{name: sizes[name] - 1})
        assert not list(tmp_path.iterdir())
        written(tmp_path, graph, **{name: sizes[name]})
        for each in tmp_path.iterdir():
            each.unlink()
    with pytest.raises(PlanError, match=r"flash and RAM .*1 too many.*2 too many"):
        written(tmp_path, graph, flash=sizes["flash"] - 1, ram=sizes["ram"] - 2)


def test_floats_between_codes_are_refused_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="FloatFullyConnected") as caught:
        written(tmp_path, float_mlp((9, 7, 5, 4)))
    assert "3 ×" in caught.value.found and not list(tmp_path.iterdir())


def test_float_sums_are_refused_with_their_remedy(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from tests.ir.networks import float_convnet

    graph = float_convnet()
    samples = np.random.default_rng(0).normal(size=(8, 3, 9, 8)).astype(np.float32)
    low = quantize(graph, samples, Plan(weight_bits=2, activation_bits=2, sums="real", restarts=0, rounds=1))[
        0
    ]
    with pytest.raises(UnsupportedError, match="things keep this network from C99") as caught:
        written(tmp_path, low)
    assert "Add: C99 has no step Combine" in caught.value.found
    assert "--sums fixed" in caught.value.remedy and not list(tmp_path.iterdir())


def test_what_pads_bytes_stands_for_zero() -> None:
    source = generated(network(Case("affine:8", "affine:8", "convolution", "affine:8")), "net")
    assert ".zero = 0}" not in source.code and "row_regions" not in source.code


def test_options_belong_to_targets(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--flash"):
        TARGETS["program"].write(lowbit_mlp((5, 4, 3), 2, 2), tmp_path / "net.lbp", None, flash=5)


def test_limits_are_written_as_people_write_them(command: Command, tmp_path: Path) -> None:
    model, words = str(tmp_path / "net.circle"), ("-o", str(tmp_path / "net.c"), "--input", "float")
    lowbit.write(lowbit_mlp((33, 17, 9), 2, 2), model)
    code, _, said = command("compile", model, *words, "--flash", "0.1K")
    assert code != 0 and "102" in said and not (tmp_path / "net.c").exists()
    code, said, _ = command("compile", model, *words, "--flash", "64K", "--ram", "65536")
    assert code == 0, said
    code, _, said = command("compile", model, *words, "--ram", "much")
    assert code != 0 and "such as" in said and "--ram" in said
