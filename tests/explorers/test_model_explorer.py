"""What Python holds of the live figure, and what it answers where the page has no engine."""

import numpy as np
import pytest
import torch
import traitlets

import olmo_explain as oe
from olmo_explain.checkpoint import preset
from olmo_explain.errors import ExplainError, OutOfRange, UsageError

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


@pytest.mark.parametrize(
    "name, value, error",
    [
        ("layer", 8, OutOfRange),
        ("head", -1, OutOfRange),
        ("off", [[1, 4]], OutOfRange),
        ("off", [[1, 2, 3]], traitlets.TraitError),
        ("at", -1, OutOfRange),
        ("written", [2048], OutOfRange),
        ("rope", "none", traitlets.TraitError),
        ("text", 3, traitlets.TraitError),
    ],
)
def test_a_choice_that_the_model_does_not_have(name, value, error):
    explorer = oe.explore_model("tiny")
    before = getattr(explorer, name)
    with pytest.raises(error):
        setattr(explorer, name, value)
    assert getattr(explorer, name) == before


@pytest.mark.parametrize("prompt", [3, b"x", [], [-1], [1.5]])
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
