"""The memory budget: what the environment says, and what is refused."""

import pytest

from lowbit.budget import VARIABLE, allowed, budget, check_budget
from lowbit.errors import DataError, TooLargeError


@pytest.mark.parametrize(
    "text,size",
    [("1000", 1000), ("8G", 8 << 30), ("512m", 512 << 20), ("2 KiB", 2048), ("1.5K", 1536), ("1TB", 1 << 40)],
)
def test_sizes(text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, text)
    assert budget() == size


@pytest.mark.parametrize("text", ["much", "-1", "0", "8GG", "1e9", "nan", "9" * 40])
def test_what_is_no_size(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(DataError, match=VARIABLE):
        budget()


def test_default_and_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert 1 << 20 < budget() <= 4 << 30
    check_budget(budget(), "file", "it")
    with pytest.raises(TooLargeError, match=f"file: it would take too much.*{budget()}.*{VARIABLE}="):
        check_budget(budget() + 1, "file", "it")


def test_a_size_for_a_while() -> None:
    before = budget()
    with allowed("2M"), allowed(None):
        assert budget() == 2 << 20
        with allowed(1000):
            assert budget() == 1000
        assert budget() == 2 << 20
    assert budget() == before
    with pytest.raises(DataError, match="memory"), allowed("a lot"):
        pass
