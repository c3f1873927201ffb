"""Where a chapter opens with one click: the directives `launch-links` and `nbgitpuller-link`.

Binder and Colab open a public repository: the one of _config.yml, or a fork's own (see fork.py,
which comes first). A JupyterHub with nbgitpuller fetches it into the learner's home folder; its
address is the teacher's to fill in.
"""

from urllib.parse import quote, urlencode, urlsplit

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

HUB = "https://hub.example.org"
FIRST = "notebooks/01_config"


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
    """A line for each chapter; the addresses come when every title is known."""

    def run(self) -> list[nodes.Node]:
        return [Links()]


class Links(nodes.General, nodes.Element):
    """Where the list will stand."""


class NbgitpullerLink(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        address = repository(self.env.app).nbgitpuller(FIRST)
        return [nodes.literal_block(address, address, language="none", classes=["nbgitpuller"])]


def repository(app: Sphinx) -> Repository:
    options = app.config.html_theme_options
    return Repository(options["repository_url"], options.get("repository_branch") or "main")


def fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    source, services = repository(app), app.config.html_theme_options["launch_buttons"]
    chapters = sorted(name for name in app.env.all_docs if name.startswith("notebooks/"))
    for place in doctree.findall(Links):
        place.replace_self(
            nodes.bullet_list("", *(_line(app, source, services, docname, c) for c in chapters))
        )


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
        # The chapter's name in the link: "Binder" a dozen times over tells a screen reader nothing.
        number = title.split(".")[0]
        words = f"{number} on {service}"
        line += [nodes.Text(" · "), nodes.reference("", words, refuri=address, internal=False)]
    return nodes.list_item("", line)


def setup(app: Sphinx) -> dict:
    app.add_node(Links)
    app.add_directive("launch-links", LaunchLinks)
    app.add_directive("nbgitpuller-link", NbgitpullerLink)
    app.connect("doctree-resolved", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
