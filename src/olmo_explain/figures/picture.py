"""A figure as a page or a notebook shows it."""

import html
from dataclasses import dataclass


@dataclass(frozen=True, repr=False)
class Picture:
    """A figure that is readable in light and dark, and without eyes."""

    svg: str
    caption: str
    alt: str

    def __repr__(self) -> str:
        return f"{self.caption} {self.alt}"

    def _repr_html_(self) -> str:
        label = html.escape(self.alt, quote=True)
        svg = self.svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
        return (
            f'<figure class="oe-figure">{svg}'
            f"<figcaption>{html.escape(self.caption)}</figcaption></figure>"
        )
