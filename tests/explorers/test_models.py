"""What an explorer may be of: a name, a path, a source, a URL; and what it says where it cannot."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from support.checkpoints import write_random
from support.commands import run_python
from support.servers import COMMIT, FileServer, HubServer, running

import olmo_explain as oe
from olmo_explain.checkpoint import LocalSource, preset
from olmo_explain.errors import CheckpointError, UsageError

EXPLORERS = {
    "explore_bytes": {},
    "explore_claims": {},
    "explore_costs": {},
    "explore_heads": {},
    "explore_model": {"prompt": "To be"},
    "explore_rope": {},
    "explore_steps": {"prompt": "To be"},
}


class Folder(os.PathLike):
    """A path of another kind than pathlib's."""

    def __init__(self, path: Path):
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)

    __str__ = __fspath__


@pytest.fixture
def tiny(tmp_path) -> Path:
    """A copy of tiny in a directory of another name."""
    return Path(shutil.copytree(preset("tiny").directory, tmp_path / "copy"))


def name_of(explorer) -> str:
    """What the page calls its model."""
    return explorer.name if hasattr(explorer, "name") else explorer.model


@pytest.mark.parametrize("kind", [str, Path, Folder, LocalSource])
@pytest.mark.parametrize(("explore", "options"), EXPLORERS.items())
def test_a_model_is_a_name_a_path_or_a_source(tiny, explore, options, kind):
    explorer = getattr(oe, explore)(kind(tiny), **options)
    assert name_of(explorer).removesuffix(", config only") == tiny.name
    # What is saved into a page does not tell in whose directory the model lies.
    assert not any(str(tiny.parent) in str(getattr(explorer, name)) for name in explorer.keys)


def test_a_directory_that_is_called_as_a_preset(tiny):
    directory = tiny.rename(tiny.with_name("tiny"))
    explorer = oe.explore_costs(directory)
    assert explorer.model == "./tiny" and "tiny" in explorer.sizes
    assert oe.explore_bytes(directory).name == "./tiny"


@pytest.mark.parametrize(("explore", "options"), EXPLORERS.items())
def test_tiny_is_called_what_it_is(explore, options):
    said = name_of(getattr(oe, explore)(preset("tiny"), **options))
    expected = {"explore_costs": "tiny", "explore_rope": "tiny, config only"}
    assert said == expected.get(explore, "tiny (trained, bundled)")


def test_costs_of_a_model_of_your_own_stand_beside_the_presets(tiny):
    explorer = oe.explore_costs(tiny, seq=64)
    assert list(explorer.sizes) == ["tiny", "olmo3-7b", "olmo3-32b", tiny.name]
    assert explorer.costs.attention == oe.count_costs(oe.read_config("tiny"), 64).attention


# -- asked for once -------------------------------------------------------------------------------


READING = [  # what reads a file, or parts of one, and runs nothing
    ("explore_bytes", {}),
    ("explore_costs", {}),
    ("explore_heads", {"prompt": None}),
    ("explore_rope", {}),
]


@pytest.mark.parametrize(("explore", "options"), READING)
def test_from_a_url_nothing_is_fetched_twice_and_no_secret_is_saved(explore, options):
    with running(FileServer(preset("tiny").directory)) as server:
        url = server.url.replace("//", "//me:secret@") + "/?signature=abc"
        explorer = getattr(oe, explore)(url, **options)
    asked = Counter((r.path, r.headers.get("range")) for r in server.requests)
    assert set(asked.values()) == {1}
    assert len(server.asked("config.json")) == 1
    state = {name: str(getattr(explorer, name)) for name in explorer.keys}
    assert server.url in json.dumps(state)
    assert not any("secret" in value or "signature" in value for value in state.values())


