"""Where a MODEL lies: a directory, a web server, the hub; and all that can go wrong on the way."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support.checkpoints import write_random, write_sparse_7b
from support.servers import COMMIT, TOKEN, FileServer, HubServer, nginx, running

from olmo_explain import remote
from olmo_explain.checkpoint import (
    Checkpoint,
    LocalSource,
    head_norms,
    read_config,
    read_head,
    resolve,
)
from olmo_explain.checkpoint.source import WebSource
from olmo_explain.checkpoint.web import RemoteFile, merged, retry_after, shown
from olmo_explain.errors import CheckpointError, ConfigError, ModelNotFound, RemoteError

Q_PROJ = "model.layers.17.self_attn.q_proj.weight"
O_PROJ = "model.layers.1.self_attn.o_proj.weight"


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    monkeypatch.setattr(remote, "PAUSES", (0.01, 0.01, 0.01, 0.01))


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A random checkpoint in two shards, beside a file of 200,000 different bytes."""
    directory = tmp_path_factory.mktemp("small")
    write_random(directory, shards=2)
    (directory / "bytes.bin").write_bytes(np.arange(100_000, dtype="<u2").tobytes())
    return directory


@pytest.fixture
def server(small):
    with running(FileServer(small)) as server:
        yield server


def closed_port() -> str:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


# -- names ----------------------------------------------------------------------------------------


def test_names_and_what_they_stand_for(tmp_path, monkeypatch):
    assert resolve("tiny").directory.name == "tiny"
    assert resolve(str(tmp_path)).directory == tmp_path
    assert resolve("https://example.org/olmo/").name == "https://example.org/olmo"
    hub = resolve("someone/olmo@v1")
    assert (hub.repository, hub.revision, hub.name) == ("someone/olmo", "v1", "someone/olmo@v1")
    assert resolve("someone/olmo").revision == "main"
    (tmp_path / "someone" / "olmo").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert isinstance(resolve("someone/olmo"), LocalSource)  # what is here comes first


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("olmo3-8b", "No model named 'olmo3-8b'. Choose tiny, olmo3-7b, olmo3-32b, a directory"),
        ("", "No model named ''"),
        ("/no/such/place", "There is no directory /no/such/place. Name the directory that holds"),
        ("./none", "There is no directory ./none"),
        ("a/b/c", "There is no directory a/b/c"),
        ("https://", "names no server"),
        ("https://[::1", "names no server"),
        ("x" * 300, "No model named 'xxx"),
        ("~nobody-of-this-name/x", "/x"),
    ],
)
def test_a_name_that_stands_for_nothing(model, says):
    with pytest.raises(ModelNotFound) as raised:
        resolve(model)
    assert says in str(raised.value)


