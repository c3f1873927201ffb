"""Numbers, shapes and amounts as text: the one way for tables, terminals, figures and reports.

>>> text(7298011136), text((4096, 128)), text([3, 7]), text(None)
('7,298,011,136', '4096 × 128', '3, 7', '–')
"""

from collections.abc import Iterable
from typing import Any

PREFIXES = (("T", 10**12), ("G", 10**9), ("M", 10**6))


def text(value: Any, digits: int = 6) -> str:
    """Any value as a table shows it; a tuple is a shape. `digits`: of what is not whole."""
    match value:
        case None | "":
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.{digits}g}"
        case tuple():
            return shape(value)
        case list():
            return ", ".join(_inside(item, digits) for item in value)
        case dict():
            return ", ".join(f"{key}: {_inside(item, digits)}" for key, item in value.items())
    return str(value)


def shape(sizes: Iterable[int] | None) -> str:
    """A shape: 4096 × 128; a dash where there is none.

    >>> shape((4096, 128)), shape(())
    ('4096 × 128', 'one number')
    """
    if sizes is None:
        return "–"
    return " × ".join(map(str, sizes)) or "one number"


def quantity(number: float) -> str:
    """A count to three digits where it is large, with the prefix of its thousands.

    >>> quantity(68_719_476_736), quantity(24_704), quantity(0)
    ('68.7 G', '24,704', '0')
    """
    for prefix, unit in PREFIXES:
        if number >= 0.9995 * unit:  # so that 999,500,000 is not "1e+03 M"
            return f"{number / unit:#.3g}".rstrip(".") + f" {prefix}"
    return f"{number:,}"


def amount(count: float) -> str:
    """Bytes in the binary unit that suits them: 9.5 GiB, 4.0 MiB, 256 bytes."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count:,} bytes"


def gigabytes(count: float) -> str:
    """Bytes as memory and disks are sold: 2.0 GB."""
    return f"{count / 1e9:.1f} GB"


def _inside(value: Any, digits: int) -> str:
    """Within a list a comma separates, so that a number is written without any."""
    return str(value) if isinstance(value, int | float) else text(value, digits)
