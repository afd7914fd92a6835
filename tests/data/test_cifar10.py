"""CIFAR-10 in its three forms: the same pictures, and what is refused."""

import pickle  # noqa: TID251 - to compare with, and to make the attack
import pickletools
from pathlib import Path

import numpy as np
import pytest

from lowbit.data import load
from lowbit.data.batch import read_batch
from lowbit.errors import DataError, FileError, UnsafeFileError
from tests.data.cifar10_files import CLASSES, PIXELS, array, batch, records, short


def test_the_binary_version(tmp_path: Path) -> None:
    for number in (2, 1):
        (tmp_path / f"data_batch_{number}.bin").write_bytes(records(PIXELS + number))
    (tmp_path / "test_batch.bin").write_bytes(records(PIXELS[:2], CLASSES[:2]))
    train, test = load(tmp_path), load(tmp_path, "test")
    wanted = np.concatenate([PIXELS + 1, PIXELS + 2])
    np.testing.assert_array_equal(train.samples, wanted.astype(np.float32) / 255)
    np.testing.assert_array_equal(train.labels, np.tile(CLASSES, 2))
    assert test.samples.shape == (2, 3, 32, 32) and train.exactness == ""


def test_batches_of_python(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(batch())
    (tmp_path / "batches.meta").write_bytes(b"not read")
    found = load(tmp_path)
    np.testing.assert_array_equal(found.samples, PIXELS.astype(np.float32) / 255)
    np.testing.assert_array_equal(found.labels, CLASSES)


def test_the_batches_of_these_tests_are_pickles_that_python_reads() -> None:
    found = pickle.loads(batch(), encoding="bytes")  # noqa: S301 - made here
    np.testing.assert_array_equal(found[b"data"], PIXELS.reshape(7, -1))
    assert found[b"labels"] == CLASSES.tolist()


def test_binary_files_are_preferred(tmp_path: Path) -> None:
    (tmp_path / "test_batch").write_bytes(b"never read")
    (tmp_path / "test_batch.bin").write_bytes(records())
    assert len(load(tmp_path, "test")) == 7


@pytest.mark.parametrize("content", [records()[:-1], b"", b"\x0a" + records()[1:]])
def test_damaged_records_name_the_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "test_batch.bin").write_bytes(content)
    with pytest.raises(FileError, match=r"test_batch\.bin.*Fetch it again"):
        load(tmp_path, "test")


def test_a_missing_split_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "test_batch.bin").write_bytes(records())
    with pytest.raises(DataError, match=r"split train.*test_batch\.bin"):
        load(tmp_path)


class Caller:
    """Calls out when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("called",)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_what_would_run_something_is_refused_where_it_stands(
    protocol: int, capsys: pytest.CaptureFixture[str]
) -> None:
    content = pickle.dumps({b"data": Caller(), b"labels": []}, protocol)
    with pytest.raises((UnsafeFileError, FileError)):
        read_batch(content, "bad")
    assert capsys.readouterr().out == ""


def test_every_opcode_of_pickle_but_those_of_batches_is_refused_by_name_and_offset() -> None:
    used = {opcode.code for opcode, _, _ in pickletools.genops(batch())}
    known = used | set("sarhjq")  # a dict of one key, and more than 255 things
    for opcode in pickletools.opcodes:
        if opcode.code in known:
            continue
        content = b"\x80\x02}" + opcode.code.encode("latin-1") + bytes(64)
        with pytest.raises(UnsafeFileError, match=r"opcode .* at offset 3"):
            read_batch(content, "bad")


@pytest.mark.parametrize(
    "name", [b"cos\nsystem\n", b"cbuiltins\neval\n", b"cnumpy\nload\n", b"c__builtin__\nxrange\n"]
)
def test_other_names_are_refused(name: bytes) -> None:
    with pytest.raises(UnsafeFileError, match=name.split()[0][1:].decode()):
        read_batch(b"\x80\x02" + name + b"U\x04true\x85R.", "bad")


PIECES = {
    "a call of the wrong thing": b"\x80\x02cnumpy\nndarray\nK\x05\x85R.",
    "a type that is not bytes": batch().replace(b"u1", b"f4"),
    "a state for a string": b"\x80\x02U\x01aK\x01b.",
}


@pytest.mark.parametrize("content", PIECES.values(), ids=PIECES)
def test_objects_that_batches_do_not_hold(content: bytes) -> None:
    with pytest.raises(UnsafeFileError):
        read_batch(content, "bad")


DAMAGED = {
    "cut": batch()[:-1],
    "empty": b"",
    "other protocol": b"\x80\x04N.",
    "nothing on the stack": b"\x80\x02.",
    "no mark": b"\x80\x02}u.",
    "no dict": b"\x80\x02]" + short(b"a") + b"Ns.",
    "odd items": b"\x80\x02}(Nu.",
    "a number as key": b"\x80\x02}K\x01Ns.",
    "never remembered": b"\x80\x02h\x07.",
    "no labels": b"\x80\x02}" + short(b"data") + array(PIXELS) + b"s.",
    "labels are strings": batch().replace(b"(K\x09K\x00", b"(U\x01aN"),
    "fewer bytes than the shape": array(PIXELS).replace(b"M\x07\x00", b"M\x08\x00").join((b"\x80\x02", b".")),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_batches(content: bytes) -> None:
    with pytest.raises(FileError, match="damaged"):
        read_batch(content, "bad")


def test_labels_and_pictures_must_agree(tmp_path: Path) -> None:
    (tmp_path / "test_batch").write_bytes(batch(classes=CLASSES[:5]))
    with pytest.raises(FileError, match="test_batch"):
        load(tmp_path, "test")
    (tmp_path / "test_batch").write_bytes(batch(classes=CLASSES + 1))
    with pytest.raises(FileError, match="classes 0 to 9"):
        load(tmp_path, "test")
