"""What was verified, as a file that another machine checks: hashes, versions and test vectors.

    {"lowbit_certificate": 1,
     "network": {"file", "bytes", "sha256", "graph_sha256"},
     "verified": {"data", "split", "samples", "rows": [{"backend", "status", "samples", "values"}]},
     "vectors": {"inputs": {name: array}, "outputs": {name: array}, "codes": {name: sha256}},
     "made": {…}, "sha256": of all the rest}

An array is ``{"dtype", "shape", "data"}``, little-endian bytes in base64. ``codes`` has the hash of every
value between inputs and outputs that is integers, over the vectors: the first that differs says where.
"""

import base64
import hashlib
import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from lowbit import api
from lowbit.analysis.comparison import different
from lowbit.errors import FileError, MismatchError, ModelFormatError
from lowbit.ir import Graph, evaluate, to_text
from lowbit.ir.graph import Array
from lowbit.provenance import provenance
from lowbit.untrusted import read_file, write_atomic

VERSION = 1
VECTOR_BYTES = 1 << 18
"""Of inputs in a certificate; at least one sample, whatever it takes."""

VECTORS = 8
_LARGEST = 1 << 26
_FORM = {
    "network": {"graph_sha256": str},
    "verified": {"rows": [dict]},
    "vectors": {"inputs": dict, "outputs": dict, "codes": dict},
    "made": dict,
}
_TYPES = {name: name for name in ("float32", "uint8", "uint16", "int8", "int16", "int32", "int64", "bool")}


@dataclass(frozen=True, eq=False)
class Certificate:
    """What was verified of a network.

    Attributes:
        content: as the file has it; see this module.
    """

    content: dict[str, Any]

    def write(self, path: str | PathLike[str]) -> None:
        """Write it as JSON.

        Raises:
            WriteError: there is no writing there.
        """
        write_atomic(path, (json.dumps(self.content, indent=1) + "\n").encode())


@dataclass(frozen=True)
class Checked:
    """What a check found, nothing amiss.

    Attributes:
        vectors: how many samples were computed again.
        codes: how many values were compared by their hash.
        rows: what the certificate says was verified where it was made.
        made: where, when and by which version.
    """

    vectors: int
    codes: int
    rows: tuple[dict[str, Any], ...]
    made: dict[str, Any]


