"""A certificate holds elsewhere, and for no other file, network or integers."""

import json
from pathlib import Path

import numpy as np
import pytest

from lowbit.errors import FileError, LowbitError, MismatchError
from lowbit.formats import write_model
from lowbit.verification import certificate, check, verify
from tests.command import Command
from tests.ir.networks import lowbit_mlp


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path]:
    """Return a network's file, and its certificate."""
    network, kept = tmp_path / "net.circle", tmp_path / "net.json"
    write_model(lowbit_mlp((65, 33, 10), 2, 2), network)
    verify(network, backends=["engine:portable"]).certificate.write(kept)
    return network, kept


def test_it_holds(made: tuple[Path, Path]) -> None:
    found = check(*made)
    assert found.vectors == certificate.VECTORS and found.codes == 2
    assert [row["backend"] for row in found.rows] == ["engine:portable"]
    assert {row["status"] for row in found.rows} == {"equal"}


@pytest.mark.parametrize("share", np.linspace(0, 0.999, 9))
def test_one_bit_of_the_file_is_enough(made: tuple[Path, Path], share: float) -> None:
    network, kept = made
    content = bytearray(network.read_bytes())
    content[int(share * len(content))] ^= 1
    network.write_bytes(content)
    with pytest.raises(MismatchError, match="another file") as refused:
        check(network, kept)
    assert refused.value.where == str(network) and "as many bytes" in refused.value.found


def rewritten(kept: Path, **parts: object) -> None:
    """Change a certificate and make its hash fit, as somebody may who wants to be believed."""
    content = json.loads(kept.read_text())
    content.pop("sha256")
    content |= parts
    kept.write_text(json.dumps({**content, "sha256": certificate.hash_of(content)}))


def test_other_integers_are_found(made: tuple[Path, Path]) -> None:
    network, kept = made
    vectors = json.loads(kept.read_text())["vectors"]
    first = next(iter(vectors["codes"]))
    rewritten(kept, vectors=vectors | {"codes": vectors["codes"] | {first: "0" * 64}})
    with pytest.raises(MismatchError, match=first):
        check(network, kept)
    name, output = next(iter(vectors["outputs"].items()))
    wrong = certificate._packed(certificate._unpacked(output, "") + np.float32(1))
    rewritten(kept, vectors=vectors | {"outputs": {name: wrong}})
    with pytest.raises(MismatchError, match=name):
        check(network, kept)


def test_another_graph_of_the_same_bytes(made: tuple[Path, Path]) -> None:
    network, kept = made
    facts = json.loads(kept.read_text())["network"]
    rewritten(kept, network=facts | {"graph_sha256": "0" * 64})
    with pytest.raises(MismatchError, match="files beside it"):
        check(network, kept)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"[" * 100_000, b'{"lowbit_certificate": 2}', b'{"lowbit_certificate": 1}', b"\xff"],
)
def test_what_is_no_certificate(made: tuple[Path, Path], content: bytes) -> None:
    network, kept = made
    kept.write_bytes(content)
    with pytest.raises(FileError):
        check(network, kept)


def test_a_changed_certificate_is_damaged(made: tuple[Path, Path]) -> None:
    network, kept = made
    content = kept.read_text()
    kept.write_text(content.replace('"samples": 32', '"samples": 99'))
    with pytest.raises(FileError, match="damaged"):
        check(network, kept)
    for part in ("network", "vectors", "verified", "made"):
        kept.write_text(content)
        rewritten(kept, **{part: None})
        with pytest.raises(LowbitError, match="damaged"):
            check(network, kept)


def test_the_command(made: tuple[Path, Path], tmp_path: Path, command: Command) -> None:
    network, _ = made
    code, out, _ = command("verify", str(network), "--backend", "engine:portable", "--json")
    said = json.loads(out)
    assert code == 0 and said["equal"] and said["rows"][0]["status"] == "equal"
    written = Path(said["certificate"])
    assert written == tmp_path / "net.circle.certificate.json"
    assert command("verify", str(network), "--certificate", str(written))[0] == 0
    network.write_bytes(network.read_bytes()[:-1] + b"\x01")
    code, _, said = command("verify", str(network), "--certificate", str(written))
    assert code == 11 and "another file" in said
