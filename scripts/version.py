"""Gives this project another version: in pyproject.toml, and wherever else one has to stand.

    python scripts/version.py 0.2.0

What is installed asks its own metadata. A citation, the cells with which Colab installs a release
and the name of an image for a JupyterHub cannot; tests/test_packaging.py says whether they agree.
"""

import re
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSION = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?")
PLACES = {
    "pyproject.toml": 'version = "{}"',
    "CITATION.cff": "\nversion: {}",
    "notebooks/*.ipynb": "olmo-explain/olmo-explain@v{}",
    "book/jupyterhub.md": "olmo-explain:{}",
    "book/jupyterhub-values.yaml": 'tag: "{}"',
}


def places(root: Path = ROOT) -> Iterator[tuple[Path, re.Pattern[str]]]:
    """The files, each with what the version stands in: a group before it, the version, the end."""
    for pattern, around in PLACES.items():
        before, after = map(re.escape, around.split("{}"))
        for path in sorted(root.glob(pattern)):
            yield path, re.compile(rf"({before})({VERSION.pattern})(?={after})")


def versions(root: Path = ROOT) -> set[str]:
    """Every version that is written anywhere: one, if all is well."""
    return {
        version
        for path, where in places(root)
        for _, version in where.findall(path.read_text(encoding="utf-8"))
    }


def write(new: str, root: Path = ROOT) -> None:
    for path, where in places(root):
        text = path.read_text(encoding="utf-8")
        path.write_text(where.sub(rf"\g<1>{new}", text), encoding="utf-8", newline="\n")
    citation = root / "CITATION.cff"
    text = citation.read_text(encoding="utf-8")
    dated = re.sub(r"(?<=date-released: ).*", date.today().isoformat(), text)
    citation.write_text(dated, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    match sys.argv[1:]:
        case [new] if VERSION.fullmatch(new):
            write(new)
        case _:
            sys.exit("version: give one, as 0.2.0")
