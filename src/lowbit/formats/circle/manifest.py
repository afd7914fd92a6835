"""The manifest of a ``.circle`` file: versions, schemes per layer, and the SHA-256 of the file.

    {"format": 1, "layers": [{"name", "scheme", "weight_bits", "activation_bits"}, …],
     "sha256": "…", "tool": "lowbit 0.1.0"}

The hash is of the whole file with the 64 digits of the hash itself read as zeros. It is not checked
when a model is loaded, which must take milliseconds, but by `verify_manifest`.
"""

import hashlib
import json
import os
import re
from typing import Any

from lowbit.errors import ModelFormatError
from lowbit.formats.circle.model_file import read_model
from lowbit.formats.circle.schema import Model
from lowbit.ir import Graph
from lowbit.ir.layers import layers_of
from lowbit.untrusted import read_file

MANIFEST = "lowbit.manifest"
FORMAT = 1
_NO_HASH = "0" * 64
_SHA256 = re.compile("[0-9a-f]{64}")
_CHUNK = 2**20


def manifest_of(graph: Graph, version: str) -> bytes:
    """Return the manifest of a graph; `seal` fills in the hash."""
    text = {"format": FORMAT, "layers": _layers(graph), "sha256": _NO_HASH, "tool": f"lowbit {version}"}
    return json.dumps(text, sort_keys=True, separators=(",", ":")).encode()


def seal(content: bytearray, manifest: bytes) -> None:
    """Put the hash of the file into its manifest, in place."""
    place = content.rindex(manifest) + manifest.index(_NO_HASH.encode())
    digest = hashlib.sha256(content).hexdigest().encode()
    content[place : place + len(digest)] = digest


def read_manifest(model: Model, where: str) -> dict[str, Any]:
    """Return the manifest of a model, or an empty one where there is none.

    Raises:
        ModelFormatError: it is not JSON, or of a later format.
    """
    data = _content(model)
    if data is None:
        return {}
    try:
        manifest = json.loads(data)
        known = isinstance(manifest, dict) and manifest["format"] == FORMAT
    except (ValueError, KeyError, RecursionError) as error:
        raise _bad(where, "the manifest cannot be read", "JSON", str(error)[:80]) from error
    if not known:
        raise _bad(where, "the manifest is of another format", str(FORMAT), repr(manifest)[:80])
    return dict(manifest)


def verify_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the manifest of a file whose hash is right.

    Raises:
        ModelFormatError: there is no manifest, or a byte of the file was changed.
    """
    where = os.fspath(path)
    content = read_file(path)
    model = read_model(content, where)
    manifest = read_manifest(model, where)
    data = _content(model)
    digest = manifest.get("sha256")
    if data is None or not isinstance(digest, str):
        raise _bad(where, "the file has no manifest", MANIFEST, "none")
    place = data.find(digest.encode()) if _SHA256.fullmatch(digest) else -1
    if place < 0:
        raise _bad(where, "the hash is none", "64 hexadecimal digits, written as they are", repr(digest)[:80])
    at = content.rfind(data) + place
    found = _digest(content, at, at + len(_NO_HASH))
    if found != digest:
        raise _bad(where, "the file was changed after it was written", digest, found)
    return manifest


def _content(model: Model) -> bytes | None:
    for entry in model.metadata:
        if entry.name == MANIFEST and entry.buffer < len(model.buffers):
            data = model.buffers[entry.buffer].data
            return None if data is None else data.tobytes()
    return None


def _digest(content: Any, start: int, stop: int) -> str:
    """Return the hash of the content with the bytes from start to stop read as zero digits."""
    digest = hashlib.sha256()
    for begin, end in ((0, start), (stop, len(content))):
        for at in range(begin, end, _CHUNK):
            digest.update(content[at : min(at + _CHUNK, end)])
        if end == start:
            digest.update(_NO_HASH.encode())
    return digest.hexdigest()


def _layers(graph: Graph) -> list[dict[str, object]]:
    return [
        {
            "name": layer.name,
            "scheme": layer.scheme,
            "weight_bits": layer.weight_bits,
            "activation_bits": layer.activation_bits,
        }
        for layer in layers_of(graph)
        if layer.scheme != "float"
    ]


def _bad(where: str, rule: str, expected: str, found: str) -> ModelFormatError:
    return ModelFormatError(
        rule, where=where, expected=expected, found=found, remedy="Write or fetch the file again."
    )
