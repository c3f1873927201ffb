"""One zip that opens and runs with no network: the book, the notebooks, and every wheel.

`make offline` builds the book and runs this. The zip is for machines like this one: the same
system and processor, the same minor version of Python; make one on each kind that you expect.
Prints the path of the zip; progress goes to stderr. Built twice from the same commit and the same
wheels, it is the same to the byte.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

ROOT = Path(__file__).resolve().parents[1]
KIT = ROOT / "scripts" / "offline"
CONSTRAINTS = ROOT / "constraints.txt"
PACKAGE = "olmo-explain"
CPU_BUILDS = "https://download.pytorch.org/whl/cpu"  # where torch is not CUDA's, on Linux
SOURCE = ("src", "pyproject.toml", "setup.py", "README.md", "LICENSE")
EPOCH = 315_532_800  # 1 January 1980, the first day that a zip can name
COMPRESSED = {".whl", ".woff", ".woff2", ".png"}  # stored as they are: deflate gains nothing
console = Console(stderr=True)


def main() -> None:
    arguments = parse_arguments()
    book = arguments.book.resolve()
    if not (book / "index.html").is_file():
        stop(f"there is no book in {book}: run `make book`, or name one with --book")
    arguments.dist.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="offline-", dir=arguments.dist) as scratch:
        wheels = Path(scratch, "wheels")
        collect_wheels(wheels, Path(scratch, "source"))
        target = arguments.dist.resolve() / f"{name_of(wheels)}.zip"
        part = Path(scratch, "part.zip")
        write_zip(part, entries(book, wheels), target.stem)
        part.replace(target)
    print(target)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    html = ROOT / "_build" / "html"
    parser.add_argument("--book", type=Path, default=html, help="the built book's html folder")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="where the zip goes")
    return parser.parse_args()


# -- wheels ---------------------------------------------------------------------------------------


def collect_wheels(wheels: Path, source: Path) -> None:
    """Every wheel that the package and its chapters need here, the package's own, and pip's."""
    source.mkdir()
    for name in SOURCE:  # a copy: a build in place would take along what an earlier one left
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    console.print("Collecting wheels. The first time this downloads about 300 MB.")
    where = ["--extra-index-url", CPU_BUILDS] if brings_cuda(resolve("torch")) else []
    needed = [f"{PACKAGE}[lab] @ {source.as_uri()}", "pip"]
    pip("wheel", "--wheel-dir", str(wheels), *where, *needed, SOURCE_DATE_EPOCH=str(EPOCH))


def resolve(package: str) -> dict:
    """pip's report on what it would install for `package`."""
    report = pip(
        "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-", package,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    return json.loads(report.stdout)


def brings_cuda(report: dict) -> bool:
    """Whether a torch comes with gigabytes of CUDA, as PyPI's does on Linux."""
    names = {part["metadata"]["name"].lower() for part in report["install"]}
    return any(name.startswith(("nvidia-", "cuda-")) for name in names)


def pip(
    command: str, *words: str, stdout: object = None, **environment: str
) -> subprocess.CompletedProcess:
    """Shows what pip says to a person as it goes, to a log only where it failed."""
    watched = console.is_terminal
    done = subprocess.run(
        [sys.executable, "-m", "pip", command, "--constraint", CONSTRAINTS, *words],
        stdout=stdout or (sys.stderr if watched else subprocess.PIPE),
        stderr=None if watched else subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    if done.returncode:
        sys.stderr.write(done.stderr or "")
        stop("pip could not collect the wheels: its lines above say why")
    return done


# -- the zip --------------------------------------------------------------------------------------


def name_of(wheels: Path) -> str:
    wheel = next(wheels.glob(f"{PACKAGE.replace('-', '_')}-*.whl"))
    here = made_for()
    return f"{PACKAGE}-offline-{wheel.name.split('-')[1]}-{here['platform']}-py{here['python']}"


def made_for() -> dict[str, str]:
    """What install.py compares the other machine with, in its own words."""
    sys.path.insert(0, str(KIT))
    from install import this_platform

    version = ".".join(map(str, sys.version_info[:2]))
    return {"package": PACKAGE, "python": version, "platform": this_platform()}


def entries(book: Path, wheels: Path) -> dict[str, Path | str]:
    """Name in the zip → a file, or a text."""
    here = made_for()
    readme = (KIT / "README.txt").read_text(encoding="utf-8")
    words = {
        "@PYTHON@": f"Python {here['python']}",
        "@MINOR@": here["python"],
        "@PLATFORM@": here["platform"].replace("-", ", "),
    }
    for word, meaning in words.items():
        readme = readme.replace(word, meaning)
    found: dict[str, Path | str] = {
        "README.txt": readme,
        "LICENSE": ROOT / "LICENSE",
        "made_for.json": json.dumps(here, indent=1),
        "install.py": KIT / "install.py",
        "start.py": KIT / "start.py",
    }
    found |= {f"notebooks/{path.name}": path for path in (ROOT / "notebooks").glob("*.ipynb")}
    found |= {f"wheels/{path.name}": path for path in wheels.glob("*.whl")}
    pages = (path for path in book.rglob("*") if path.is_file() and path.name != ".buildinfo")
    return found | {f"book/{path.relative_to(book).as_posix()}": path for path in pages}


def write_zip(target: Path, files: dict[str, Path | str], folder: str) -> None:
    """Sorted, with one date and one mode for every file, so that equal files make equal zips."""
    date = time.gmtime(EPOCH)[:6]
    with zipfile.ZipFile(target, "w") as archive, Progress(console=console) as progress:
        for name, content in progress.track(sorted(files.items()), description="Writing the zip"):
            info = zipfile.ZipInfo(f"{folder}/{name}", date)
            info.external_attr = 0o100644 << 16
            stored = Path(name).suffix in COMPRESSED
            info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            if isinstance(content, str):
                archive.writestr(info, content)
                continue
            info.file_size = content.stat().st_size
            with content.open("rb") as read, archive.open(info, "w") as written:
                shutil.copyfileobj(read, written, 2**20)


def stop(message: str) -> None:
    print(f"offline: {message}.", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
