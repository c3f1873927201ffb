"""Each notebook in a kernel of its own and an empty folder, and the most memory that it took.

`python scripts/run_alone.py notebooks/*.ipynb` prints one JSON object a notebook. Needs what
JupyterLab brings along, nothing else; Linux tells a process's peak, other systems do not.
"""

import json
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

TIMEOUT = 300  # seconds a cell


def run(path: Path) -> dict:
    """Its name, the kernel's peak in bytes, seconds, what it said on stderr, the files it left."""
    notebook = nbformat.read(path, as_version=4)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=TIMEOUT,
            resources={"metadata": {"path": folder}},
            kernel_name="python3",
        )
        with client.setup_kernel():
            for index, cell in enumerate(notebook.cells):
                client.execute_cell(cell, index)
            peak = peak_memory(client.km.provisioner.process.pid)
        left = sorted(entry.name for entry in Path(folder).iterdir())
    said = [
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stderr"
    ]
    return {
        "notebook": path.stem,
        "peak_bytes": peak,
        "seconds": round(time.monotonic() - started, 1),
        "stderr": "".join(said),
        "left": left,
    }


def peak_memory(process: int) -> int | None:
    """The most memory, in bytes, that a running process has held at a time."""
    status = Path(f"/proc/{process}/status")
    if not status.is_file():
        return None
    return 1024 * int(re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)[1])


if __name__ == "__main__":
    KernelManager.transport_encryption.default_value = "auto"  # or ipykernel 7 warns of plain TCP
    for name in sys.argv[1:]:
        print(json.dumps(run(Path(name))), flush=True)
