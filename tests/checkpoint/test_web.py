"""A checkpoint on a web server: which bytes travel, and all that can go wrong on the way."""

import time
from email.utils import formatdate

import numpy as np
import pytest
import requests
from support.checkpoints import write_random, write_sparse_7b
from support.commands import answer
from support.servers import TOKEN, FileServer, closed_port, nginx, running

from olmo_explain.checkpoint import Checkpoint, head_norms, read_config, read_head, resolve, web
from olmo_explain.checkpoint.web import RemoteFile, WebSource, merged, pause
from olmo_explain.errors import (
    CheckpointError,
    ConfigError,
    ExplainError,
    ModelNotFound,
    RemoteError,
)
from olmo_explain.words import shown

Q_PROJ = "model.layers.17.self_attn.q_proj.weight"
O_PROJ = "model.layers.1.self_attn.o_proj.weight"


@pytest.fixture(autouse=True)
def _quickly(monkeypatch):
    monkeypatch.setattr(web.RETRY, "backoff_factor", 0.005)


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
    (group,) = merged(columns, web.ROUND_TRIP_BYTES, web.LONGEST_SPAN)
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


def test_a_trace_asks_for_the_config_once(small, tmp_path):
    (tmp_path / "config.json").write_bytes((small / "config.json").read_bytes())
    with running(FileServer(tmp_path)) as server:
        assert answer("trace", server.url)["total"] == 12 * 4 + 5
    assert [request.path for request in server.requests] == ["/config.json"]


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
    for asked, said in (("600", "in 600 seconds"), ("601", "later"), ("1000000000", "later")):
        server.busy, server.retry_after = [429], asked
        with pytest.raises(RemoteError, match=rf"answered 429\. Try again {said}\."):
            RemoteFile(f"{server.url}/bytes.bin").read(0, 4)


def test_how_long_it_waits(monkeypatch):
    """As long as the server says, as a number or a date; else as urllib3 does."""
    monkeypatch.setattr(web.RETRY, "backoff_factor", 0.125)
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)

    def waited(said: str | None) -> float:
        response = requests.Response()
        response.headers.update({} if said is None else {"Retry-After": said})
        pause(web.RETRY.increment(), "It is busy", response)
        return slept[-1]

    assert waited("2") == 2 and waited(" 30 ") == 30
    assert 15 < waited(formatdate(time.time() + 20, usegmt=True)) <= 20
    assert waited("0") == waited(formatdate(time.time() - 10**8, usegmt=True)) == 0.25
    for odd in (
        None,
        "",
        "soon",
        "inf",
        "nan",
        "-1",
        "²",
        "1e9",
        "1" + "0" * 5000,
        "Wed, 9 May 99999",
    ):
        assert waited(odd) == 0.25, odd
    pause(web.RETRY.increment().increment(), "It is busy", None)
    assert slept[-1] == 0.5  # longer each time


@pytest.mark.parametrize(
    "said",
    ["31", "9" * 4000, formatdate(time.time() + 10**6, usegmt=True)],
    ids=["seconds", "thousands of digits", "date"],  # the workers must find the same ids
)
def test_it_does_not_wait_for_longer_than_half_a_minute(server, said):
    server.busy, server.retry_after = [503], said
    with pytest.raises(RemoteError, match=r"bin answered 503\. Try again (in 31 seconds|later)\.$"):
        RemoteFile(f"{server.url}/bytes.bin").read(0, 4)
    assert len(server.requests) == 1


