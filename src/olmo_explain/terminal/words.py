"""Words and numbers that several tables share."""

from rich.text import Text

OK, PROBLEM = Text("ok", "bold green"), Text("problem", "bold red")


def sizes(shape: tuple[int, ...] | None) -> str:
    """A shape: 128×4096; a dash where there is none."""
    return "–" if shape is None else "×".join(map(str, shape))


def amount(count: int) -> str:
    """Bytes in the binary unit that suits them: 9.5 GiB, 4.0 MiB."""
    power = min(max((count.bit_length() - 1) // 10, 1), 3)
    return f"{count / 2 ** (10 * power):,.1f} {('KiB', 'MiB', 'GiB')[power - 1]}"
