"""Numbers, shapes and amounts as text: the one way for tables, terminals, figures and reports.

>>> text(7298011136), text((4096, 128)), text([3, 7]), text(None)
('7,298,011,136', '4096 × 128', '3, 7', '–')

And what others wrote, fit to be shown: names without control characters, addresses without keys.
"""

import re
import reprlib
from collections.abc import Iterable
from typing import Any

PREFIXES = {"E": 10**18, "P": 10**15, "T": 10**12, "G": 10**9, "M": 10**6, "k": 10**3}


def text(value: Any, digits: int = 6) -> str:
    """Any value as a table shows it; a tuple is a shape. `digits`: of what is not whole."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}" if abs(value) < 10**400 else quoted(value)
        case float():
            return f"{value:,.{digits}g}"
        case str():
            return printable(value, keep="\n") or "–"
        case tuple():
            return shape(value)
        case list():
            return ", ".join(_inside(item, digits) for item in value)
        case dict():
            return ", ".join(f"{key}: {_inside(item, digits)}" for key, item in value.items())
    return printable(str(value), keep="\n")


def shape(sizes: Iterable[int] | None) -> str:
    """A shape: 4096 × 128; a dash where there is none.

    >>> shape((4096, 128)), shape(())
    ('4096 × 128', 'one number')
    """
    if sizes is None:
        return "–"
    return " × ".join(map(str, sizes)) or "one number"


def counted(number: int, noun: str) -> str:
    """A number with what it counts.

    >>> counted(1, "thread"), counted(2048, "thread")
    ('1 thread', '2,048 threads')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def quantity(number: float) -> str:
    """A count to three digits where it has more than five, with the prefix of its thousands.

    >>> quantity(68_719_476_736), quantity(131_072), quantity(24_704)
    ('68.7 G', '131 k', '24,704')
    """
    if number < 10**5:
        return f"{number:,}"
    # At 0.9995 of a unit, else 999,600,000 would be "1e+03 M".
    prefix, unit = next((p, unit) for p, unit in PREFIXES.items() if number >= 0.9995 * unit)
    return f"{number / unit:#.3g}".rstrip(".") + f" {prefix}"


def percent(share: float, decimals: int = 0) -> str:
    """A share as per cent, a whole number of them if nothing else is asked for.

    >>> percent(0.7398), percent(0.99987, 2)
    ('74 %', '99.99 %')
    """
    return f"{share:.{decimals}%}".replace("%", " %")


def minus(number: str) -> str:
    """A number's text with the sign that is as wide as a plus, not a hyphen."""
    return number.replace("-", "\u2212")


def amount(count: float) -> str:
    """Bytes in the binary unit that suits them: 9.5 GiB, 4.0 MiB, 256 bytes."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count:,} bytes"


def gigabytes(count: float) -> str:
    """Bytes as memory and disks are sold: 2.0 GB."""
    return f"{count / 1e9:.1f} GB"


def duration(seconds: float) -> str:
    """A time to three digits: 91.0 s, 225 ms, 3.21 µs; whole seconds where they are many."""
    if seconds >= 1000:
        return f"{seconds:,.0f} s"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= 0.9995 * size:
            return f"{seconds / size:#.3g}".rstrip(".") + f" {unit}"
    return f"{seconds * 1e6:#.3g}".rstrip(".") + " µs"


UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Controls of a terminal (C0, DEL, C1), of lines and of the direction of text; bytes of no text."""

URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+:/+)(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
URLS = re.compile(r"""\b[a-z][a-z0-9+.-]{1,20}:/+[^\s'"<>]*[^\s'"<>:;,.)]""", re.IGNORECASE)
WORDS = re.compile(r"""[^\s'"<>]+""")


def printable(text: str, keep: str = "") -> str:
    r"""A text that others wrote, what steers a terminal or hides in it written out; but for `keep`.

    >>> print(printable("model.\x1b[31mnorm\u202e"))
    model.\x1b[31mnorm\u202e
    """
    return UNSEEN.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def shortened(text: str, most: int = 400) -> str:
    """A text that quotes what others wrote, its middle left out where it is long."""
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"


class _Quote(reprlib.Repr):
    """Cuts after the keys in addresses are gone, as half of one would not be known for one."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 60
        self.maxlevel = 3

    def repr_str(self, x: str, level: int) -> str:
        return super().repr_str(without_keys(x[:2000]), level)

    def repr_instance(self, x: Any, level: int) -> str:
        return super().repr_instance(_Text(without_keys(repr(x)[:2000])), level)


class _Text(str):
    __repr__ = str.__str__


def quoted(given: Any) -> str:
    """What somebody gave, as Python writes it, its middle left out where it is long; never raises.

    >>> quoted([5] * 100)
    '[5, 5, 5, 5, 5, 5, ...]'
    """
    try:
        return shortened(_Quote().repr(given), 100)
    except Exception:  # an int of more than 4,300 digits has no text, and any object may refuse
        return f"<{type(given).__name__}>"


def shown(name: str) -> str:
    """A name fit to print: an address without password, without query, which may be a key.

    >>> shown("https://me:secret@example.org/olmo/config.json?signature=abc")
    'https://example.org/olmo/config.json'
    >>> shown("allenai/Olmo-3-7B-Instruct@main"), shown("me:secret@example.org/olmo")
    ('allenai/Olmo-3-7B-Instruct@main', 'example.org/olmo')
    """
    if not (url := URL.match(name.strip())):
        return _bare(name)
    host, slash, path = re.split("[?#]", url["rest"])[0].partition("/")
    host = host.rpartition("@")[2]
    # Where no port can be, there stands a password that a / ? or # of its own has cut off.
    if host[:1] != "[" and host.partition(":")[2].strip("0123456789"):
        host, slash, path = host.partition(":")[0], "", ""
    return f"{url['scheme']}{host}{slash}{path}"


def without_keys(text: str) -> str:
    """A text in which every address is `shown`, also one whose scheme was forgotten."""
    return WORDS.sub(lambda found: _word_without_keys(found[0]), text)


def _word_without_keys(word: str) -> str:
    if URLS.search(word):
        return URLS.sub(lambda found: shown(found[0]), word)
    end = len(word.rstrip(":;,.)"))
    return _bare(word[:end]) + word[end:]


def _bare(name: str) -> str:
    """Without `user:password@`, or `?key=value`, in a name that begins with no scheme."""
    head, _, query = name.partition("?")
    rest = head if "=" in query else name
    before, at, after = rest.rpartition("@")
    user, colon, _ = before.partition(":")
    if at and colon:
        return user[: user.rfind("/") + 1] + after
    if rest == head and "@" in query and ":" in head:  # a password with a ? of its own
        return head.partition(":")[0]
    return rest


def _inside(value: Any, digits: int) -> str:
    """Within a list a comma separates, so that a number is written without any."""
    return str(value) if isinstance(value, int | float) else text(value, digits)
