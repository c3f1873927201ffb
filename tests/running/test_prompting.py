"""From what a reader asks for to token ids: texts, ids, lengths, and what stands in for them."""

import pytest
from support.checkpoints import write_random
from support.commands import answer, refused

from olmo_explain.errors import OutOfRange, UsageError
from olmo_explain.running import GREETING, SONNET, load, prompt_ids


@pytest.fixture(scope="module")
def tiny():
    return load("tiny")


def test_a_text_is_read_by_the_tokenizer(tiny):
    _, tokenizer = tiny
    assert prompt_ids(*tiny, "Hello world").tolist() == [tokenizer("Hello world")["input_ids"]]


def test_ids_are_taken_as_they_are(tiny):
    assert prompt_ids(*tiny, [5, 6, 7]).tolist() == [[5, 6, 7]]


def test_a_length_stands_for_the_first_tokens_again_and_again(tiny):
    model, tokenizer = tiny
    assert prompt_ids(model, tokenizer, length=3).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("default", [GREETING, SONNET])
def test_nothing_is_the_default_as_text_or_as_a_length(tiny, default):
    model, tokenizer = tiny
    read = prompt_ids(model, tokenizer, default=default)
    assert read.tolist() == [tokenizer(default.text)["input_ids"]]
    assert prompt_ids(model, None, default=default).shape == (1, default.length)


def test_a_text_without_a_tokenizer_is_refused_in_words_for_a_notebook_too(tiny):
    model, _ = tiny
    with pytest.raises(UsageError, match="Give token ids in its place") as error:
        prompt_ids(model, None, "Hello")
    assert "--" not in str(error.value)


def test_what_is_no_token_and_what_holds_none(tiny):
    with pytest.raises(OutOfRange, match=r"no token 2048. Token ids go from 0 to 2047"):
        prompt_ids(*tiny, [2048])
    with pytest.raises(UsageError, match=r"holds no token"):
        prompt_ids(*tiny, "")


@pytest.mark.parametrize("way", ["ids", "length"])
def test_longer_than_the_model_is_refused_however_it_is_said(tiny, way):
    model, tokenizer = tiny
    longest = model.config.max_position_embeddings
    asked = {"prompt": [5] * (longest + 1)} if way == "ids" else {"length": longest + 1}
    with pytest.raises(OutOfRange, match=f"{longest + 1:,} tokens.*Give up to {longest:,}"):
        prompt_ids(model, tokenizer, **asked)


@pytest.mark.parametrize("option", ["--prompt-length", "--ids"])
def test_and_by_the_commands(option):
    asked = "2000" if option == "--prompt-length" else ",".join(["5"] * 2000)
    assert "2,000 tokens is longer than the model takes" in refused("trace", "tiny", option, asked)


def test_verify_without_a_tokenizer_runs_on_the_default_length(tmp_path):
    write_random(tmp_path)
    assert answer("verify", tmp_path)["ok"]
    assert answer("trace", tmp_path)["calls"][0]["input_shapes"] == [[1, GREETING.length]]
