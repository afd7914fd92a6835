"""Makes the site from docs/ as they stand: ``python docs/site/make.py OUTPUT``, or `scripts/site`.

Pages keep their places, so that links between them lead where they lead in a clone. What they link to comes
along: pages of results as pages, other files as files. References are made of the code: see `reference.py`.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
TOP = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def lay_out(place: Path) -> None:
    """Lay all sources out in a folder, which is made anew."""
    shutil.rmtree(place, ignore_errors=True)
    waiting = [ROOT / name for name in TOP]
    waiting += [page for page in sorted((ROOT / "docs").rglob("*.md")) if HERE not in page.parents]
    known: set[Path] = set()
    while waiting:
        source = waiting.pop()
        if source in known or source.is_dir():
            continue
        known.add(source)
        target = place / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix != ".md":
            shutil.copy(source, target)
            continue
        text = source.read_text()
        target.write_text(titled(text, source.stem))
        waiting += [(source.parent / link).resolve() for link, _ in LINK.findall(text)]
    in_navigation = set(re.findall(r"^(?:.* <)?([\w/.-]+)>?$", (HERE / "index.md").read_text(), re.M))
    for page in place.rglob("*.md"):
        name = page.relative_to(place).with_suffix("").as_posix()
        if name not in in_navigation:
            page.write_text(f"---\norphan: true\n---\n{page.read_text()}")
    shutil.copy(HERE / "index.md", place)
    shutil.copy(HERE / "conf.py", place)
    (place / "static").mkdir()
    shutil.copy(HERE / "site.css", place / "static")


def titled(text: str, stem: str) -> str:
    """Return a page that begins with a title, as some tables of results do not."""
    return text if text.startswith("# ") else f"# {stem}\n\n{text}"


def main(output: str) -> int:
    """Make the site; a warning is an error."""
    sys.path.insert(0, str(HERE))
    from reference import write_demo, write_references

    made, source = Path(output), Path(output).with_name("site-source")
    lay_out(source)
    write_references(source / "reference")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", source, made]
    code = subprocess.run(command, check=False).returncode
    if code == 0:
        write_demo(made / "demo.html", ROOT / "results/networks/lst1-seed0.onnx")
        print(f"{made / 'index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
