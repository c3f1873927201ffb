"""A repository on the hub: its commit, its cache, its token, and what it may answer."""

import json
import re
import threading
import time

import pytest
import torch
from support.commands import run_process, run_python
from support.servers import COMMIT, TOKEN, FileServer, HubServer, closed_port, running

from olmo_explain.checkpoint import HubSource, preset, read_head
from olmo_explain.checkpoint import hub as hub_module
from olmo_explain.errors import RemoteError

O_PROJ = "model.layers.1.self_attn.o_proj.weight"


@pytest.fixture
def hub(small):
    with running(FileServer(small)) as store, running(HubServer(small, store=store)) as hub:
        yield hub


@pytest.fixture
def ask(tmp_path):
    """Runs a command in a process of its own, as huggingface_hub reads its settings on import."""

    def ask(*words: str, hub: HubServer | None = None, code: int = 0, **settings: str):
        endpoint = hub.url if hub else closed_port()
        there = {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": endpoint, **settings}
        ran = run_process(*words, code=code, **there)
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


class Unpickled:
    """Leaves a file where it is unpickled."""

    def __init__(self, where):
        self.where = where

    def __reduce__(self):
        return open, (str(self.where), "w")


def test_nothing_is_unpickled(ask, small, tmp_path):
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "config.json").write_bytes((small / "config.json").read_bytes())
    torch.save(
        {"model.norm.weight": Unpickled(tmp_path / "left")}, repository / "pytorch_model.bin"
    )
    with running(HubServer(repository)) as hub:
        said = ask("trace", "someone/olmo", "--ids", "1,2", hub=hub, code=2)
        assert not hub.asked("pytorch_model.bin")
    assert "has no model.safetensors" in said and "nothing is unpickled" in said
    assert not (tmp_path / "left").exists()


def test_a_busy_hub_is_asked_again(hub, ask):
    hub.busy, hub.retry_after = [429, 503], "0"
    assert ask("config", "someone/olmo", "--json", hub=hub)["hidden_size"] == 32


def test_a_hub_that_never_sends_the_file(monkeypatch, tmp_path):
    """huggingface_hub would ask again for minutes. Whatever it does then, the process may end."""
    import huggingface_hub

    came = threading.Event()
    monkeypatch.setattr(hub_module, "MOST_SECONDS", 0.6)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: came.wait())
    monkeypatch.setattr(HubSource, "commit", COMMIT)
    try:
        with pytest.raises(RemoteError, match=r"not sent config\.json of a/b within 1 s\. Try"):
            HubSource("a/b").read("config.json")
    finally:
        came.set()


class Plain(HubServer):
    """A server of files, without what the hub says of each."""

    def answer(self, path, headers):
        status, about, body = super().answer(path, headers)
        return status, {name: about[name] for name in about.keys() - {"X-Repo-Commit"}}, body


def test_a_server_of_files_is_no_hub(ask, small):
    """huggingface_hub's advice names HF_HOME and HF_ENDPOINT, which are as they should be."""
    with running(Plain(small)) as hub:
        said = ask("config", "someone/olmo", hub=hub, code=2)
    assert f"{hub.url} answered what cannot be used (FileMetadataError). Check HF_EN" in said


def test_a_hub_that_asks_for_an_hour_is_not_waited_for(hub, ask):
    hub.busy, hub.retry_after = [429], "3600"
    said = ask("config", "someone/olmo", hub=hub, code=2)
    assert "answered 429 for someone/olmo. Try again later." in said
    assert len(hub.requests) == 1


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("HF_ENDPOINT", "http://[::1", "variable HF_ENDPOINT names no server. Correct or unset"),
        ("HF_ENDPOINT", "http://h:99999", "HF_ENDPOINT names no server. Write https://host, or"),
        ("HF_HOME", f"{__file__}/x", f"HF_HOME leads to {__file__}/x/token, which cannot be used"),
        ("HF_TOKEN", "hf_ö", "variable HF_TOKEN holds what no token does. Correct or unset it."),
        ("SSL_CERT_FILE", "/nope", "variable SSL_CERT_FILE names no file with certificates."),
        ("all_proxy", "http://localhost:9", "Check the network, all_proxy and HF_ENDPOINT, or"),
    ],
)
def test_settings_of_this_machine_that_are_of_no_use(ask, hub, name, value, says):
    assert says in ask("config", "someone/olmo", hub=hub, code=2, no_proxy="", **{name: value})


@pytest.mark.parametrize("sha", ["../../x", 3, None, "A" * 40])
def test_a_commit_that_is_none_never_becomes_a_path(small, ask, sha):
    with running(HubServer(small, commits=[sha])) as hub:
        said = ask("config", "someone/olmo", hub=hub, code=2)
    assert f"{hub.url} names no commit of someone/olmo. Check HF_ENDPOINT." in said
    assert {"/api/models/someone/olmo/revision/main"} == {r.path for r in hub.requests}


def test_an_explorer_reads_config_weights_and_tokenizer_at_one_commit(tmp_path):
    tiny, first, second = preset("tiny").directory, "1" * 40, "2" * 40
    with (
        running(FileServer(tiny)) as store,
        running(HubServer(tiny, store=store, commits=[first, second])) as hub,
    ):
        run_python(
            "-c",
            "import olmo_explain as oe; oe.explore_heads('someone/olmo')",
            HF_HOME=str(tmp_path),
            HF_ENDPOINT=hub.url,
        )
    asked = [
        re.search("(?:revision|tree|resolve)/(.*)", request.path)[1] for request in hub.requests
    ]
    # What main stands for is asked once. That its config.json is also asked for by that name is
    # for the cache, which remembers the name; nothing is read from this answer.
    assert asked.count("main") == 1
    others = {path for path in asked if not path.startswith(first)}
    assert others == {"main", "main/config.json"}
    read = {path.removeprefix(f"{first}/") for path in asked}
    assert read >= {"config.json", "model.safetensors", "tokenizer.json"}


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
