"""Runs a command with no network but this machine's own: `python cut_off.py COMMAND …`.

In a network namespace of its own where the system lets us make one: there the only interface is
the loopback, and every other address is out of reach. Elsewhere pip and every client that heeds
the proxy variables is sent to a port that nobody answers.
"""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

NAMESPACE = ["unshare", "--map-root-user", "--net"]
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
NOWHERE = "http://127.0.0.1:9"  # the discard port
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def command(*words: object) -> list[str]:
    """The command line that runs `words` cut off from the network."""
    return [sys.executable, str(Path(__file__).resolve()), *map(str, words)]


def has_namespaces() -> bool:
    if not shutil.which("unshare"):
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode == 0


def raise_loopback() -> None:
    import fcntl
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as some:
        fcntl.ioctl(some, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--inside", *words]:
            raise_loopback()
        case words if has_namespaces():
            words = [*NAMESPACE, *command("--inside", *words)]
        case words:
            os.environ.update(
                dict.fromkeys(PROXIES, NOWHERE), PIP_NO_INDEX="1", no_proxy="", NO_PROXY=""
            )
    os.execvp(words[0], words)
