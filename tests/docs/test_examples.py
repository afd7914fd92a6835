"""Every page does what it says: a page with something to run stands below."""

import shutil
from pathlib import Path

import pytest

from tests.docs.examples import ROOT, blocks, follow

FOLLOWED = {
    "docs/tutorials/onnx.md": (),
    "docs/tutorials/torch.md": ("torch",),
    "docs/tutorials/board.md": ("cc", "arm-none-eabi-gcc", "qemu-system-arm"),
    "docs/page.md": (),
}
"""What each needs: packages, or programs."""

LONG = ("docs/tutorials/torch.md", "docs/tutorials/board.md")
"""Those that take many seconds."""

ELSEWHERE = {
    "README.md": "tests/test_readme.py",
    "docs/training.md": "tests/test_readme.py",
    "docs/guides/own-network.md": "tests/train/test_guide.py",
}
"""Pages whose blocks another test runs."""

READ = {
    "docs/analysis.md": "of a VGG16 that is trained for hours",
    "docs/doctor.md": "goes into a loop of somebody's own",
    "docs/training-rules.md": "what a gradient rule looks like",
    "docs/planning.md": "of the reader's own files; the tutorial on ONNX does the same on digits",
    "docs/hardware.md": "synthesizes for minutes; tests/rtl do it for small networks",
    "docs/machine.md": "measures the machine for minutes",
    "docs/guides/microcontroller.md": "the tutorial on boards does the same",
    "docs/guides/raspberry-pi.md": "cross-compiles the library: scripts/aarch64 does it",
}
"""Pages whose blocks are not run, and why."""


def test_every_page_with_something_to_run_is_known() -> None:
    pages = {ROOT / "README.md", *(ROOT / "docs").rglob("*.md")} - {ROOT / "docs/site/index.md"}
    found = {
        page.relative_to(ROOT).as_posix()
        for page in sorted(pages)
        if any(block.runs or block.language == "" for block in blocks(page))
    }
    known = {*FOLLOWED, *ELSEWHERE, *READ}
    assert found <= known, sorted(found - known)
    assert not [name for name in known if not (ROOT / name).exists()]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.nightly if name in LONG else ()) for name in FOLLOWED]
)
def test_a_page_does_what_it_says(name: str, tmp_path: Path) -> None:
    for need in FOLLOWED[name]:
        if need == "torch":
            pytest.importorskip(need)
        elif shutil.which(need) is None:
            pytest.skip(f"needs {need}")
    assert follow(ROOT / name, tmp_path)


def test_what_is_not_printed_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\necho one two\n```\n\n```text\none   two\n```\n")
    assert follow(page, tmp_path / "a") == "one two\n"
    page.write_text("```sh\necho one\n```\n\n```text\ntwo\n```\n")
    with pytest.raises(AssertionError, match="two"):
        follow(page, tmp_path / "b")
    page.write_text("```sh\nlowbit nothing\n```\n")
    with pytest.raises(AssertionError, match="nothing"):
        follow(page, tmp_path / "c")
