"""Where these pages will stand, and where their source is.

A fork's pages link to the fork: GITHUB_REPOSITORY (owner/name, set by GitHub Actions) wins over the
repository in _config.yml, for the launch buttons and the links to the source alike. GitHub Pages
publishes owner/name at owner.github.io/name/: canonical links, social cards, the sitemap and the
page for what is not found need that address. `baseurl` under `html` in _config.yml overrides it.
"""

import os
from urllib.parse import urlsplit

from sphinx.application import Sphinx
from sphinx.config import Config


def pages_url(repository: str) -> str:
    """The address at which GitHub Pages publishes `https://github.com/owner/name`."""
    owner, name = urlsplit(repository).path.strip("/").split("/")[:2]
    host = f"{owner.lower()}.github.io"
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"


def name_the_fork(app: Sphinx, config: Config) -> None:
    if repository := os.environ.get("GITHUB_REPOSITORY"):
        config.html_theme_options["repository_url"] = f"https://github.com/{repository}"
    base = config.html_baseurl or pages_url(config.html_theme_options["repository_url"])
    config.html_baseurl = base.rstrip("/") + "/"
    config.ogp_site_url = config.html_baseurl
    config.notfound_urls_prefix = urlsplit(config.html_baseurl).path


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", name_the_fork)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
