"""What a figure shows: the engine in the page and PyTorch gather the same, by the same names."""

import math
import random
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

import olmo_explain as oe
from olmo_explain.checkpoint import REGIMES, config_of
from olmo_explain.explorers.looking import LONGEST, SCORES, Asked, Looking
from olmo_explain.explorers.shared import pieces
from olmo_explain.live import shown_faults

CLOSE = 1e-4
LOOK = """async (asked) => {
    const number = (n) => isNaN(n) ? "NaN" : n;
    const plain = (x) => ArrayBuffer.isView(x) ? { numbers: Array.from(x, number) }
        : Array.isArray(x) || x === null || typeof x !== "object" ? x
        : Object.fromEntries(Object.entries(x).map(([name, value]) => [name, plain(value)]));
    return plain((await olmo.open()).look(asked));
}"""
NEAR = "What news from France? I say, what news from"
TEXTS = [
    NEAR,
    "What news from France?\nCome near, good friend. You look as pale as death.\n"
    "You tremble, and your hands are red with blood.\nI say, what news from",
    "a",
    "naïve 🌊 «Ω»",
    " \n ",
    "crown sword moon " * 40,
]


@pytest.fixture(scope="module")
def tiny():
    return oe.load("tiny", "float32")


@pytest.fixture(scope="module")
def python(tiny):
    return Looking(*tiny)


def both(live, python: Looking, asked: Asked) -> tuple[dict, dict]:
    return live.page.evaluate(LOOK, asdict(asked)), python(asked)


def check_same(seen: Any, expected: Any, where: str = "", close: float = CLOSE) -> None:
    if isinstance(expected, dict):
        assert set(seen) == set(expected), where
        for name, value in expected.items():
            check_same(seen[name], value, f"{where}.{name}", close)
    elif isinstance(expected, bytes):
        numbers = np.array([float(n) for n in seen["numbers"]], np.float32)
        kind, unit = ("<u2", 65535) if where in (".looks", ".pattern") else ("<f4", 1)
        theirs = np.frombuffer(expected, kind) / unit
        np.testing.assert_allclose(numbers, theirs, atol=close, rtol=0, err_msg=where)
    elif isinstance(expected, float):
        assert math.isclose(seen, expected, abs_tol=close), where
    else:
        assert seen == expected, where


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_page_and_pytorch_show_the_same(live, python, text):
    draw = random.Random(len(text))
    for rope, score in zip(REGIMES, SCORES, strict=False):
        off = [[draw.randrange(8), draw.randrange(4)] for _ in range(draw.randrange(4))]
        asked = Asked(
            text, [5, 6], draw.choice([None, 0, 7]), draw.randrange(8), score, "q", off, rope
        )
        check_same(*both(live, python, asked))


def test_a_page_and_pytorch_break_alike(live, python, tiny):
    """Each fault that the figure offers, on heads that are off and under another RoPE too."""
    draw = random.Random(8)
    for fault in shown_faults(config_of(tiny[0])):
        rope, off = draw.choice(REGIMES), [[draw.randrange(8), 2]]
        score = draw.choice(list(SCORES))
        asked = Asked(TEXTS[1], [], None, draw.randrange(8), score, "z", off, rope, fault)
        close = 10 * CLOSE if fault == "no-score-scale" else CLOSE  # larger, so are their last bits
        check_same(*both(live, python, asked), close=close)


@pytest.mark.parametrize("score", SCORES)
def test_every_score_is_the_same(live, python, score):
    for text in TEXTS[:4]:
        check_same(*both(live, python, Asked(text, off=[[2, 0]], score=score)))


@pytest.mark.parametrize("layer, step", [(0, "embedding"), (7, "final_norm"), (3, "mask")])
def test_any_value_is_shown(live, python, layer, step):
    seen, expected = both(live, python, Asked(NEAR, layer=layer, step=step))
    check_same(seen, expected)
    assert expected["value"]["shape"] == [1, 11, 11] if step == "mask" else [11, 128]


def test_of_a_long_text_the_last_tokens_are_read(live, python, tiny):
    text = "To be, or not to be. " * 250
    seen, expected = both(live, python, Asked(text, layer=0))
    check_same(seen, expected)
    ids = tiny[1](text)["input_ids"]
    assert ids[seen["dropped"] :] == seen["ids"] and LONGEST - 32 < len(seen["ids"]) <= LONGEST


def test_of_no_text_there_is_nothing_to_show(live, python):
    seen, expected = both(live, python, Asked())
    assert seen == expected
    assert (seen["ids"], seen["at"]) == ([], None)


def test_scores_are_those_of_their_definition(live, python, tiny):
    """Once more, slowly: over the patterns of transformers."""
    model, tokenizer = tiny
    ids = tokenizer(NEAR, return_tensors="pt").input_ids
    patterns = oe.running.attention_patterns(model, ids)[:, 0]  # (L, H, T, T)
    tokens = ids[0].tolist()

    def score(name: str) -> np.ndarray:
        return np.frombuffer(python(Asked(NEAR, score=name))["scores"], "<f4").reshape(8, 4)

    shares = []
    for query, token in enumerate(tokens):
        keys = [key + 1 for key in range(query) if tokens[key] == token]
        if keys:
            shares.append(patterns[:, :, query, keys].sum(-1))
    assert len(shares) == 2  # news and from
    np.testing.assert_allclose(score("induction"), sum(shares) / 2, atol=1e-6)
    before = sum(patterns[:, :, query, query - 1] for query in range(1, 11)) / 10
    np.testing.assert_allclose(score("previous"), before, atol=1e-6)
    added = oe.head_contributions(model, ids, layer=7)[0, -1].norm(dim=-1)  # (H,)
    np.testing.assert_allclose(score("written")[7], added, rtol=1e-5)


def test_part_of_a_letter_is_shown_by_its_bytes(live, tiny):
    tokenizer = tiny[1]
    ids = tokenizer("🌊 é")["input_ids"]
    shown = live.page.evaluate(
        "async (ids) => { const { tokenizer } = await olmo.open();"
        "return ids.map((id) => tokenizer.piece(id)); }",
        ids,
    )
    assert shown == pieces(tokenizer, ids)
    assert shown[0] == "<F0>" and not any("\ufffd" in text for text in shown)