def test_what_a_directory_may_lack(tmp_path):
    with pytest.raises(ConfigError, match=r"has no config\.json\. Name a directory that holds"):
        read_config(str(tmp_path))
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors\."):
        Checkpoint(str(tmp_path))
    with pytest.raises(CheckpointError, match="olmo3-7b comes with this package as a config"):
        Checkpoint("olmo3-7b")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    write_random(tmp_path)

    def refuse(path: Path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("olmo_explain.checkpoint.source.LocalFile", refuse)
    with pytest.raises(CheckpointError, match=r"safetensors cannot be read \(Permission denied\)"):
        Checkpoint(str(tmp_path))


# -- which bytes travel ---------------------------------------------------------------------------


def test_ranges_are_merged_where_a_gap_costs_less_than_a_round_trip():
    near, far = [(0, 10), (17, 20)], [(0, 10), (18, 20)]
    assert list(merged(near, 8, 1000)) == [near]
    assert list(merged(far, 8, 1000)) == [far[:1], far[1:]]
    assert list(merged(near, 8, 19)) == [near[:1], near[1:]]  # no longer than 19 bytes
    assert list(merged([(0, 50), (50, 60)], 8, 19)) == [[(0, 50)], [(50, 60)]]
    assert list(merged([(30, 40), (0, 10)], 8, 99)) == [[(30, 40)], [(0, 10)]]
    assert list(merged([], 8, 99)) == []


def test_columns_of_the_7b_travel_in_one_request():
    columns = [(row * 8192, row * 8192 + 256) for row in range(4096)]
    (group,) = merged(columns, remote.ROUND_TRIP_BYTES, remote.LONGEST_SPAN)
    assert group[-1][1] - group[0][0] == 33_546_496


def test_only_the_bytes_of_a_head_travel_from_nginx(tmp_path):
    """Counted by nginx: header and needed bytes, nothing more."""
    (files := tmp_path / "files").mkdir()
    write_sparse_7b(files)
    with nginx(files, tmp_path) as web:
        checkpoint = Checkpoint(web.url)
        place = checkpoint.locate(Q_PROJ, rows=slice(3456, 3584))
        assert checkpoint.read(Q_PROJ, rows=slice(3456, 3584)).shape == (128, 4096)
        assert checkpoint.bytes_fetched == place.bytes_needed == 1_048_576
        checkpoint.read("model.embed_tokens.weight", rows=slice(9906, 9907))
        header = checkpoint.header_bytes
    shards = web.sent(".safetensors")
    assert sum(shards) - web.sent("model.safetensors")[0] == header + 1_048_576 + 8192
    assert 1_048_576 in shards and 8192 in shards


def test_a_web_server_gives_the_same_numbers_as_the_disk(small, server):
    assert read_config(server.url) == read_config(str(small))
    local, web = Checkpoint(str(small)), Checkpoint(server.url)
    assert web.names == local.names
    for name in local.names:
        assert np.array_equal(web.read_bits(name), local.read_bits(name))
    columns = slice(3, 9)
    assert np.array_equal(web.read(O_PROJ, cols=columns), local.read(O_PROJ, cols=columns))
    norms = head_norms(server.url)
    for name, expected in head_norms(str(small)).items():
        assert np.array_equal(norms[name], expected)
    assert read_head(server.url, 1, 3).norms == read_head(str(small), 1, 3).norms


def test_what_is_fetched_is_what_is_sent(server):
    web = Checkpoint(server.url)
    place = web.locate(O_PROJ, cols=slice(8, 16))
    before = server.sent
    web.read(O_PROJ, cols=slice(8, 16))
    first, last = place.byte_ranges[0][0], place.byte_ranges[-1][1]
    assert server.sent - before == web.bytes_fetched == last - first > place.bytes_needed


def test_a_file_may_be_empty_or_end_early(small, tmp_path):
    (tmp_path / "model.safetensors").touch()
    with running(FileServer(tmp_path)) as server:
        with pytest.raises(CheckpointError, match="0 bytes long"):
            Checkpoint(server.url)
        (tmp_path / "model.safetensors").write_bytes(b"123")
        with pytest.raises(CheckpointError, match="3 bytes long"):
            Checkpoint(server.url)
        with pytest.raises(RemoteError, match="ends before byte 10"):
            RemoteFile(f"{server.url}/model.safetensors").read_ranges([(0, 10)])


# -- what goes wrong with a server ----------------------------------------------------------------


def test_a_server_that_ignores_ranges_is_refused_before_its_body_is_read(tmp_path):
    write_random(tmp_path, vocab_size=400_000)  # 51 MB: far more than any buffer on the way
    with running(FileServer(tmp_path, ignores_ranges=True)) as server:
        with pytest.raises(RemoteError) as raised:
            Checkpoint(server.url)
        time.sleep(0.1)
        assert server.sent < 8_000_000
        assert read_config(server.url).vocab_size == 400_000  # a small file is taken whole
    assert "ignores byte ranges: it answered 200, with the whole file" in str(raised.value)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(server, status):
    server.busy = [status] * 3
    assert RemoteFile(f"{server.url}/bytes.bin").read(2, 6) == bytes([1, 0, 2, 0])
    assert len(server.requests) == 4


def test_it_gives_up_after_five_tries(server):
    server.busy = [503] * 9
    with pytest.raises(RemoteError, match=r"bytes\.bin answered 503, 5 times in a row\. "):
        RemoteFile(f"{server.url}/bytes.bin").read(0, 4)
    assert len(server.requests) == 5


def test_it_waits_as_long_as_the_server_asks(server):
    server.busy, server.retry_after = [429], "1"
    started = time.monotonic()
    assert RemoteFile(f"{server.url}/bytes.bin").size == 200_000
    assert time.monotonic() - started >= 1
    server.busy, server.retry_after = [429], "3600"
    with pytest.raises(RemoteError, match=r"answered 429\. Try again in 3600 seconds\."):
        RemoteFile(f"{server.url}/bytes.bin").read(0, 4)
    assert retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after({"Retry-After": "soon"}) is None and retry_after({}) is None


def test_a_connection_cut_in_a_range_is_taken_up_where_it_broke(small, server):
    server.cut_after = [65_536, 32_768]
    file = RemoteFile(f"{server.url}/bytes.bin")
    assert file.read(1000, 180_000) == (small / "bytes.bin").read_bytes()[1000:180_000]
    first, second, third = server.requests
    assert first.headers["range"] == "bytes=1000-179999"
    assert second.headers["range"] == "bytes=66536-179999"
    assert third.headers["range"] == "bytes=99304-179999"
    assert file.fetched == server.sent == 179_000


def test_a_connection_that_is_cut_again_and_again(server):
    server.cut_after = [0] * 9
    with pytest.raises(RemoteError, match="cut the connection, 5 times in a row"):
        RemoteFile(f"{server.url}/bytes.bin").read(0, 1000)


def test_a_file_that_changes_while_it_is_read(server):
    server.headers["ETag"] = '"one"'
    file = RemoteFile(f"{server.url}/bytes.bin")
    file.read(0, 4)
    server.headers["ETag"] = '"two"'
    with pytest.raises(RemoteError, match="changed while it was read"):
        file.read(4, 8)


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (401, {}, "refuses access (401). Check the address, and that you may read it"),
        (403, {}, "refuses access (403)"),
        (418, {}, "answered 418"),
        (206, {}, "with 206 and no Content-Range"),
        (206, {"Content-Range": "bytes 5-9/100"}, "with other bytes than it was asked for"),
        (206, {"Content-Range": "bytes 0-3/9", "Content-Encoding": "gzip"}, "with other bytes"),
        (302, {"Location": "/bytes.bin"}, "cannot be read (TooManyRedirects)"),
        (302, {"Location": "file:///etc/passwd"}, "cannot be read (InvalidSchema)"),
    ],
)
def test_an_answer_that_is_of_no_use(server, status, headers, says):
    server.answers["/bytes.bin"] = (status, headers)
    with pytest.raises(RemoteError) as raised:
        RemoteFile(f"{server.url}/bytes.bin").read(0, 4)
    assert says in str(raised.value)


