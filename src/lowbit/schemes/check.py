"""The conformance check that every encoding must pass; third parties run it on theirs."""

import json

import numpy as np

from lowbit.errors import SchemeError
from lowbit.schemes.encoding import SMALLEST, Codes, Encoding, Floats, rank_encode, table_decode

_MOST_BITS = {"planes": 8, "halves": 4, "bytes": 8, "words": 16}
"""By storage."""


def check_scheme(encoding: Encoding) -> None:
    """Check the rules that every backend relies on, exhaustively over codes and thresholds.

    1. ``levels`` and ``thresholds`` have the stated shapes and are finite; thresholds ascend.
    2. Encoding is counting thresholds, at every threshold and both its float32 neighbours.
    3. ``encode(decode(code))`` has the level of ``code``; encoding is monotone, and nearest unless the
       encoding says that it truncates.
    4. The integer form gives the levels: ``scale * integer + offset``; ``whole_levels``, where the offset is
       a whole number of scales, and ``as_basis``, where there is one, give them as float32 does;
       ``as_fixed_point`` and ``as_affine``, where there is one, exactly, and the latter with the same
       thresholds.
    5. What is ``linear`` has evenly spaced levels in the order of codes; what ``rounds`` is linear, and says
       how.
    6. ``scaled``, ``opposite``, ``silent`` and ``joined`` give the levels that they say.
    7. Codes of so many bits fit the storage.
    8. ``from_fields(fields())`` and ``from_dict(to_dict())``, through JSON, are equal.

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
    _check_arithmetic(encoding)
    _require(encoding.bits <= _MOST_BITS[encoding.storage], encoding, "codes fit the storage")
    _require(type(encoding).from_fields(encoding.fields()) == encoding, encoding, "fields round trip")
    written = json.loads(json.dumps(encoding.to_dict()))
    _require(type(encoding).from_dict(written) == encoding, encoding, "to_dict round trip")


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
    excess = np.abs(chosen - probes) - _distances(levels, probes.astype(np.float64))
    if encoding.rounding != "floor":
        _require(bool((excess <= 1e-6 * np.abs(levels).max()).all()), encoding, "encoding is nearest")
    own = encoding.decode(codes.reshape(values.shape)).reshape(probes.shape)
    _require(np.array_equal(own, chosen.astype(np.float32)), encoding, "decode gives the level")


def _distances(levels: Floats, probes: Floats) -> Floats:
    """Return how far each probe is from the nearest level of its channel."""
    distances = np.empty(probes.shape)
    for channel, row in enumerate(np.sort(levels, axis=1)):
        above = np.searchsorted(row, probes[channel]).clip(1, len(row) - 1)
        sides = row[above - 1] - probes[channel], row[above] - probes[channel]
        distances[channel] = np.minimum(*np.abs(sides))
    return distances


def _check_integers(encoding: Encoding) -> None:
    levels = encoding.levels()
    basis = encoding.as_basis()
    if basis is not None:
        _require(_close(basis.levels(), levels), encoding, "as_basis gives the levels")
    fixed = encoding.as_fixed_point()
    if fixed is not None:
        _require(np.array_equal(fixed.levels(), levels), encoding, "as_fixed_point gives the levels")
    affine = encoding.as_affine()
    if affine is not None:
        _require(np.array_equal(affine.levels(), levels), encoding, "as_affine gives the levels")
        alike = np.array_equal(affine.thresholds(), encoding.thresholds())
        _require(alike, encoding, "as_affine encodes alike")
    if not encoding.snapped:
        _require(not encoding.linear, encoding, "what is linear has an integer form")
        return
    scale, integers = encoding.integer_scale()[:, None], encoding.integer_levels()
    whole = scale * integers + encoding.integer_offset()[:, None]
    _require(np.array_equal(whole, levels), encoding, "integer form gives the levels")
    steps = np.diff(integers, axis=1)
    even = bool((steps == steps[:, :1]).all() and (steps > 0).all())
    _require(even or not encoding.linear, encoding, "what is linear has evenly spaced levels")
    _require(encoding.linear or not encoding.rounds, encoding, "what rounds is linear")
    _require(encoding.rounds == bool(encoding.rounding), encoding, "what rounds says how")
    try:
        whole = scale * encoding.whole_levels()
    except SchemeError:
        return  # an offset between two multiples of the scale, as activations have
    _require(bool((np.abs(whole - levels) <= 2e-3 * scale).all()), encoding, "whole_levels give the levels")


def _check_arithmetic(encoding: Encoding) -> None:
    levels, factor = encoding.levels(), np.linspace(0.5, 2, encoding.channels)
    scaled = encoding.scaled(factor)
    if scaled is not None:
        _require(_close(scaled.levels(), levels * factor[:, None]), encoding, "scaled multiplies levels")
    for count in {encoding.channels, 2} if encoding.channels == 1 else {encoding.channels}:
        _check_rows(encoding, count)


def _check_rows(encoding: Encoding, count: int) -> None:
    """Check what is done to some of `count` rows that each have every code."""
    codes = np.tile(encoding.code_of_rank(), (count // encoding.channels, 1))
    levels, rows = table_decode(codes, encoding.levels()), np.arange(count) % 2 == 0
    turned = encoding.opposite(codes, rows)
    if turned is not None:
        expected = np.where(rows[:, None], -levels, levels)
        _require(np.array_equal(_levels(*turned), expected), encoding, "opposite negates levels")
    silent = _levels(*encoding.silent(codes, rows))
    _require(bool((np.abs(silent[rows]) <= 10 * SMALLEST).all()), encoding, "silent rows are zero")
    _require(np.array_equal(silent[~rows], levels[~rows]), encoding, "silent keeps other rows")
    joined = type(encoding).joined([encoding, encoding], [count, count])
    both = _levels(joined, np.concatenate([codes, codes]))
    _require(np.array_equal(both, np.concatenate([levels, levels])), encoding, "joined keeps levels")


def _levels(encoding: Encoding, codes: Codes) -> Floats:
    return table_decode(codes, encoding.levels())


def _close(values: Floats, levels: Floats) -> bool:
    """Return whether levels are the same but for what float32, or the least scale, makes of them."""
    bound = 1e-5 * np.abs(levels).max(axis=1, keepdims=True) + 256 * SMALLEST
    return values.shape == levels.shape and bool((np.abs(values - levels) <= bound).all())


def _require(holds: bool, encoding: Encoding, rule: str) -> None:
    if not holds:
        raise SchemeError(
            f"the encoding breaks a rule: {rule}",
            where=type(encoding).__name__,
            remedy="See lowbit.schemes.check_scheme for the rules.",
        )
