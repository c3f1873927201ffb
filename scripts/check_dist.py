"""Is what would be published whole, and nothing else in it? Looks at dist/*.whl and dist/*.tar.gz.

    python -m build && python scripts/check_dist.py v0.1.0

The wheel has to hold every file of the package that git has, and no other; the tag has to be its
version, and the changelog has to say what is new in it. Prints what is wrong, and ends with 1.
"""

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = 6_000_000


def faults(dist: Path, tag: str | None = None) -> Iterator[str]:
    """What is wrong with the files in `dist`, a line each."""
    wheels, sdists = sorted(dist.glob("*.whl")), sorted(dist.glob("*.tar.gz"))
    if len(wheels) != 1 or len(sdists) != 1:
        yield f"{dist}: {len(wheels)} wheels and {len(sdists)} sdists, not one of each"
        return
    for path in (*wheels, *sdists):
        if (size := path.stat().st_size) > MOST_BYTES:
            yield f"{path.name}: {size:,} bytes, more than {MOST_BYTES:,}"
    ours = tracked()
    with zipfile.ZipFile(wheels[0]) as wheel:
        inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    yield from _difference(wheels[0].name, ours, inside)
    with tarfile.open(sdists[0]) as sdist:
        names = {member.name.partition("/")[2] for member in sdist if member.isfile()}
    package = {name.removeprefix("src/") for name in names if name.startswith("src/olmo_explain/")}
    yield from _difference(sdists[0].name, ours, package)
    for needed in {"LICENSE", "README.md", "pyproject.toml", "setup.py"} - names:
        yield f"{sdists[0].name}: without {needed}"
    version = wheels[0].name.split("-")[1]
    if tag is not None and tag != f"v{version}":
        yield f"the tag {tag} is not that of version {version}"
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    said = re.search(rf"^## {re.escape(version)} – (.*)$", changelog, re.MULTILINE)
    if not said:
        yield f"CHANGELOG.md says nothing of {version}"
    elif tag is not None and not re.fullmatch(r"\d{4}-\d\d-\d\d", said[1]):
        yield f"CHANGELOG.md has no date for {version}, but: {said[1]}"


def tracked() -> set[str]:
    """The files of the package, as git has them, relative to src/."""
    command = ["git", "-C", ROOT / "src", "ls-files", "-z", "olmo_explain"]
    return set(filter(None, subprocess.check_output(command, text=True).split("\0")))


def _difference(name: str, ours: set[str], inside: set[str]) -> Iterator[str]:
    yield from (f"{name}: without {missing}" for missing in sorted(ours - inside))
    yield from (f"{name}: {more} is not in git" for more in sorted(inside - ours))


if __name__ == "__main__":
    wrong = list(faults(ROOT / "dist", *sys.argv[1:2]))
    print("\n".join(wrong) if wrong else "Nothing missing, nothing too much.")
    sys.exit(bool(wrong))