def test_a_file_that_a_web_server_does_not_have(tmp_path):
    with running(FileServer(tmp_path)) as server:
        with pytest.raises(ConfigError, match=r"127\.0\.0\.1:\d+ has no config\.json"):
            read_config(server.url)
        with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
            Checkpoint(server.url)


def test_nobody_there_is_said_at_once():
    started = time.monotonic()
    with pytest.raises(RemoteError, match=r"config\.json cannot be reached"):
        read_config(closed_port())
    assert time.monotonic() - started < 4


def test_neither_password_nor_signature_is_printed(server):
    url = f"http://me:secret@127.0.0.1:{server.port}/nothing?signature=secret"
    source = WebSource(url)
    with pytest.raises(ConfigError) as raised:
        source.read("config.json")
    assert "secret" not in str(raised.value) + source.name
    assert server.requests[0].headers["authorization"].startswith("Basic ")
    server.busy = [500] * 9
    with pytest.raises(RemoteError) as raised:
        source.open("x").read(0, 1)
    assert "secret" not in str(raised.value)
    assert shown("https://u:p@host:1/a/b?c#d") == "https://host:1/a/b"


def test_a_token_stays_with_its_host(small, server):
    with running(FileServer(small)) as other:
        server.answers["/away"] = (302, {"Location": f"http://localhost:{other.port}/bytes.bin"})
        server.answers["/port"] = (302, {"Location": f"{other.url}/bytes.bin"})
        server.answers["/near"] = (302, {"Location": "/bytes.bin"})
        for path in ("away", "port", "near"):
            assert RemoteFile(f"{server.url}/{path}", token=TOKEN).read(2, 4) == b"\1\0"
        assert [r.headers.get("authorization") for r in other.requests] == [None, None]
        assert {r.headers.get("authorization") for r in server.requests} == {f"Bearer {TOKEN}"}


# -- the hub --------------------------------------------------------------------------------------


@pytest.fixture
def hub(small):
    with running(FileServer(small)) as store, running(HubServer(small, store=store)) as hub:
        yield hub


