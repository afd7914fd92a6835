"""The error tree: texts, exit codes, JSON."""

import copy

import pytest

from lowbit import errors


def test_text_says_where_expected_found_and_remedy() -> None:
    error = errors.DataError(
        "wrong shape", where="x.npz", expected="[n, 64]", found="[n, 63]", remedy="Reshape it."
    )
    assert str(error) == "DATA x.npz: wrong shape; expected [n, 64]; found [n, 63]. Reshape it."


def test_text_without_facts_is_short() -> None:
    assert str(errors.PlanError("no such layer")) == "PLAN: no such layer."


def test_dict_has_all_fields() -> None:
    fields = errors.WriteError("disk full", where="out").to_dict()
    assert fields == {
        "code": "WRITE",
        "message": "disk full",
        "where": "out",
        "expected": "",
        "found": "",
        "remedy": "",
    }


def every_error() -> list[type[errors.LowbitError]]:
    found, waiting = [], [errors.LowbitError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return found


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in every_error()]
    assert len(codes) == len(set(codes)) == 19


def test_missing_extra_names_the_extra_and_survives_copying() -> None:
    error = copy.copy(errors.MissingExtra("h5py", "data"))
    assert str(error) == (
        "MISSING-EXTRA: this needs the package h5py, which is not installed. "
        "Install it with: pip install 'lowbit[data]'"
    )


@pytest.mark.parametrize("kind", [errors.ModelFormatError, errors.UnsafeFileError, errors.TooLargeError])
def test_file_errors_share_an_exit_code(kind: type[errors.LowbitError]) -> None:
    assert kind("x").exit_code == errors.FileError.exit_code == 3


def test_every_error_ends_with_a_declared_code_and_every_code_is_told() -> None:
    assert {kind.exit_code for kind in every_error()} <= set(errors.ExitCode)
    assert len({code.text for code in errors.ExitCode}) == len(errors.ExitCode)
    assert errors.AgreementError.exit_code == 10 and errors.MismatchError.exit_code == 11
