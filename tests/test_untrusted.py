"""Files are opened carefully and written whole or not at all."""

import os
import stat

import pytest

from lowbit import untrusted
from lowbit.errors import FileError, TooLargeError, UnsafeFileError, WriteError
from lowbit.untrusted import KeptFile, read_file, read_start, require_writable, write_atomic


def _complete(error: pytest.ExceptionInfo[FileError], path) -> bool:
    facts = (error.value.expected, error.value.found, error.value.remedy)
    return str(path) in error.value.where and all(facts)


def test_what_is_read_stays_as_it_was(tmp_path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    content = read_file(path)
    assert content == b"abc" and read_start(path, 2) == b"ab"
    path.write_bytes(b"")
    assert content == b"abc" and read_file(path) == b""


@pytest.mark.parametrize("read", [read_file, lambda path: read_start(path, 4)])
def test_what_is_no_regular_file_is_refused(tmp_path, read) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # opening it must not wait for a writer
    for path in (tmp_path, pipe, "/dev/zero"):
        with pytest.raises(UnsafeFileError) as error:
            read(path)
        assert _complete(error, path)


def test_size_is_checked_before_reading(tmp_path) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse: a terabyte that takes no room
    with pytest.raises(TooLargeError, match=str(2**40)) as error:
        read_file(path)
    assert _complete(error, path)
    path.write_bytes(b"12345")
    assert len(read_file(path, limit=5)) == 5
    with pytest.raises(TooLargeError):
        read_file(path, limit=4)


def test_missing_files(tmp_path) -> None:
    with pytest.raises(FileError, match="No such file") as error:
        read_file(tmp_path / "absent")
    assert _complete(error, tmp_path / "absent")
    with pytest.raises(FileError):
        read_file("a\0b")


@pytest.mark.parametrize("content", [b"new", bytearray(b"new"), [b"n", b"e", b"w"]])
def test_write_replaces_and_leaves_nothing_else(tmp_path, content) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    path.chmod(0o640)
    write_atomic(path, content)
    assert path.read_bytes() == b"new" and [entry.name for entry in tmp_path.iterdir()] == ["f"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_new_file_has_the_usual_permissions(tmp_path) -> None:
    (tmp_path / "usual").touch()
    write_atomic(tmp_path / "f", b"x")
    assert (tmp_path / "f").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_failure_keeps_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(untrusted.os, "fsync", full)
    with pytest.raises(WriteError, match="No space left") as error:
        write_atomic(path, b"new")
    assert _complete(error, path)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_a_generator_that_fails_leaves_nothing(tmp_path) -> None:
    def chunks():
        yield b"half"
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_atomic(tmp_path / "f", chunks())
    assert not list(tmp_path.iterdir())


def test_targets_that_cannot_be(tmp_path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "absent" / "f", tmp_path / "folder", tmp_path / "pipe", tmp_path / ("n" * 300)):
        with pytest.raises(WriteError) as error:
            write_atomic(path, b"x")
        assert _complete(error, path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder", "pipe"]


def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "real").write_bytes(b"old")
    chain, link, dangling = tmp_path / "chain", tmp_path / "link", tmp_path / "dangling"
    link.symlink_to(folder / "real")
    chain.symlink_to("link")
    dangling.symlink_to(folder / "new")
    write_atomic(chain, b"new")
    write_atomic(dangling, b"made")
    assert chain.is_symlink() and link.is_symlink() and dangling.is_symlink()
    assert (folder / "real").read_bytes() == b"new" and (folder / "new").read_bytes() == b"made"


def test_links_that_lead_nowhere_and_impossible_names_are_refused(tmp_path) -> None:
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    (tmp_path / "away").symlink_to(tmp_path / "absent" / "f")
    (tmp_path / "folder").symlink_to(tmp_path)
    for name in ("self", "one", "away", "folder", "zero\0"):
        with pytest.raises(WriteError) as error:
            write_atomic(tmp_path / name, b"x")
        assert _complete(error, tmp_path / name)
    assert len(list(tmp_path.iterdir())) == 5 and all(path.is_symlink() for path in tmp_path.iterdir())


def test_a_place_to_write_is_tried_and_left_as_it_was(tmp_path) -> None:
    (tmp_path / "here").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.iterdir())
    for name in ("here", "new"):
        require_writable(tmp_path / name)
    for name in ("folder", "pipe", "absent/new", "here/new", "n" * 300, "a\0b"):
        with pytest.raises(WriteError) as error:
            require_writable(tmp_path / name)
        assert _complete(error, tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before and (tmp_path / "here").read_bytes() == b"old"


def test_a_kept_file_is_itself_until_it_is_written_into(tmp_path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"first")
    kept = KeptFile(path)
    write_atomic(path, b"other")
    assert kept.read() == b"first"
    path.unlink()
    assert kept.read() == b"first"
    path.write_bytes(b"first")
    again = KeptFile(path)
    with path.open("r+b") as file:
        file.write(b"other longer")
    with pytest.raises(FileError, match="was changed") as caught:
        again.read()
    assert caught.value.where == str(path)