@pytest.fixture
def ask(tmp_path):
    """Runs a command in a process of its own, as huggingface_hub reads its settings on import."""

    def ask(*words: str, hub: HubServer | None = None, code: int = 0, **settings: str):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        environment |= {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": closed_port(), **settings}
        if hub:
            environment["HF_ENDPOINT"] = hub.url
        ran = subprocess.run(
            [sys.executable, "-m", "olmo_explain", *words],
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
        )
        assert ran.returncode == code, ran.stderr
        assert TOKEN not in ran.stdout + ran.stderr and "doNotShow" not in ran.stderr
        if code == 0:
            return json.loads(ran.stdout)
        assert ran.stderr.count("\n") == 1, ran.stderr
        return ran.stderr

    return ask


def test_a_head_from_the_hub(small, hub, ask):
    words = ("head", "someone/olmo@v1", "--layer", "1", "--head", "3", "--json")
    head = ask(*words, hub=hub, HF_TOKEN=TOKEN)
    expected = read_head(str(small), 1, 3).to_dict()
    assert head["slices"]["o_proj"]["norm"] == expected["slices"]["o_proj"]["norm"]
    assert len(hub.asked("revision/v1")) == 1
    for name in ("model.safetensors", "model.safetensors.index.json"):  # all of one commit
        assert {r.path for r in hub.asked(name)} == {f"/someone/olmo/resolve/{COMMIT}/{name}"}
    # The token went to the hub, and never to the host that it redirects to.
    assert all(r.headers["authorization"] == f"Bearer {TOKEN}" for r in hub.requests)
    assert hub.store.requests and not any("authorization" in r.headers for r in hub.store.requests)
    weights = sum(path.stat().st_size for path in small.glob("*.safetensors"))
    assert 0 < hub.store.sent < weights / 4  # ranges, not files


def test_the_cache_answers_without_a_network(hub, ask, small, tmp_path):
    fetched = ask("config", "someone/olmo", "--json", hub=hub)
    before = len(hub.requests)
    assert ask("config", "someone/olmo", "--json", HF_HUB_OFFLINE="1") == fetched
    assert ask("config", "someone/olmo", "--json") == fetched  # the hub cannot be reached
    assert ask("config", f"someone/olmo@{COMMIT}", "--json", hub=hub) == fetched
    assert len(hub.requests) == before  # a commit never changes: no need to ask
    # A file of weights that is in the cache is read from there.
    (snapshot,) = (tmp_path / "hf").glob("hub/models--someone--olmo/snapshots/*")
    for name in ("model.safetensors.index.json", *(p.name for p in small.glob("*.safetensors"))):
        (snapshot / name).write_bytes((small / name).read_bytes())
    words = ("weights", "someone/olmo", O_PROJ, "--rows", "0:1", "--json")
    assert ask(*words, HF_HUB_OFFLINE="1")["bytes_fetched"] == 64


def test_a_busy_hub_is_asked_again(hub, ask):
    hub.busy, hub.retry_after = [429, 503], "0"
    assert ask("config", "someone/olmo", "--json", hub=hub)["hidden_size"] == 32


@pytest.mark.parametrize(
    ("model", "settings", "token", "gated", "says"),
    [
        ("someone/nothing", {}, None, False, "There is no directory someone/nothing here, and no"),
        ("someone/olmo", {}, TOKEN, False, "Check the name; for a private model set HF_TOKEN"),
        (
            "someone/olmo",
            {"HF_TOKEN": "hf_old"},
            TOKEN,
            False,
            "refuses access to someone/olmo (401)",
        ),
        ("someone/olmo@v9", {}, None, False, "someone/olmo has no revision 'v9'. Name one of"),
        ("someone/olmo", {}, None, True, "someone/olmo is gated. Accept its terms at http://127"),
        ("some--one/olmo", {}, None, False, "There is no directory some--one/olmo here"),
    ],
)
def test_what_the_hub_does_not_give(hub, ask, model, settings, token, gated, says):
    hub.token, hub.gated = token, gated
    assert says in ask("config", model, hub=hub, code=2, **settings)


def test_a_private_model_with_its_token(hub, ask):
    hub.token = TOKEN
    assert ask("config", "someone/olmo", "--json", hub=hub, HF_TOKEN=TOKEN)["vocab_size"] == 64


def test_a_repository_without_config_or_weights(tmp_path, ask):
    (empty := tmp_path / "empty").mkdir()
    with running(HubServer(empty)) as hub:
        assert "someone/olmo has no config.json" in ask("config", "someone/olmo", hub=hub, code=2)
        (empty / "config.json").write_text("{}")
        words = ("weights", "someone/olmo", "model.norm.weight")
        assert "someone/olmo has no model.safetensors" in ask(*words, hub=hub, code=2)


def test_a_hub_that_cannot_be_reached_is_said_soon(ask):
    started = time.monotonic()
    said = ask("config", "someone/olmo", code=2)
    assert "cannot be reached" in said and "HF_ENDPOINT" in said
    assert time.monotonic() - started < 15  # its own retries would take 23
    assert "HF_HUB_OFFLINE is set" in ask("config", "someone/olmo", code=2, HF_HUB_OFFLINE="1")
