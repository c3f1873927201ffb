"""A MODEL's name and the place that it stands for; what a directory may lack."""

from pathlib import Path

import pytest
from support.checkpoints import write_random

from olmo_explain.checkpoint import Checkpoint, LocalSource, read_config, resolve
from olmo_explain.errors import CheckpointError, ConfigError, ModelNotFound


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
