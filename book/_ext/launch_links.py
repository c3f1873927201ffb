"""Where a chapter opens with one click: below its title, and in the directives `start-here`,
`launch-links` and `nbgitpuller-link`.

Binder and Colab open a public repository: the one of _config.yml, or a fork's own (see fork.py,
which comes first). A JupyterHub with nbgitpuller fetches it into the learner's home folder; its
address is the teacher's to fill in.
"""

from html import escape
from urllib.parse import quote, urlencode, urlsplit

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

HUB = "https://hub.example.org"
FIRST = "notebooks/01_config"
ON_YOUR_MACHINE = "book/launch", "on-your-machine"


class Repository:
    """A repository on GitHub, and the addresses that open one of its notebooks."""

    def __init__(self, url: str, branch: str):
        self.url, self.branch = url.removesuffix(".git").rstrip("/"), branch
        self.name = urlsplit(self.url).path.strip("/")  # owner/name

    def binder(self, docname: str, server: str = "https://mybinder.org") -> str:
        where = quote(f"lab/tree/{docname}.ipynb", safe="")
        return f"{server.rstrip('/')}/v2/gh/{self.name}/{self.branch}?urlpath={where}"

    def colab(self, docname: str, server: str = "https://colab.research.google.com") -> str:
        return f"{server.rstrip('/')}/github/{self.name}/blob/{self.branch}/{docname}.ipynb"

    def nbgitpuller(self, docname: str, hub: str = HUB) -> str:
        folder = self.name.rpartition("/")[2]
        asked = {
            "repo": self.url,
            "branch": self.branch,
            "urlpath": f"lab/tree/{folder}/{docname}.ipynb",
        }
        return f"{hub.rstrip('/')}/hub/user-redirect/git-pull?{urlencode(asked)}"


class LaunchLinks(SphinxDirective):
    """A line for each chapter, with buttons; the addresses come when every title is known."""

    def run(self) -> list[nodes.Node]:
        return [Links()]


class Links(nodes.General, nodes.Element):
    """Where the list will stand."""


class NbgitpullerLink(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        address = repository(self.env.app).nbgitpuller(FIRST)
        return [nodes.literal_block(address, address, language="none", classes=["nbgitpuller"])]


class StartHere(SphinxDirective):
    """What one does first: read, type, or open the first chapter with its code."""

    def run(self) -> list[nodes.Node]:
        return [Start()]


class Start(nodes.General, nodes.Element):
    """Where these buttons will stand."""


def buttons(app: Sphinx, docname: str) -> str:
    """The places of one chapter, each as a word, and its notebook to take along."""
    up = "../" * docname.count("/")
    places = {f"Open in {name}": to for name, to in _places(app, docname).items()}
    links = [_button(name, to) for name, to in places.items()]
    links.append(
        _button("Download<span> the notebook</span>", f"{up}_sources/{docname}.ipynb", " download")
    )
    return f'<p class="oe-places">{"".join(links)}</p>'


def _button(words: str, to: str, more: str = "") -> str:
    return f'<a class="oe-button" href="{escape(to)}"{more}>{words}</a>'


def _places(app: Sphinx, docname: str) -> dict[str, str]:
    source, services = repository(app), app.config.html_theme_options["launch_buttons"]
    return {
        "Binder": source.binder(docname, services["binderhub_url"]),
        "Colab": source.colab(docname, services["colab_url"]),
    }


def _start(app: Sphinx, docname: str) -> str:
    page, anchor = ON_YOUR_MACHINE
    to = app.builder.get_relative_uri(docname, page)
    places = {"JupyterLab": f"{to}#{anchor}", **_places(app, FIRST)}
    links = "".join(_button(f"Open in {name}", to) for name, to in places.items())
    first = app.builder.get_relative_uri(docname, FIRST)
    return (
        f'<p class="oe-start"><a class="oe-button oe-primary" href="{first}">Start reading</a>'
        f'<a class="oe-button" href="#your-sentence">Type your own sentence</a></p>'
        f'<p class="oe-places">{links}</p>'
    )


def repository(app: Sphinx) -> Repository:
    options = app.config.html_theme_options
    return Repository(options["repository_url"], options.get("repository_branch") or "main")


def fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    source, services = repository(app), app.config.html_theme_options["launch_buttons"]
    chapters = sorted(name for name in app.env.all_docs if name.startswith("notebooks/"))
    for place in doctree.findall(Start):
        place.replace_self(nodes.raw("", _start(app, docname), format="html"))
    for place in doctree.findall(Links):
        lines = [_line(app, source, services, docname, chapter) for chapter in chapters]
        place.replace_self(nodes.bullet_list("", *lines, classes=["oe-launch"]))


def _line(
    app: Sphinx, source: Repository, services: dict[str, str], docname: str, chapter: str
) -> nodes.Node:
    title = app.env.titles[chapter].astext()
    places = {
        "Binder": source.binder(chapter, services["binderhub_url"]),
        "Colab": source.colab(chapter, services["colab_url"]),
    }
    page = app.builder.get_relative_uri(docname, chapter)
    line = nodes.paragraph("", "", nodes.reference("", title, refuri=page, internal=True))
    for service, address in places.items():
        # The chapter's number in the link: "Binder" a dozen times over tells nobody anything.
        number = nodes.inline("", f", chapter {title.split('.')[0]}", classes=["visually-hidden"])
        words = nodes.Text(f"Open in {service}")
        line += nodes.reference("", "", words, number, refuri=address, internal=False)
    return nodes.list_item("", line)


def setup(app: Sphinx) -> dict:
    app.add_node(Links)
    app.add_node(Start)
    app.add_directive("start-here", StartHere)
    app.add_directive("launch-links", LaunchLinks)
    app.add_directive("nbgitpuller-link", NbgitpullerLink)
    app.connect("doctree-resolved", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
