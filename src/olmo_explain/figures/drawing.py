"""SVG by hand, for pictures that are no chart, in the page's own colours.

A drawing is 480 units wide whatever the page: on a phone a unit is 0.74 pixels, on a desk 1.15. So
nothing that must be read is set smaller than `SMALL`, which is 11 pixels on a phone.
"""

from dataclasses import dataclass, field
from html import escape

from olmo_explain.figures.picture import Picture

WIDTH = 480
TEXT, SMALL = 16, 15  # sizes of type
# The page's own accent where it says one; else one that reads on white and on near-black.
ACCENT = "var(--oe-accent, #12967f)"
SANS, MONO = "var(--oe-sans, sans-serif)", "var(--oe-mono, ui-monospace, monospace)"
ON_ACCENT = "var(--oe-on, #ffffff)"


@dataclass
class Drawing:
    """Shapes, in the order in which they are drawn.

    >>> drawing = Drawing(40)
    >>> drawing.rect(0, 0, 480, 40, fill=ACCENT, strength=0.5)
    >>> drawing.text(240, 26, "embed_tokens", anchor="middle")
    >>> drawing.picture("What one sees. Model: tiny.", "What it says, for those who cannot see it.")
    What one sees. Model: tiny. What it says, for those who cannot see it.
    """

    height: float
    width: float = WIDTH
    parts: list[str] = field(default_factory=list)

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str = "currentColor",
        strength: float = 1.0,
        outline: str = "none",
        radius: float = 2,
        thick: float = 1.5,
    ) -> None:
        """A filled box; `strength` is the opacity of what fills it."""
        self.parts.append(
            f'<rect x="{x:.4g}" y="{y:.4g}" width="{width:.4g}" height="{height:.4g}" '
            f'rx="{radius:g}" fill="{fill}" fill-opacity="{strength:.3g}"'
            + (f' stroke="{outline}" stroke-width="{thick:g}"' if outline != "none" else "")
            + "/>"
        )

    def path(
        self,
        steps: str,
        *,
        colour: str = "currentColor",
        strength: float = 1.0,
        thick: float = 1.5,
        dashes: str = "",
    ) -> None:
        """A line: `steps` as SVG writes them, "M0 0L10 5"."""
        self.parts.append(
            f'<path d="{steps}" fill="none" stroke="{colour}" stroke-opacity="{strength:.3g}" '
            f'stroke-width="{thick:.3g}"'
            + (f' stroke-dasharray="{dashes}"' if dashes else "")
            + "/>"
        )

    def circle(
        self,
        x: float,
        y: float,
        radius: float,
        *,
        fill: str = "currentColor",
        strength: float = 1.0,
        outline: str = "none",
        thick: float = 1.5,
    ) -> None:
        self.parts.append(
            f'<circle cx="{x:.4g}" cy="{y:.4g}" r="{radius:g}" fill="{fill}" '
            f'fill-opacity="{strength:.3g}" stroke="{outline}" stroke-width="{thick:g}"/>'
        )

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        anchor: str = "start",
        size: float = TEXT,
        colour: str = "currentColor",
        weight: int = 400,
        quiet: bool = False,
        mono: bool = False,
    ) -> None:
        """Words that begin, end ("end") or are centred ("middle") at x; y is the baseline."""
        family = f' font-family="{MONO}"' if mono else ""
        self.parts.append(
            f'<text x="{x:.4g}" y="{y:.4g}" text-anchor="{anchor}" font-size="{size:g}"{family} '
            f'font-weight="{weight}" fill="{colour}" fill-opacity="{0.75 if quiet else 1}" '
            f'xml:space="preserve">{escape(words)}</text>'
        )

    def picture(self, caption: str, alt: str) -> Picture:
        """What is drawn so far, as a page or a notebook shows it."""
        svg = (
            f'<svg class="oe-drawing" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'font-family="{SANS}" style="max-width: 34.5rem">{"".join(self.parts)}</svg>'
        )
        return Picture(svg, caption, alt)


def token_label(token: str) -> str:
    """A token as a label: a blank in front as ␣, a line's end as ⏎."""
    return token.replace(" ", "␣").replace("\n", "⏎") or "∅"