def test_the_bar_says_that_it_asks_again(server, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(web, "say", said.append)
    server.busy, server.cut_after = [503], [0]
    RemoteFile(f"{server.url}/bytes.bin").read(0, 4)
    assert said == ["Asking again, try 2 of 5", "Asking again, try 3 of 5"]


def test_a_connection_cut_in_a_range_is_taken_up_where_it_broke(small, server):
    server.cut_after = [65_536, 32_768]
    file = RemoteFile(f"{server.url}/bytes.bin")
    assert file.read(1000, 180_000) == (small / "bytes.bin").read_bytes()[1000:180_000]
    first, second, third = server.requests
    assert first.headers["range"] == "bytes=1000-179999"
    assert second.headers["range"] == "bytes=66536-179999"
    assert third.headers["range"] == "bytes=99304-179999"
    assert file.fetched == server.sent == 179_000


@pytest.mark.parametrize("ignores_ranges", [False, True])
def test_a_small_file_whose_connection_is_cut(small, server, ignores_ranges):
    """It resumes too, or begins anew at a server that knows no ranges."""
    server.cut_after, server.ignores_ranges = [65_536], ignores_ranges
    assert RemoteFile(f"{server.url}/bytes.bin").read_whole() == (small / "bytes.bin").read_bytes()
    asked = [request.headers.get("range") for request in server.requests]
    assert asked == [None, "bytes=65536-"]
    assert server.sent == (265_536 if ignores_ranges else 200_000)


def test_a_connection_that_is_cut_again_and_again(server):
    server.cut_after = [0] * 9
    with pytest.raises(RemoteError, match="cut the connection, 5 times in a row"):
        RemoteFile(f"{server.url}/bytes.bin").read(0, 1000)


def test_tries_count_from_the_last_16_kib_that_came(small, server):
    server.cut_after = [16_384] * 9
    file = RemoteFile(f"{server.url}/bytes.bin")
    assert file.read(0, 200_000) == (small / "bytes.bin").read_bytes()
    assert len(server.requests) == 10


def test_a_file_that_changes_while_it_is_read(server):
    server.headers["ETag"] = '"one"'
    file = RemoteFile(f"{server.url}/bytes.bin")
    file.read(0, 4)
    server.headers["ETag"] = '"two"'
    with pytest.raises(RemoteError, match="changed while it was read"):
        file.read(4, 8)


def test_a_file_whose_size_changes_while_it_is_read(tmp_path):
    (tmp_path / "x").write_bytes(b"12345678")
    with running(FileServer(tmp_path)) as server:
        file = RemoteFile(f"{server.url}/x")
        file.read(0, 4)
        (tmp_path / "x").write_bytes(b"123456789")
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
        (302, {"Location": "/bytes.bin"}, "redirects in a circle"),
        (302, {"Location": "file:///etc/passwd"}, "answered what cannot be read (InvalidSchema)"),
        (302, {"Location": "http://[::1"}, "cannot be read (ValueError)"),
        (302, {"Location": "http://a..b/"}, "answered what cannot be read (LocationParseError)"),
        (206, {"Content-Range": f"bytes 0-3/{'9' * 5000}"}, "no Content-Range that can"),
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
    with pytest.raises(RemoteError, match=r"config\.json cannot be reached\. Check"):
        read_config(closed_port())
    assert time.monotonic() - started < 4


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("REQUESTS_CA_BUNDLE", "/nope", "variable REQUESTS_CA_BUNDLE names no file with"),
        ("CURL_CA_BUNDLE", __file__, "variable CURL_CA_BUNDLE names no file with certificates"),
        ("https_proxy", "http://a..b", "variable https_proxy names no server"),
        ("https_proxy", "http://me:secret@h:99999", "variable https_proxy names no server"),
        ("ALL_PROXY", "socks5://h", "variable ALL_PROXY asks for SOCKS, which takes PySocks and"),
        ("https_proxy", "http://127.0.0.1:1", "Check the address, https_proxy and the network."),
    ],
)
def test_settings_of_this_machine_that_are_of_no_use(monkeypatch, name, value, says):
    monkeypatch.setattr("olmo_explain.settings.find_spec", lambda package: None)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv(name, value)
    with pytest.raises(ExplainError) as raised:
        RemoteFile("https://127.0.0.1:1/x").read(0, 4)
    assert says in str(raised.value) and "secret" not in str(raised.value)


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
    for nowhere in (
        "https://me:secret@",
        "https://[::1?key=secret",
        "https://me:secret@[::1/#secret",
    ):
        with pytest.raises(ModelNotFound, match="names no server") as raised:
            resolve(nowhere)
        assert "secret" not in str(raised.value)


def test_a_token_stays_with_its_host(small, server):
    with running(FileServer(small)) as other:
        server.answers["/away"] = (302, {"Location": f"http://localhost:{other.port}/bytes.bin"})
        server.answers["/port"] = (302, {"Location": f"{other.url}/bytes.bin"})
        server.answers["/near"] = (302, {"Location": "/bytes.bin"})
        for path in ("away", "port", "near"):
            assert RemoteFile(f"{server.url}/{path}", token=TOKEN).read(2, 4) == b"\1\0"
        assert [r.headers.get("authorization") for r in other.requests] == [None, None]
        assert {r.headers.get("authorization") for r in server.requests} == {f"Bearer {TOKEN}"}