def certify(
    graph: Graph, path: Path | None, inputs: Mapping[str, Array], facts: dict[str, Any]
) -> Certificate:
    """Return the certificate of what was verified.

    Args:
        graph, path: the network, and the file it is in.
        inputs: samples; some of them become test vectors.
        facts: of the run: data, samples, rows.
    """
    size = sum(array[:1].nbytes for array in inputs.values())
    count = max(1, min(VECTORS, VECTOR_BYTES // max(size, 1)))
    vectors = {name: array[:count] for name, array in inputs.items()}
    outputs, codes = _computed(graph, vectors)
    content = {
        "lowbit_certificate": VERSION,
        "network": {"graph_sha256": digest(graph), **({} if path is None else _file(path))},
        "verified": facts,
        "vectors": {
            "inputs": {name: _packed(array) for name, array in vectors.items()},
            "outputs": {name: _packed(array) for name, array in outputs.items()},
            "codes": codes,
        },
        "made": provenance("lowbit verify NETWORK --data DATA"),
    }
    return Certificate({**content, "sha256": hash_of(content)})


def check(network: str | PathLike[str], certificate: str | PathLike[str]) -> Checked:
    """Compute a certificate's test vectors again, and return what was compared.

    Args:
        network: the file that the certificate is of.
        certificate: its file.

    Raises:
        ModelFormatError: the certificate is damaged, or of a version that this one does not know.
        MismatchError: it is of another file, or the network computes other integers here: names the first
            value that differs.
    """
    path, content = Path(network), read_certificate(Path(certificate))
    _require_same_file(path, content["network"], str(certificate))
    graph = api.read(path)
    if digest(graph) != content["network"]["graph_sha256"]:
        raise MismatchError(
            "the certificate is of another network",
            where=str(path),
            expected=f"that of {certificate}",
            found="other constants or nodes: the file's own bytes are the same, files beside it are not",
            remedy="Verify the network again: lowbit verify.",
        )
    vectors = content["vectors"]
    inputs = {name: _unpacked(array, str(certificate)) for name, array in vectors["inputs"].items()}
    outputs, codes = _computed(graph, inputs)
    for name, found in codes.items():
        if vectors["codes"].get(name) != found:
            raise _differs(path, name, "other codes than where it was verified")
    for name, array in outputs.items():
        expected = _unpacked(vectors["outputs"].get(name, {}), str(certificate))
        if expected.shape != array.shape or different(expected, array).any():
            raise _differs(path, name, "other outputs than where it was verified")
    count = len(next(iter(inputs.values())))
    return Checked(count, len(codes), tuple(content["verified"]["rows"]), content["made"])


def read_certificate(path: Path) -> dict[str, Any]:
    """Return a certificate's content, its form and its own hash checked.

    Raises:
        FileError: there is no such file.
        ModelFormatError: it is no certificate, damaged, or of another version.
    """
    try:
        content = json.loads(read_file(path, limit=_LARGEST))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"no JSON: {error}") from None
    if not isinstance(content, dict) or "lowbit_certificate" not in content:
        raise _damaged(path, "a file that is no certificate")
    if content["lowbit_certificate"] != VERSION:
        raise ModelFormatError(
            "this version of lowbit does not know the certificate",
            where=str(path),
            expected=f"version {VERSION}",
            found=f"version {content['lowbit_certificate']}",
            remedy="Check it with the version of lowbit that made it.",
        )
    own = content.pop("sha256", None)
    if own != hash_of(content):
        raise _damaged(path, "other content than its hash is of")
    if not _has_form(content, _FORM):
        raise _damaged(path, "other fields than a certificate has")
    return content


def _has_form(content: Any, form: Any) -> bool:
    """Return whether content has all fields of a form, of its types."""
    if isinstance(form, type):
        return isinstance(content, form)
    if isinstance(form, list):
        return isinstance(content, list) and all(_has_form(each, form[0]) for each in content)
    return isinstance(content, dict) and all(_has_form(content.get(key), each) for key, each in form.items())


def digest(graph: Graph) -> str:
    """Return the hash of a network: its nodes, types and all constants, wherever a file keeps them."""
    found = hashlib.sha256(to_text(graph, constants=False).encode())
    for name, value in sorted(graph.values.items()):
        if value.data is not None:
            found.update(f"{name} {value.dtype} {value.shape}".encode())
            found.update(np.ascontiguousarray(value.data).tobytes())
    return found.hexdigest()


def _computed(graph: Graph, inputs: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the definition's outputs, and the hash of every value that is integers."""
    codes: dict[str, str] = {}

    def observe(name: str, array: Array) -> None:
        if array.dtype.kind in "iub" and name not in graph.inputs:
            codes[name] = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()

    return evaluate(graph, inputs, observe), codes


def _file(path: Path) -> dict[str, Any]:
    content = read_file(path)
    return {"file": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _require_same_file(path: Path, network: dict[str, Any], certificate: str) -> None:
    found = _file(path)
    if network.get("sha256") in (None, found["sha256"]):
        return
    same_size = found["bytes"] == network.get("bytes")
    raise MismatchError(
        "the certificate is of another file",
        where=str(path),
        expected=f"{network.get('file')} of {network.get('bytes')} bytes, "
        f"SHA-256 {str(network['sha256'])[:16]}…",
        found=f"{'as many' if same_size else found['bytes']} bytes, SHA-256 {found['sha256'][:16]}…",
        remedy=f"Use the file that {certificate} was made with, or verify this one: lowbit verify.",
    )


def _differs(path: Path, name: str, found: str) -> MismatchError:
    return MismatchError(
        "the network computes something else here",
        where=f"{path}, {name}",
        expected="the certificate's integers",
        found=found,
        remedy="Run lowbit verify here: it says which back end and node.",
    )


def _damaged(path: Path, found: str) -> FileError:
    return ModelFormatError(
        "the certificate is damaged",
        where=str(path),
        expected="what lowbit verify wrote",
        found=found,
        remedy="Take it again from where it was made.",
    )


def hash_of(content: dict[str, Any]) -> str:
    """Return the hash of a certificate's content, less the hash itself."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _packed(array: Array) -> dict[str, Any]:
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "data": base64.b64encode(little.tobytes()).decode(),
    }


def _unpacked(stored: Any, where: str) -> Array:
    """Return an array of a certificate, whose hash somebody may have made to fit."""
    try:
        dtype = np.dtype(_TYPES[stored["dtype"]])
        flat = np.frombuffer(base64.b64decode(stored["data"], validate=True), dtype.newbyteorder("<"))
        return flat.reshape(_lengths(stored["shape"])).astype(dtype)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _damaged(Path(where), f"an array that is none: {error}") from None


def _lengths(shape: Any) -> tuple[int, ...]:
    """Return lengths as they are; -1, which would stand for what is left over, is none."""
    return tuple(operator.index(length) if length != -1 else -2 for length in shape)
