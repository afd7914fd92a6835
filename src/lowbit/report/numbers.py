"""Numbers for people: few digits, a unit behind a thin space, a true minus sign."""

THIN = "\u202f"


def percent(share: float, digits: int = 2) -> str:
    """Return a fraction as percents."""
    return f"{100 * share:.{digits}f}{THIN}%"


def points(difference: float) -> str:
    """Return a difference of fractions in percentage points, with its sign."""
    return signed(100 * difference, 2)


def signed(value: float, digits: int) -> str:
    """Return a number with its sign; what rounds to zero has none."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def kilobytes(size: float) -> str:
    """Return bytes as KB of 1024 bytes, MB of 1024 of these, or as they are where they are few."""
    if 0 < size < 52:  # would round to 0.0 KB
        return f"{size:.0f}{THIN}B"
    if size >= 10 * 1024 * 1024:
        return f"{size / 1024 / 1024:.1f}{THIN}MB"
    return f"{size / 1024:,.1f}{THIN}KB"


def microseconds(seconds: float) -> str:
    """Return a time in microseconds, in milliseconds above ten thousand of them."""
    value = 1e6 * seconds
    if value >= 10_000:
        return f"{value / 1000:.1f}{THIN}ms"
    return f"{value:.2f}{THIN}µs" if value < 100 else f"{value:.0f}{THIN}µs"


def times(ratio: float) -> str:
    """Return a ratio."""
    return f"{ratio:.1f}{THIN}×" if ratio < 100 else f"{ratio:.0f}{THIN}×"


def bits(count: int) -> str:
    """Return bits of a weight or value, 32 being floats."""
    return "float" if count == 32 else str(count)
