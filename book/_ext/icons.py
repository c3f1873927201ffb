"""The icons that the pages show, and no others.

pydata-sphinx-theme 0.17.1 brings Font Awesome twice: as web fonts, in which its style sheet finds
each icon, and as a script that then draws every icon again (1.5 MB; 0.54 MB compressed, more than
all else on a page). Our layout leaves the script out. Of the fonts (0.3 MB) this keeps, once the
pages are written, the letters that some page or style sheet uses: a few dozen.
"""

import re
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx

FONTS = Path("_static", "vendor", "fontawesome", "webfonts")
SCRIPT = Path("_static", "scripts", "fontawesome.js")
STYLES = Path("_static", "styles")
NAME = re.compile(r"\bfa-([a-z0-9-]+)")
LETTER = re.compile(r'((?:\.fa-[\w-]+:+before,?)+)\{content:"\\([0-9a-f]+)"\}')
IN_A_STYLE = re.compile(r'content:"\\(f[0-9a-f]{3})"')


def letters_of(names: set[str], styles: str) -> set[int]:
    """The letters that stand for these icons, and those that a style sheet puts in by itself."""
    letters = {
        int(letter, 16)
        for selectors, letter in LETTER.findall(styles)
        if names & set(NAME.findall(selectors))
    }
    return letters | {int(letter, 16) for letter in IN_A_STYLE.findall(LETTER.sub("", styles))}


def keep_letters(font: Path, letters: set[int]) -> None:
    # The file's own format is kept; what it says of its making is not needed.
    options = Options(flavor=font.suffix[1:] if font.suffix == ".woff2" else None)
    options.drop_tables += ["FFTM"]
    with TTFont(font) as loaded:
        subsetter = Subsetter(options)
        subsetter.populate(unicodes=letters)
        subsetter.subset(loaded)
        loaded.flavor = options.flavor
        loaded.save(font)


def leave_out_what_no_page_shows(app: Sphinx, exception: Exception | None) -> None:
    if exception or app.builder.format != "html":
        return
    built = Path(app.outdir)
    styles = "".join(p.read_text(encoding="utf-8") for p in (built / STYLES).glob("*.css"))
    scripts = (p for p in (built / SCRIPT.parent).glob("*.js") if p.name != SCRIPT.name)
    naming = (*built.rglob("*.html"), *scripts)
    names = {n for path in naming for n in NAME.findall(path.read_text(encoding="utf-8"))}
    for font in (built / FONTS).glob("fa-*"):
        keep_letters(font, letters_of(names, styles))
    for unused in (built / SCRIPT.parent).glob(f"{SCRIPT.name}*"):
        unused.unlink()


def setup(app: Sphinx) -> dict:
    app.connect("build-finished", leave_out_what_no_page_shows)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
