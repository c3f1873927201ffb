"""A fork's pages link to the fork: GITHUB_REPOSITORY (owner/name, set by GitHub Actions) wins over
the repository in _config.yml, for the launch buttons and the links to the source alike."""

import os

from sphinx.application import Sphinx
from sphinx.config import Config


def name_the_fork(app: Sphinx, config: Config) -> None:
    if repository := os.environ.get("GITHUB_REPOSITORY"):
        config.html_theme_options["repository_url"] = f"https://github.com/{repository}"


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", name_the_fork)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
