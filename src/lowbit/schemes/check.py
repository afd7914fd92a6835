"""The conformance check that every encoding must pass; third parties run it on theirs."""

import numpy as np

from lowbit.errors import SchemeError
from lowbit.schemes.encoding import Encoding, rank_encode


def check_scheme(encoding: Encoding) -> None:
    """Check the rules that every backend relies on, exhaustively over codes and thresholds.

    1. ``levels`` and ``thresholds`` have the stated shapes and are finite; thresholds ascend.
    2. Encoding is counting thresholds, at every threshold and both its float32 neighbours.
    3. ``encode(decode(code))`` has the level of ``code``; encoding is monotone, and nearest unless the
       encoding says that it truncates.
    4. The integer form gives the levels: ``scale * integer + offset``.
    5. ``from_dict(to_dict())`` is equal.

    Raises:
        SchemeError: names the rule that is broken.
    """
    levels, thresholds = encoding.levels(), encoding.thresholds()
    steps = (1 << encoding.bits) - 1
    _require(levels.shape == (encoding.channels, steps + 1), encoding, "levels: one per code")
    _require(thresholds.shape == (encoding.channels, steps), encoding, "thresholds: one per step")
    _require(thresholds.dtype == np.float32, encoding, "thresholds are float32")
    _require(bool(np.isfinite(levels).all() and np.isfinite(thresholds).all()), encoding, "all finite")
    _require(bool((np.diff(thresholds, axis=1) >= 0).all()), encoding, "thresholds ascend")
    ranked = np.take_along_axis(levels, encoding.code_of_rank().astype(np.intp), axis=1)
    _require(bool((np.diff(ranked, axis=1) >= 0).all()), encoding, "code_of_rank sorts the levels")
    _check_encode(encoding)
    _check_integers(encoding)
    _require(type(encoding).from_dict(encoding.to_dict()) == encoding, encoding, "to_dict round trip")


def _check_encode(encoding: Encoding) -> None:
    levels, thresholds = encoding.levels(), encoding.thresholds()
    probes = np.concatenate(
        [
            thresholds,
            np.nextafter(thresholds, np.float32(np.inf)),
            np.nextafter(thresholds, np.float32(-np.inf)),
            levels.astype(np.float32),
            np.full((encoding.channels, 2), [[-3e38, 3e38]], np.float32),
        ],
        axis=1,
    )
    probes = np.sort(probes, axis=1)
    values = probes if encoding.channels > 1 else probes[0]
    codes = encoding.encode(values).reshape(probes.shape)
    counted = rank_encode(values, thresholds, encoding.code_of_rank()).reshape(probes.shape)
    _require(np.array_equal(codes, counted), encoding, "encoding counts thresholds")
    chosen = np.take_along_axis(levels, codes.astype(np.intp), axis=1)
    _require(bool((np.diff(chosen, axis=1) >= 0).all()), encoding, "encoding is monotone")
    nearest = np.abs(levels[:, None, :] - probes.astype(np.float64)[:, :, None]).min(axis=2)
    excess = np.abs(chosen - probes) - nearest
    if getattr(encoding, "rounds_to_nearest", True):
        _require(bool((excess <= 1e-6 * np.abs(levels).max()).all()), encoding, "encoding is nearest")
    own = encoding.decode(codes.reshape(values.shape)).reshape(probes.shape)
    _require(np.array_equal(own, chosen.astype(np.float32)), encoding, "decode gives the level")


def _check_integers(encoding: Encoding) -> None:
    if getattr(encoding, "snapped", True):
        integer_form = (
            encoding.integer_scale()[:, None] * encoding.integer_levels() + encoding.integer_offset()[:, None]
        )
        _require(np.array_equal(integer_form, encoding.levels()), encoding, "integer form gives the levels")


def _require(holds: bool, encoding: Encoding, rule: str) -> None:
    if not holds:
        raise SchemeError(
            f"the encoding breaks a rule: {rule}",
            where=type(encoding).__name__,
            remedy="See lowbit.schemes.check_scheme for the rules.",
        )
