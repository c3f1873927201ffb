"""Words and numbers that several tables share."""


def sizes(shape: tuple[int, ...] | None) -> str:
    """A shape: 128×4096; a dash where there is none."""
    return "–" if shape is None else "×".join(map(str, shape))


def gib(count: int) -> str:
    """Bytes in units of 2³⁰: 9.5 GiB."""
    return f"{count / 2**30:,.1f} GiB"
