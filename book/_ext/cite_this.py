"""The directive `cite-this`: CITATION.cff as a reference in APA's style and as BibTeX.

The one file says who, what and when. cffconvert would turn it into both, but its last release,
2.0.0, wants jsonschema 3, which JupyterLab refuses; two short templates are all that is needed.
"""

from pathlib import Path

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FILE = "CITATION.cff"


def _names(cff: dict) -> list[str]:
    """As both styles take them: an organisation whole, a person by family name and given names."""
    return [
        a["name"] if "name" in a else f"{a['family-names']}, {a['given-names']}"
        for a in cff["authors"]
    ]


def apa(cff: dict) -> tuple[str, str, str]:
    """What stands before the title, the title, and what stands after it."""
    names = _names(cff)
    authors = names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, & {names[-1]}"
    year = str(cff["date-released"])[:4]
    after = f" (Version {cff['version']}) [Computer software]. {cff['repository-code']}"
    return f"{authors.rstrip('.')}. ({year}). ", cff["title"], after


def bibtex(cff: dict) -> str:
    # Braces keep an organisation's name in one piece.
    authors = " and ".join(n if "," in n else f"{{{n}}}" for n in _names(cff))
    year, month = str(cff["date-released"]).split("-")[:2]
    fields = {
        "author": authors,
        "title": f"{{{cff['title']}}}",
        "version": cff["version"],
        "year": year,
        "month": str(int(month)),
        "license": cff["license"],
        "url": cff["repository-code"],
    }
    key = f"{cff['title'].split(':')[0].lower().replace(' ', '_')}_{year}"
    lines = [f"  {name:<7} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@software{{{key},", *lines, "}"])


class CiteThis(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        path = Path(self.env.srcdir, FILE)
        self.env.note_dependency(str(path))
        cff = yaml.safe_load(path.read_text(encoding="utf-8"))
        if url := self.config.html_theme_options.get("repository_url"):
            cff["repository-code"] = url
        before, title, after = apa(cff)
        reference = nodes.paragraph("", "", nodes.Text(before), nodes.emphasis("", title))
        reference += nodes.Text(after)
        return [reference, nodes.literal_block("", bibtex(cff), language="bibtex")]


def setup(app: Sphinx) -> dict:
    app.add_directive("cite-this", CiteThis)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
