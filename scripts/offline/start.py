"""Opens the notebooks in JupyterLab, from this folder, with no network."""

import os
import subprocess
import sys

from install import BIN, HERE, READY

if __name__ == "__main__":
    if not READY.is_file():
        print("start: nothing is installed yet: run install.py first.", file=sys.stderr)
        sys.exit(1)
    options = ["--ServerApp.root_dir", str(HERE / "notebooks"), *sys.argv[1:]]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}  # the hub is not there: say so at once
    try:
        command = [str(BIN / "python"), "-m", "jupyterlab", *options]
        sys.exit(subprocess.run(command, env=offline).returncode)
    except KeyboardInterrupt:
        sys.exit(130)
