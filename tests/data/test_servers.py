"""Servers that answer with nonsense, and addresses that are none: each is an error of ours."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from lowbit.data import fetch
from lowbit.errors import DataError

OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "nothing": b"",
    "no status": b"hello\r\n\r\n",
    "a bad status": b"HTTP/1.1 abc\r\n\r\n",
    "another version": b"HTTP/9 200 OK\r\n\r\n",
    "too short": OK + b"Content-Length: 1000\r\n\r\nabc",
    "a line too long": OK + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
    "a status too long": b"HTTP/1.1 200 " + b"a" * 70_000 + b"\r\n\r\n",
    "too many headers": OK + b"".join(b"X%d: 1\r\n" % index for index in range(200)) + b"\r\n",
    "chunks that are none": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc",
    "a chunk too short": OK + b"Transfer-Encoding: chunked\r\n\r\nff\r\nabc",
    "to a file": b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
    "to nowhere": b"HTTP/1.1 302 Found\r\nLocation: http://[::bad/\r\nContent-Length: 0\r\n\r\n",
    "to itself": b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n",
    "an error": b"HTTP/1.1 500 \xff\xfe\x1b[31m\r\nContent-Length: 0\r\n\r\n",
    "bytes": bytes(range(256)) * 8,
}


@contextmanager
def answering(content: bytes) -> Iterator[str]:
    """Yield the address of a server that says the same to everybody."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    with server.accept()[0] as caller:
                        caller.recv(1 << 16)
                        caller.sendall(content)
                except OSError:
                    return

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/files"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.mark.parametrize("kind", ANSWERS)
def test_nonsense(kind: str, tmp_path: Path) -> None:
    with answering(ANSWERS[kind]) as address, pytest.raises(DataError, match="fetched"):
        fetch("mnist", address, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org/mnist",
        "http://127.0.0.1.example.org/",
        "http://localhost@example.org/",
        "http://10.0.0.1/",
        "https://",
        "https:///files",
        "http://[::1",
        "ftp://localhost/",
        "file://localhost/etc",
        "//localhost/",
        "",
        "data:,x",
    ],
)
def test_addresses_that_are_none(address: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="https://"):
        fetch("mnist", address, tmp_path)


@pytest.mark.parametrize(
    "address", ["http://localhost:99999/", "http://localhost:x/", "http://localhost/a b\n"]
)
def test_addresses_that_lead_nowhere(address: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="fetched"):
        fetch("mnist", address, tmp_path)
