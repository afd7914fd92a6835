"""Packs what scripts/wasm compiled: usage: wasm_module.py ENGINE.wasm COMPILER [--check]."""

import gzip
import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "src/lowbit/ui"
MOST_BYTES = 350 * 1024
"""Of the packed module: a page holds it."""


def sources_hash(root: Path = ROOT) -> str:
    """Return the hash of all that the module is compiled from, by path and content."""
    digest = hashlib.sha256()
    for folder in ("core", "kernels", "capi", "wasm"):
        for path in sorted((root / "cpp" / folder).iterdir()):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update((root / "scripts/wasm").read_bytes())
    return digest.hexdigest()


def main(module: str, compiler: str, check: str = "") -> int:
    """Write the module and what is known of it, or say whether they are what they should be."""
    content = Path(module).read_bytes()
    packed = gzip.compress(content, 9, mtime=0)
    facts = {
        "compiler": compiler,
        "sources": sources_hash(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    print(f"engine.wasm: {len(content):,} bytes, {len(packed):,} packed, SHA-256 {facts['sha256'][:16]}…")
    if len(packed) > MOST_BYTES:
        print(f"the packed module is larger than {MOST_BYTES:,} bytes")
        return 1
    if check:
        same = facts == json.loads((PLACE / "engine.json").read_text())
        print("the module is what the sources make" if same else "it is another one: run scripts/wasm")
        return 0 if same else 1
    (PLACE / "engine.wasm.gz").write_bytes(packed)
    (PLACE / "engine.json").write_text(json.dumps(facts, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
