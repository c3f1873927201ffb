"""Installs OLMo Explain from this folder, with no network. Needs Python alone.

Run it again at any time: what was interrupted is begun anew, what is done is left alone.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
WHEELS = HERE / "wheels"
VENV = HERE / ".venv"
READY = VENV / "ready"  # written last: a .venv without it is half an installation
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
NEEDED_DISK = 2 * 10**9  # bytes


def main():
    made_for = json.loads((HERE / "made_for.json").read_text(encoding="utf-8"))
    check(made_for)
    if READY.is_file():
        print("Installed already: python start.py opens the notebooks.")
    else:
        install(made_for["package"])
    return subprocess.run([str(BIN / "olmo-explain"), "doctor", "--workshop"], cwd=HERE).returncode


def check(made_for):
    """This Python, this machine and this folder must be what the wheels were made for."""
    here = {"python": ".".join(map(str, sys.version_info[:2])), "platform": this_platform()}
    for key, found in here.items():
        if found != made_for[key]:
            stop(f"this is {key} {found}, and the zip is for {made_for[key]}: use the right zip")
    if not READY.is_file() and shutil.disk_usage(HERE).free < NEEDED_DISK:
        stop("there are less than 2 GB of free disk: delete something, then run this again")


def install(package):
    print(f"Installing {len(list(WHEELS.glob('*.whl')))} packages into {VENV}", flush=True)
    try:
        if VENV.exists():
            shutil.rmtree(VENV)
        # Debian's Python cannot put pip into an environment; the pip among our wheels can run.
        venv.create(VENV, with_pip=False, symlinks=os.name != "nt")
    except (OSError, ValueError) as error:  # ValueError: a path that no environment can have
        stop(f"{error}: unpack the zip into another folder, one of your own")
    run(
        "-m", "pip", "--isolated", "install", "--no-index", "--find-links", str(WHEELS),
        "--quiet", "--disable-pip-version-check", f"{package}[lab]",
        PYTHONPATH=str(next(WHEELS.glob("pip-*.whl"))),
    )  # fmt: skip
    # JupyterLab asks at its first start whether it may fetch news. It may not: there is no network.
    news = "@jupyterlab/apputils-extension:announcements"
    run("-m", "jupyter", "labextension", "disable", news)
    READY.touch()


def run(*words, **environment):
    command = [str(BIN / "python"), *words]
    if subprocess.run(command, cwd=HERE, env={**os.environ, **environment}).returncode:
        stop("the lines above say what went wrong; run this again when it is mended")


def this_platform():
    system = {"Darwin": "macOS"}.get(platform.system(), platform.system())
    return f"{system}-{platform.machine().lower()}"


def stop(message):
    print(f"install: {message}.", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        stop("interrupted: run it again, it begins anew")
