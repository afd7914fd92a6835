"""README and the pages that it leads to say what results say, and their Python runs."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def test_tables_are_those_of_the_results() -> None:
    subprocess.run([sys.executable, ROOT / "benchmarks" / "readme.py", "--check"], check=True)


EXTRAS = ("h5py", "PIL", "pyarrow", "sklearn", "torch", "matplotlib", "joblib", "onnxruntime", "amaranth")


def pasted(block: str, folder: Path, extras: tuple[str, ...]) -> str:
    """Paste a block of README into a fresh folder, without the packages named, and return what it prints."""
    (folder / "hidden").mkdir()
    hide = f"import sys\nsys.modules.update(dict.fromkeys({extras!r}))\n"
    (folder / "hidden" / "sitecustomize.py").write_text(hide)
    (folder / "bin").mkdir()
    for name, code in (("lowbit", "-m lowbit"), ("python", "")):
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {code} "$@"\n')
        (folder / "bin" / name).chmod(0o755)
    names = {
        **os.environ,
        "PYTHONPATH": str(folder / "hidden"),
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
    }
    work = folder / "fresh"
    work.mkdir()
    done = subprocess.run(
        ["sh", "-e"], input=block, cwd=work, env=names, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_first_commands_can_be_pasted_with_the_core_alone(tmp_path: Path) -> None:
    install, commands, *_ = blocks("")
    assert install.startswith("pip install .")
    out = pasted(commands, tmp_path, EXTRAS)
    assert "top-1 96.40% of 500 samples" in " ".join(out.replace(", top-5 99.80%", "").split())
    made = {"mlp.onnx", "mlp.circle", "mlp.circle.certificate.json", "report.html"}
    assert {path.name for path in (tmp_path / "fresh").iterdir()} == made


def test_the_first_python_can_be_pasted_with_the_core_alone(tmp_path: Path) -> None:
    code = blocks("python")[0]
    out = pasted(f"python - <<'END'\n{code}\nEND\n", tmp_path, EXTRAS)
    assert "'top1': 0.964" in out and "'top1': 0.964" in code


def test_the_training_example_runs() -> None:
    pytest.importorskip("torch")
    names = run_example("lowbit.nn", "docs/training.md")
    assert [node.op for node in names["graph"].nodes].count("Convolution") == 5


def test_every_link_leads_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
        assert not [link for link in links if not (page.parent / link).exists()], page.name


def blocks(language: str, page: str = "README.md") -> list[str]:
    """Return what stands between fences of a language, in order."""
    text = (ROOT / page).read_text()
    return [
        body
        for kind, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.M)
        if kind == language
    ]


def run_example(about: str, page: str) -> dict[str, Any]:
    """Run the first example of a page that mentions something and return its names."""
    names: dict[str, Any] = {}
    code = next(text for text in blocks("python", page) if about in text)
    exec(compile(code, page, "exec"), names)  # noqa: S102
    return names
