"""The colours and letters of pages: those of the figures, and the fonts that these name.

The fonts come out of three small packages of PyPI, which carry them whole as Google Fonts publishes
them (open licence, 2 MB). Of each a page gets its Latin letters, at the weights from text to title:
84 kB for all four. They stand in the style sheet itself: so a page is drawn with them at once and
nothing moves when they come, and a page that is a file has them too (Firefox lets it load no font).
Written into the built book before its pages, so that Sphinx gives the address a version.
"""

from base64 import b64encode
from importlib.resources import as_file, files
from io import BytesIO
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from fontTools.varLib.instancer import instantiateVariableFont
from sphinx.application import Sphinx

from olmo_explain.figures import LOOK

SIGNS = "–—‘’“”…•−×·→←↑↓≤≥≈≠√∞✓θεΔλσπ∂²³€␣↵⌘"
LETTERS = [*range(0x20, 0x7F), *range(0xA0, 0x100), *map(ord, SIGNS)]
FEATURES = ["kern", "liga", "ccmp", "mark", "tnum"]
WEIGHTS = (400, 600)
# What look.css calls it: the package, the file in it, its axes, the style.
FONTS = {
    "serif": ("Source Serif 4", "SourceSerif4[opsz,wght]", {"opsz": 20, "wght": WEIGHTS}, "normal"),
    "italic": (
        "Source Serif 4",
        "SourceSerif4-Italic[opsz,wght]",
        {"opsz": 20, "wght": 400},
        "italic",
    ),
    "sans": ("Inter", "Inter[opsz,wght]", {"opsz": 14, "wght": WEIGHTS}, "normal"),
    "mono": ("JetBrains Mono", "JetBrainsMono[wght]", {"wght": WEIGHTS}, "normal"),
}
FACE = (
    '@font-face {{ font-family: "{family} Variable"; font-weight: {weight}; font-style: {style}; '
    "font-display: optional; "
    'src: url("data:font/woff2;base64,{data}") format("woff2"); }}\n'
)


def source(family: str, file: str):
    package = "fontpkg_" + family.lower().replace(" ", "_")
    return files(package) / "files" / f"{file}.ttf"


def letters(family: str, file: str, axes: dict) -> bytes:
    """The font with no more than a page needs of it, as woff2."""
    options, small = Options(layout_features=FEATURES, drop_tables=["DSIG", "STAT"]), BytesIO()
    with as_file(source(family, file)) as path, TTFont(path) as font:
        subsetter = Subsetter(options)
        subsetter.populate(unicodes=LETTERS)
        subsetter.subset(font)
        font = instantiateVariableFont(font, axes)
        font.flavor = "woff2"
        font.save(small)
    return small.getvalue()


def faces(kept: Path) -> str:
    """The rules that name the fonts; kept from build to build, for they take some seconds."""
    if not kept.exists():
        rules = []
        for family, file, axes, style in FONTS.values():
            weight = (
                "400 600" if axes["wght"] == WEIGHTS else "400 700"
            )  # no second, heavier italic
            data = b64encode(letters(family, file, axes)).decode()
            rules.append(FACE.format(family=family, weight=weight, style=style, data=data))
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text("".join(rules), encoding="utf-8")
    return kept.read_text(encoding="utf-8")


def write_look(app: Sphinx) -> None:
    if app.builder.format != "html":
        return
    path = Path(app.outdir, "_static", "look.css")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(LOOK + faces(Path(app.doctreedir, "fonts.css")), encoding="utf-8")
    app.add_css_file("look.css", priority=400)  # before book.css


def setup(app: Sphinx) -> dict:
    app.connect("builder-inited", write_look)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
