"""Text to ids and back in the page: as the tokenizer of Python, on any text."""

import json
import random
import sys

import pytest

import olmo_explain as oe
from olmo_explain.checkpoint import preset
from olmo_explain.live import engine

ENCODE = """async (texts) => {
    const { tokenizer } = await olmo.open();
    return texts.map((text) => tokenizer.encode(text));
}"""
DECODE = """async (lists) => {
    const { tokenizer } = await olmo.open();
    return lists.map((ids) => tokenizer.decode(ids));
}"""
PIECES = [
    "the", " king", "'s", "'LL", "'re", "don't", "ROMEO:", "\n", "\r\n", "  ", "\t", "0", "1599",
    "½", "²", "é", "e\u0301", "ß", "Ω", "й", "中文", "한국", "ไทย", "עברית", "العربية", "🌊",
    "👩\u200d👧", "🇬🇧", "𝔘", "𝟘", "\u0085", "\u00a0", "\u2003", "\u2028", "\u3000", "\ufeff",
    "\u200b", "\ufffd", "\x00", "\x1c", "\x7f", "\u00ad", ".", "...", "—", "_", "$", "€", "Ġ", "Ċ",
    "<|endoftext|>", "<|pad|>", "<|endof", "|>", "\U000e0001", "\U0010ffff",
]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return oe.load("tiny", "float32")[1]


def random_texts(count: int) -> list[str]:
    draw = random.Random(count)

    def letter() -> str:
        """Any that UTF-8 can say; a third of them ASCII."""
        code = draw.randrange(draw.choice([0x80, 0x3000, sys.maxunicode + 1]))
        return chr(code) if not 0xD800 <= code < 0xE000 else " "

    texts = ["", " ", "   ", "\n\n\n", " " * 90, "a" * 300, "aaaa bbbb " * 20]
    while len(texts) < count:
        known = draw.choices(PIECES, k=draw.randrange(1, 16))
        texts.append("".join(piece if draw.random() < 0.8 else letter() for piece in known))
    return texts


def test_ids_are_those_of_python_and_back(live, tokenizer):
    texts = random_texts(2000)
    ids = [tokenizer(text)["input_ids"] for text in texts]
    given = live.page.evaluate(ENCODE, texts)
    assert [pair for pair in zip(texts, given, ids, strict=True) if pair[1] != pair[2]] == []
    assert live.page.evaluate(DECODE, ids) == [tokenizer.decode(i) for i in ids] == texts


def test_any_ids_are_decoded_as_python_does(live, tokenizer):
    """Also those whose bytes are no UTF-8: half of an emoji, a stray continuation."""
    draw = random.Random(5)
    lists = [[draw.randrange(2048) for _ in range(draw.randrange(12))] for _ in range(500)]
    # Of single bytes, to have more that is broken.
    lists += [[draw.randrange(2, 258) for _ in range(draw.randrange(8))] for _ in range(1500)]
    assert live.page.evaluate(DECODE, lists) == [tokenizer.decode(ids) for ids in lists]


@pytest.mark.parametrize("text", [r"\ud83d", r"a\udc00b", r"\ud83d \ud83d", r"\udf0a\ud83c's"])
def test_half_a_surrogate_pair_is_read_as_a_replacement(live, tokenizer, text):
    given = live.page.evaluate(f'async () => (await olmo.run("{text}")).ids')
    halves = json.loads(f'"{text}"')
    whole = "".join("\ufffd" if 0xD800 <= ord(half) < 0xE000 else half for half in halves)
    assert given == tokenizer(whole)["input_ids"]


def test_one_long_word_is_read_too(live, tokenizer):
    text = "abcdefgh" * 600
    assert live.page.evaluate(ENCODE, [text]) == [tokenizer(text)["input_ids"]]


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "NFC"}},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}},
        {"decoder": None},
        {"model": {"type": "Unigram"}},
    ],
)
def test_a_tokenizer_that_is_read_otherwise_is_refused(live, change):
    fields = json.loads(preset("tiny").read("tokenizer.json")) | change
    make = "([engine, json]) => { new (new Function(`${engine} return live`)()).Tokenizer(json) }"
    with pytest.raises(Exception, match="Only a byte-level BPE that cuts a text as GPT-2 does"):
        live.page.evaluate(make, [engine(), fields])
