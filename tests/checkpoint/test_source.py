"""A MODEL's name and the place that it stands for; what a directory may lack."""

import os
from pathlib import Path

import pytest
from support.checkpoints import write_random
from support.servers import FileServer, running

from olmo_explain.checkpoint import Checkpoint, LocalSource, read_config, resolve
from olmo_explain.errors import CheckpointError, ConfigError, ExplainError, ModelNotFound


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


def test_a_name_that_stands_for_a_file(tmp_path, monkeypatch):
    write_random(tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    for model in (tmp_path / "config.json", f"{tmp_path.name}/model.safetensors"):
        with pytest.raises(ModelNotFound, match=f"is a file. Name its directory, {tmp_path}"):
            resolve(model)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("HTTP://me:secret@a..b/d?key=secret", "HTTP://a..b/d names no server. Write https://h"),
        ("ftp://me:secret@host", "ftp://host is no address that is read here. Write http://host/"),
        ("hf://x/y", "hf://x/y is no address that is read here."),
        ("https:/me:secret@host/d", "https:/host/d is no address that is read here."),
        (Path("https://me:secret@host/d"), "https:/host/d is no address that is read here."),
        (" http://me:secret secret@host", "http://host is no address that is read here."),
        ("http://127.0.0.1:x/d", "http://127.0.0.1 names no server. Write https://host/directory "),
        ("http://h:99999", "or https://host:8080/directory."),
        ("http://me:secret#secret@host/d", "http://me names no server"),
        ("http://me:secret/secret@host/d", "http://me names no server"),
        ("http://me:secret@host:99999/d", "http://host:99999/d names no server"),
        ("http://me:secret@a..b/d", "http://a..b/d names no server"),
        ({"url": "http://me:secret@" + "h" * 60}, "names no model"),
        ("/no/\x1b[31m\u202e\udcff/place", r"directory /no/\x1b[31m\u202e\udcff/place"),
    ],
)
def test_a_name_that_holds_what_may_not_be_shown(model, says):
    with pytest.raises(ExplainError) as raised:
        resolve(model)
    assert says in str(raised.value) and "secret" not in str(raised.value)


def test_a_checkpoint_that_would_be_unpickled(tmp_path, small):
    (tmp_path / "config.json").write_bytes((small / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    says = "only safetensors are read, and nothing is unpickled, which could run any code"
    with pytest.raises(CheckpointError, match=f"{says}; https://.* makes them of a .bin"):
        Checkpoint(tmp_path)
    with running(FileServer(tmp_path)) as server, pytest.raises(CheckpointError, match=says):
        Checkpoint(server.url)
    assert not server.asked("pytorch_model.bin")


@pytest.mark.parametrize("filename", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["pipe", "directory"])
def test_what_is_no_file(tmp_path, filename, make):
    make(tmp_path / filename)
    with pytest.raises(CheckpointError, match=f"{filename} is no regular file"):
        (read_config if filename == "config.json" else Checkpoint)(tmp_path)


def test_a_small_file_that_is_not_small(tmp_path):
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(20 * 2**30)
    with pytest.raises(CheckpointError, match="longer than the 67,108,864 bytes that are read"):
        read_config(tmp_path)


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
