"""What Python holds of the live figure, and what it answers where the page has no engine."""

import json

import numpy as np
import pytest
import torch
import traitlets
from ipywidgets.embed import embed_data

import olmo_explain as oe
from olmo_explain.checkpoint import preset
from olmo_explain.errors import ExplainError, UsageError
from olmo_explain.explorers.model import ModelExplorer

NEAR = "What news from France? I say, what news from"


@pytest.fixture(scope="module")
def tiny():
    return oe.load("tiny", "float32")


def shares(tiny, text: str) -> torch.Tensor:
    model, tokenizer = tiny
    with torch.no_grad():
        logits = model(tokenizer(text, return_tensors="pt").input_ids, use_cache=False).logits
    return logits[0, -1].softmax(-1)


def check_next(explorer, expected: torch.Tensor, tokenizer) -> None:
    best, ids = expected.topk(5)
    tokens, found = zip(*explorer.next_tokens[:5], strict=True)
    assert list(tokens) == [tokenizer.decode([token]) for token in ids.tolist()]
    np.testing.assert_allclose(found, best, atol=1e-6)


def test_what_comes_next_is_what_the_real_module_says(tiny):
    explorer = oe.explore_model("tiny")
    check_next(explorer, shares(tiny, NEAR), tiny[1])
    explorer.off = [[7, 0], [2, 3]]
    with oe.ablate_head(tiny[0], 7, 0), oe.ablate_head(tiny[0], 2, 3):
        check_next(explorer, shares(tiny, NEAR), tiny[1])
    explorer.off, explorer.text = [], "I gave you a horse, you gave me a"
    check_next(explorer, shares(tiny, explorer.text), tiny[1])
    explorer.at = 3
    check_next(explorer, shares(tiny, "I gave you a"), tiny[1])
    explorer.at, explorer.written = None, tiny[1](" horse")["input_ids"]
    check_next(explorer, shares(tiny, explorer.text + " horse"), tiny[1])


def test_what_is_saved_is_the_answer_to_the_choices():
    explorer = oe.explore_model("tiny", layer=3)
    for change in ({"layer": 2}, {"view": "grid"}, {"view": "values", "step": "q"}, {"text": "x"}):
        for name, value in change.items():
            setattr(explorer, name, value)
        asked = explorer.answer["asked"]
        assert {name: asked[name] for name in ("text", "layer")} == {
            "text": explorer.text,
            "layer": explorer.layer,
        }
        assert (asked["score"] is not None) == (explorer.view == "grid")
        assert (asked["step"] is not None) == (explorer.view == "values")


WRONG = [
    ("layer", 8),
    ("head", -1),
    ("off", [[1, 4]]),
    ("off", [[1, 2, 3]]),
    ("at", -1),
    ("written", [2048]),
    ("rope", "none"),
    ("fault", "gelu"),
    ("text", 3),
    ("text", "a\ud800"),
]


@pytest.mark.parametrize("held", [False, True], ids=["at once", "held"])
@pytest.mark.parametrize(("name", "value"), WRONG, ids=range(len(WRONG)))
def test_a_choice_that_the_model_does_not_have(name, value, held):
    explorer = oe.explore_model("tiny")
    before = getattr(explorer, name)
    with pytest.raises(traitlets.TraitError) as raised:
        if held:
            with explorer.hold_trait_notifications():
                setattr(explorer, name, value)
        else:
            setattr(explorer, name, value)
    assert "\n" not in str(raised.value)
    assert getattr(explorer, name) == before
    assert explorer.next_tokens[0][0] == " France"


@pytest.mark.parametrize("prompt", [3, b"x", [], [-1], [1.5], None])
def test_a_prompt_that_is_none(prompt):
    with pytest.raises(ExplainError):
        oe.explore_model("tiny", prompt)


def test_a_model_without_weights_or_tokenizer(tmp_path):
    with pytest.raises(ExplainError, match="without weights"):
        oe.explore_model("olmo3-7b")
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes(preset("tiny").read(name))
    with pytest.raises(UsageError, match="prompt="):
        oe.explore_model(tmp_path)
    explorer = oe.explore_model(tmp_path, [5, 6, 7])
    assert not explorer.has_tokenizer and explorer.answer["tokens"] == ["5", "6", "7"]
    assert explorer.next_tokens[0][0].isdigit()
    assert not explorer.apart and not explorer.others  # texts for tiny
    with pytest.raises(traitlets.TraitError, match="without a tokenizer"):
        explorer.text = "abc"
    assert oe.explore_model(tmp_path, np.array([5, 6, 7])).answer == explorer.answer


def test_a_text_ends_where_the_model_says():
    assert oe.explore_model("tiny").ends == [0]


def test_weights_that_are_no_numbers_leave_a_state_that_can_be_saved():
    model, tokenizer = oe.load("tiny", "float32")
    with torch.no_grad():
        model.model.norm.weight.fill_(torch.nan)
        model.model.layers[0].self_attn.q_proj.weight.fill_(torch.nan)
    explorer = ModelExplorer(model, tokenizer, text=NEAR, own_text=NEAR)
    json.dumps(embed_data(views=[explorer], drop_defaults=False), allow_nan=False)


def test_only_tiny_is_sent_to_the_front_end(tmp_path):
    for file in preset("tiny").directory.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    for model, answers in (("tiny", "open"), (tmp_path, "python")):
        explorer, sent = oe.explore_model(model), []
        explorer.send = lambda message, buffers=None, sent=sent: sent.append((message, buffers))
        explorer._answer(explorer, {"ask": "open"}, [])
        [(message, buffers)] = sent
        assert message["answer"] == answers
        if answers == "open":
            assert buffers == [preset("tiny").read("model.safetensors")]
        # Who has no engine is answered by Python, with each change.
        before = explorer.answer
        explorer.text = "x"
        assert (explorer.answer is before) == (answers == "open")
