"""Local servers that count what they send: files by range, with every fault a network has; the
hub's own requests, with its redirect to another host; and a real nginx.

All bind 127.0.0.1 and stop when their `with` block ends.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_doNotShowThisToken"

Answer = tuple[int, dict[str, str], bytes | Path]


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0
    """Bytes of the answer's body."""


@dataclass
class FileServer:
    """Serves a directory with byte ranges; a test may set what goes wrong.

    `busy`: statuses to answer to the next requests, then all is well. `retry_after`: said with
    them. `cut_after`: bytes after which the connection is closed, once for each number in the list.
    `ignores_ranges`: answers 200 with the whole file. `answers`: path → (status, headers), instead
    of a file.
    """

    directory: Path
    busy: list[int] = field(default_factory=list)
    retry_after: str | None = None
    cut_after: list[int] = field(default_factory=list)
    ignores_ranges: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    answers: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def sent(self) -> int:
        """Bytes of all bodies so far."""
        return sum(request.sent for request in self.requests)

    def asked(self, end: str) -> list[Request]:
        """The requests for paths that end so."""
        return [request for request in self.requests if request.path.endswith(end)]

    def counts(self, path: str) -> bool:
        """Whether a request is recorded, and may meet what goes wrong."""
        return True

    def answer(self, path: str, headers: dict[str, str]) -> Answer:
        """Status, headers and the body, or the file to take it from, for a path."""
        if path in self.answers:
            return (*self.answers[path], b"")
        file = self.directory / path.lstrip("/")
        return (200, {}, file) if file.is_file() else (404, {}, b"")


@dataclass
class HubServer(FileServer):
    """Answers as the hub does, for one repository: config and index itself, weights by a redirect
    to `store`, under another host name.

    `commits`: what a branch or tag stands for, each for one request, the last ever after. `token`:
    needed to see the repository. `gated`: everyone sees it, nobody may read it. `branches`: those
    that are listed, with their commits. `trees`: where the files of a commit lie; in `directory`,
    those of all others.
    """

    store: FileServer | None = None
    repository: str = "someone/olmo"
    revisions: tuple[str, ...] = ("main", "v1")
    commits: list[str] = field(default_factory=lambda: [COMMIT])
    token: str | None = None
    gated: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    trees: dict[str, Path] = field(default_factory=dict)

    def counts(self, path: str) -> bool:
        return self.repository in path  # huggingface_hub also asks what has no part in this

    def answer(self, path: str, headers: dict[str, str]) -> Answer:
        repository = re.escape(self.repository)
        asked = re.fullmatch(
            rf"(?:/api/models)?/{repository}/(refs|revision|tree|resolve)/?([^/]*)/?(.*)", path
        )
        given = headers.get("authorization")
        if not asked or (self.token and given is None):
            return 401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Not found"}, b""
        if self.token and given != f"Bearer {self.token}":
            message = "Invalid credentials in Authorization header"
            return 401, {"X-Error-Message": message}, b""
        what, commit, name = asked.groups()
        if what == "refs":
            refs = [
                {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
                for name, commit in self.branches.items()
            ]
            listed = {"branches": refs, "tags": [], "converts": []}
            return 200, {}, json.dumps(listed).encode()
        commit = self.branches.get(commit, commit)
        if commit in self.revisions:
            commit = self.commits[0] if len(self.commits) == 1 else self.commits.pop(0)
        elif not re.fullmatch("[0-9a-f]{40}", commit):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        if what == "revision":
            return 200, {}, json.dumps({"id": self.repository, "sha": commit}).encode()
        if self.gated:
            return 403, {"X-Error-Code": "GatedRepo"}, b""
        file = self.trees.get(commit, self.directory) / name
        if what == "tree" or not file.is_file():
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, b""
        about = {"X-Repo-Commit": commit, "ETag": f'"{file.name}-{file.stat().st_size}"'}
        if self.store and file.suffix == ".safetensors":
            about |= {"X-Linked-Size": str(file.stat().st_size), "X-Linked-ETag": about["ETag"]}
            place = file.relative_to(self.store.directory)
            where = f"http://localhost:{self.store.port}/{place}?signature=doNotShowThis"
            return 302, {**about, "Location": where}, b""
        return 200, about, file


@contextmanager
def running(server: FileServer) -> Iterator[FileServer]:
    """Serves until the block ends."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    httpd.daemon_threads = True
    server.port = httpd.server_address[1]
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def closed_port() -> str:
    """An address at which nobody answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self._serve(with_body=True)

        def do_HEAD(self):
            self._serve(with_body=False)

        def _serve(self, with_body: bool) -> None:
            path = urlsplit(self.path).path
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, path, headers)
            if counts := server.counts(path):
                server.requests.append(request)
            if counts and server.busy:
                status, extra, body = server.busy.pop(0), {}, b""
                if server.retry_after:
                    extra = {"Retry-After": server.retry_after}
            else:
                status, extra, body = server.answer(path, headers)
            if isinstance(body, Path):
                status, extra, body = self._part_of(body, headers.get("range"), extra)
            request.status = status
            self.send_response(status)
            for name, value in {**extra, **server.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self._send(memoryview(body), request)

        def _part_of(self, file: Path, asked: str | None, extra: dict) -> tuple:
            size = file.stat().st_size
            match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked or "")
            if not match or server.ignores_ranges:
                return 200, extra, file.read_bytes()
            first, end = int(match[1]), min(int(match[2] or size) + 1, size)
            if first >= size:
                return 416, {**extra, "Content-Range": f"bytes */{size}"}, b""
            with file.open("rb") as stream:
                stream.seek(first)
                body = stream.read(end - first)
            return 206, {**extra, "Content-Range": f"bytes {first}-{end - 1}/{size}"}, body

        def _send(self, body: memoryview, request: Request) -> None:
            limit = server.cut_after.pop(0) if server.cut_after and body else len(body)
            try:
                for start in range(0, min(limit, len(body)), 2**14):
                    chunk = body[start : min(start + 2**14, limit)]
                    request.sent += len(chunk)  # first: who has read it may ask at once
                    self.wfile.write(chunk)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the reader has hung up
                return
            if limit < len(body):
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_):
            pass

    return Handler


# -- nginx ----------------------------------------------------------------------------------------

NGINX_CONF = """
daemon off; master_process off; pid {run}/pid; error_log {run}/error.log;
events {{ worker_connections 64; }}
http {{
  log_format bytes '$status $body_bytes_sent $request_uri';
  access_log {run}/access.log bytes;
  client_body_temp_path {run}/1; proxy_temp_path {run}/2; fastcgi_temp_path {run}/3;
  uwsgi_temp_path {run}/4; scgi_temp_path {run}/5;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@dataclass
class Nginx:
    url: str
    log: Path

    def sent(self, end: str) -> list[int]:
        """Bytes of each answer to a path that ends so, by its own log. Ask when it has stopped."""
        lines = self.log.read_text().splitlines()
        return [int(line.split()[1]) for line in lines if line.endswith(end)]


@contextmanager
def nginx(directory: Path, run: Path) -> Iterator[Nginx]:
    """A real nginx that serves a directory. Skipped where there is none, except in CI."""
    program = shutil.which("nginx")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("CI has no nginx: install nginx-light")
        pytest.skip("needs nginx")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    conf = run / "nginx.conf"
    conf.write_text(NGINX_CONF.format(run=run, root=directory, port=port))
    process = subprocess.Popen([program, "-c", conf, "-p", run, "-e", run / "error.log"])
    try:
        _wait_for(port)
        yield Nginx(f"http://127.0.0.1:{port}", run / "access.log")
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")
