"""A secret is planted in every place where one can stand, and looked for in all that comes out."""

import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from support.commands import run
from support.servers import FileServer, HubServer, closed_port, running

import olmo_explain as oe
from olmo_explain.checkpoint import preset
from olmo_explain.errors import ExplainError

SECRET = "doNotShow-3f9c"
USER = f"me:{SECRET}@"
KEYS = f"?signature={SECRET}&x=1#{SECRET}"
TOKEN = f"hf_{SECRET}"

HEAD = ("--layer", "0", "--head", "0")
COMMANDS = {
    "config": (), "flops": (), "weights": (), "weights of": ("model.norm.weight",), "head": HEAD,
    "head --all": ("--all",), "diff": ("tiny",), "diff of": ("tiny", *HEAD), "trace": (),
    "verify": (), "report": (),
}  # fmt: skip


@pytest.fixture
def world(tmp_path, monkeypatch) -> Iterator[dict[str, Any]]:
    """Servers of tiny and of nothing, by MODEL names that hold the secret; it is also set for the
    hub, for a proxy, and in .netrc.
    """
    from huggingface_hub import constants

    tiny = preset("tiny").directory
    (nothing := tmp_path / "nothing").mkdir()
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.json").write_bytes((tiny / "config.json").read_bytes())
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    (tmp_path / ".netrc").chmod(0o600)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, closed_port().replace("://", f"://{USER}"))
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with (
        running(FileServer(tiny)) as files,
        running(FileServer(nothing)) as empty,
        running(HubServer(tiny, store=files)) as hub,
    ):
        here = f"http://{USER}127.0.0.1"
        monkeypatch.setattr(constants, "ENDPOINT", f"{here}:{hub.port}")
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE",
            f"{here}:{hub.port}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        )  # fmt: skip
        files.answers["/busy/config.json"] = (503, {"Retry-After": "3600"})
        files.answers["/odd/config.json"] = (302, {"Location": f"{here}:99999/{KEYS}"})
        files.answers["/away/config.json"] = (302, {"Location": f"http://{USER}a..b/{KEYS}"})
        yield {
            "_hub": hub,
            "there": f"{here}:{files.port}/{KEYS}",
            "hub": "someone/olmo",
            "no file": f"{here}:{empty.port}/d{KEYS}",
            "busy": f"{here}:{files.port}/busy{KEYS}",
            "redirect": f"{here}:{files.port}/odd{KEYS}",
            "redirect away": f"{here}:{files.port}/away{KEYS}",
            "nobody": f"{closed_port().replace('://', f'://{USER}')}/{KEYS}",
            "no certificate": f"https://{USER}127.0.0.1:{files.port}/{KEYS}",
            "by proxy": f"http://{USER}example.invalid/{KEYS}",
            "no port": f"http://{USER}host:99999/{KEYS}",
            "cut by its own #": f"http://me:#{SECRET}@host/{KEYS}",
            "cut by its own /": f"http://me:{SECRET}/@host/{KEYS}",
            "other scheme": f"HTTP://{USER}host/{KEYS}",
            "one slash": f"http:/{USER}host/{KEYS}",
            "no slash": f"https:{USER}host/{KEYS}",
            "no scheme": f"{USER}127.0.0.1:9/d",
            "no scheme, slashes": f"//{USER}host/d{KEYS}",
            "no scheme, a ?": f"me:?x={SECRET}@host/d",
            "hub, a key": f"owner/name?token={SECRET}",
            "no model on the hub": "someone/nothing",
            "no revision": "someone/olmo@v9",
        }


FAILING = (
    "no file", "busy", "redirect", "redirect away", "nobody", "no certificate", "by proxy",
    "no port", "cut by its own #", "cut by its own /", "other scheme", "one slash",
    "no slash", "no scheme", "no scheme, slashes", "no scheme, a ?", "hub, a key",
    "no model on the hub", "no revision",
)  # fmt: skip


def test_no_command_shows_a_secret(world):
    """Of one that succeeds the text and the JSON, of one that fails its line."""
    said = {}
    for model in ("there", "hub"):
        for command, words in COMMANDS.items():
            slow = command in ("head --all", "trace", "verify", "report")
            for json in [("--json",)] if slow else [(), ("--json",)]:
                ran = run(command.split()[0], world[model], *words, *json, code=None)
                said[model, command, json] = ran
    assert sum(ran.code == 0 for ran in said.values()) == 2 * 18 - 1
    assert "shapes and no weights" in said["there", "verify", ("--json",)].stderr
    for model in FAILING:
        for words in (("config",), ("weights", "--json"), ("report",)):
            said[model, *words] = run(*words, world[model], code=2)
        said[model] = run(world[model], "config", code=2)  # in the place of a command
        said[model, "tensor"] = run("weights", "tiny", world[model], code=2)
        said[model, "number"] = run("head", "tiny", "--layer", world[model], code=2)
    assert not {which for which, ran in said.items() if SECRET in f"{ran.stdout}{ran.stderr}"}


def test_no_explorer_saves_a_secret(world):
    """What a widget's state holds is what is saved into a notebook, and into a published page."""
    explorers = [
        explore(world[model])
        for model in ("there", "hub")
        for explore in (oe.explore_bytes, oe.explore_costs, oe.explore_rope)
    ]
    explorers.append(oe.explore_heads(world["there"], None))
    explorers += [oe.explore_steps(world["hub"]), oe.explore_heads(world["hub"], [5, 6])]
    for explorer in explorers:
        state = {name: value for name, value in explorer.get_state().items() if name[0] != "_"}
        assert "127.0.0.1" in str(state) or world["hub"] in str(state)
        assert SECRET not in str(state) + repr(explorer)


def test_no_error_and_no_repr_shows_a_secret(world, caplog):
    """As a notebook saves them: with every error that led to this one, and the last of a cell."""
    for model in FAILING:
        for call in (oe.read_config, oe.Checkpoint, oe.load):
            with pytest.raises(ExplainError) as raised:
                call(world[model])
            assert SECRET not in "".join(traceback.format_exception(raised.value)), (model, call)
    for model in ("there", "hub"):
        checkpoint = oe.Checkpoint(world[model])
        place = checkpoint.locate("model.norm.weight")
        assert SECRET not in repr(
            [checkpoint, checkpoint.source, place, oe.read_config(world[model])]
        )
    world["_hub"].gated = True  # after config.json, before the weights
    with pytest.raises(ExplainError) as raised:
        oe.load(world["hub"])
    assert SECRET not in "".join(traceback.format_exception(raised.value))
    assert SECRET not in caplog.text