@pytest.mark.parametrize(("explore", "options"), READING)
def test_a_branch_of_the_hub_is_looked_up_once(explore, options, tmp_path):
    """So that config and weights come from one commit, though the branch may move meanwhile."""
    directory = preset("tiny").directory
    with (
        running(FileServer(directory)) as store,
        running(HubServer(directory, store=store)) as hub,
    ):
        code = f"import olmo_explain as oe; oe.{explore}('someone/olmo', **{options})"
        run_python("-c", code, HF_HOME=str(tmp_path), HF_ENDPOINT=hub.url)
    assert len(hub.asked("/revision/main")) == 1
    weights = {request.path for request in hub.asked(".safetensors")}
    assert weights <= {f"/someone/olmo/resolve/{COMMIT}/model.safetensors"}
    assert bool(weights) == (explore in ("explore_bytes", "explore_heads"))


# -- in the words of somebody with a notebook -----------------------------------------------------


@pytest.mark.parametrize("explore", [oe.explore_bytes, oe.explore_heads, oe.explore_steps])
@pytest.mark.parametrize("model", ["olmo3-7b", "olmo3-32b"])
def test_a_config_without_weights_says_so(explore, model):
    wanted = f"{model} comes with this package as a config, without weights. Name a directory, "
    with pytest.raises(CheckpointError) as raised:
        explore(model)
    assert str(raised.value) == wanted + "a hub id or a URL that holds them."


@pytest.mark.parametrize("explore", [oe.explore_heads, oe.explore_steps])
def test_what_is_read_by_ranges_cannot_run(explore):
    with running(FileServer(preset("tiny").directory)) as server:
        with pytest.raises(UsageError, match=r"cannot run\. Name a directory") as raised:
            explore(server.url)
        assert ("prompt=None" in str(raised.value)) == (explore is oe.explore_heads)
        assert server.sent < 100_000  # of 4 MB


@pytest.mark.parametrize("explore", [oe.explore_heads, oe.explore_steps])
def test_without_a_tokenizer_a_prompt_is_token_ids(explore, tmp_path):
    write_random(tmp_path)
    advice = r"comes without a tokenizer, .* Give token ids, as prompt=\[5, 6, 7\]"
    with pytest.raises(UsageError, match=advice):
        explore(tmp_path)
    with pytest.raises(UsageError, match=advice):
        explore(tmp_path, "Hello")
    explorer = explore(tmp_path, prompt=[5, 6, 7])  # as advised
    assert explorer.tokens == ["5", "6", "7"]


def test_a_text_and_its_ids_are_one_prompt():
    _, tokenizer = oe.load("tiny")
    by_text = oe.explore_heads("tiny", "To be, or not")
    by_ids = oe.explore_heads("tiny", tokenizer("To be, or not")["input_ids"])
    assert by_text.tokens == by_ids.tokens == ["To", " be", ",", " or", " not"]
    assert by_text.patterns == by_ids.patterns


@pytest.mark.parametrize(
    ("layer_types", "layer"),
    [
        (["sliding_attention"] * 4, 3),
        (["full_attention"] * 4, 3),
        (["sliding_attention", "full_attention", "sliding_attention", "sliding_attention"], 1),
    ],
)
def test_heads_begin_at_the_last_full_layer_or_the_last(tmp_path, layer_types, layer):
    write_random(tmp_path, layer_types=layer_types)
    explorer = oe.explore_heads(tmp_path, prompt=[1, 2, 3])
    assert explorer.layer == layer
    patterns = np.frombuffer(explorer.patterns, "<u2").reshape(4, 4, 3, 3)
    assert np.abs(patterns.sum(axis=-1, dtype=int) - 65_535).max() <= 2  # each of 3 is rounded


def test_an_olmo_2_is_walked_through(tmp_path):
    write_random(tmp_path, model_type="olmo2", sliding_window=None)
    explorer = oe.explore_steps(tmp_path, prompt=[1, 2, 3])
    assert explorer.layer_types == ["full_attention"] * 4
    assert all(all(layer) for layer in explorer.equal)
