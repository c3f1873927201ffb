"""A session remembers what an unchanged prompt needs, and answers as if it did not."""

import random
from collections import Counter
from contextlib import ExitStack

import pytest
import torch
from support.random_olmo import build, olmo3

import olmo_explain as oe

LAYERS, HEADS = 8, 4
CLOSE = 1e-4

# Every edit is run in a session that remembers, and in one that starts anew: another first token
# leaves nothing of what was.
EDITS = """([name, edits, layers, value]) => {
    const [kept, fresh] = [sessions[name].fork(), sessions[name].fork()];
    const same = (ids, layer, value, asked) => {
        const [one, other] = [kept, fresh].map((s) => s.value(ids, layer, value, asked).data);
        return one.length === other.length && one.every((x, i) => Object.is(x, other[i]));
    };
    return edits.filter(([ids, asked], i) => {
        fresh.logits([ids[0] ? 0 : 1]);
        return !same(ids, null, "logits", asked) || !same(ids, i % layers, value, asked);
    }).length;
}"""
COMPUTED = """([name, runs]) => {
    const session = sessions[name].fork();
    return runs.map(([ids, asked]) => {
        const before = session.computed;
        session.logits(ids, asked);
        return session.computed - before;
    });
}"""
WRITE = "([name, ids, count, asked]) => [...sessions[name].write(ids, count, asked)]"


@pytest.fixture(scope="module")
def tiny():
    return oe.load("tiny", "float32")


@pytest.fixture(scope="module")
def small(live) -> str:
    live.open("small", build(olmo3(), torch.float32, seed=5))
    return "small"


def edits(count: int, vocab: int, heads: int, layers: int, longest: int) -> list:
    """A prompt as somebody changes it: typing, deleting, pasting, heads, regimes, faults."""
    draw, ids, asked, found = random.Random(count), [1, 2, 3], {}, []
    for _ in range(count):
        match draw.randrange(8):
            case 0 | 1:
                ids = [*ids, draw.randrange(vocab)]
            case 2:
                ids = ids[:-1] or [0]
            case 3:
                ids = ids[: draw.randrange(1, len(ids) + 1)]
            case 4:
                at = draw.randrange(len(ids))
                ids = [*ids[:at], *(draw.randrange(vocab) for _ in range(3)), *ids[at + 1 :]]
            case 5:
                off = [[draw.randrange(layers), draw.randrange(heads)] for _ in range(3)]
                asked = asked | {"off": off[: draw.randrange(4)]}
            case 6:
                rope = ("per-layer", "per-layer", "yarn-everywhere", "yarn-lost")
                asked = asked | {"rope": draw.choice(rope)}
            case 7:
                faults = ("", "", "no-window", "no-qk-norm", "no-rope", "layer-types-shifted")
                asked = asked | {"fault": draw.choice(faults)}
        ids = ids[:longest]
        found.append([ids, asked])
    return found


def test_typed_piece_by_piece_equals_a_fresh_run_bit_for_bit(live, small):
    for value in ("pattern", "resid_post"):
        wrong = live.page.evaluate(EDITS, [small, edits(150, 40, 4, 5, 30), 5, value])
        assert wrong == 0
    assert live.page.evaluate(EDITS, ["tiny", edits(40, 2048, 4, 8, 40), 8, "z"]) == 0


def test_only_what_changed_is_computed(live):
    ids = list(range(5, 25))
    runs = [
        [ids, {}],
        [[*ids, 7], {}],
        [[*ids, 7], {"off": []}],
        [ids, {}],  # a token less
        [[*ids[:-1], 9], {}],
        [[*ids[:-1], 9], {"off": [[7, 1]]}],
        [[*ids[:-1], 9], {"off": [[7, 1], [7, 0], [5, 2]]}],
        [[*ids[:-1], 9, 8], {"off": [[5, 2], [7, 0], [7, 1], [7, 1]]}],
        [[*ids[:-1], 9, 8], {"rope": "yarn-lost"}],
        [[*ids[:-1], 9, 8], {"fault": "no-qk-norm"}],
        [[*ids[:-1], 9, 8, 7], {"fault": "no-qk-norm"}],
        [[*ids[:-1], 9, 8, 7], {"fault": ""}],
    ]
    computed = live.page.evaluate(COMPUTED, ["tiny", [[[0], {}], *runs]])[1:]
    assert computed == [20 * 8, 8, 0, 0, 8, 20, 60, 8, 21 * 8, 21 * 8, 8, 22 * 8]


def test_heads_that_are_off_are_those_that_python_ablates(live, tiny):
    model, tokenizer = tiny
    draw = random.Random(3)
    text = "crown sword moon grave ship glove storm crown sword moon grave ship glove"
    ids = tokenizer(text)["input_ids"] + [draw.randrange(2048) for _ in range(20)]
    with torch.no_grad():
        intact = model(torch.tensor([ids]), use_cache=False).logits
    for count in (1, 1, 1, 2, 4, 9, 32):
        every = [(layer, head) for layer in range(LAYERS) for head in range(HEADS)]
        off = draw.sample(every, count)
        with ExitStack() as ablated, torch.no_grad():
            for layer, head in off:
                ablated.enter_context(oe.ablate_head(model, layer, head))
            expected = model(torch.tensor([ids]), use_cache=False).logits
        logits = live.logits("tiny", ids, off=off)
        assert (logits - expected).abs().max() <= CLOSE, off
        assert (intact - expected).abs().max() > 100 * CLOSE, off


def test_it_writes_as_pytorch_does(live, tiny):
    """Greedy means that each token is the most likely one after those before it."""
    model, tokenizer = tiny
    draw = random.Random(11)
    starts = [
        "ROMEO:",
        "To be, or not",
        "\n\n",
        "🌊",
        "The king is",
        "crown sword moon crown sword",
    ]
    prompts = [tokenizer(start)["input_ids"] for start in starts]
    prompts += [[draw.randrange(2048) for _ in range(1 + 4 * at)] for at in range(14)]
    for ids in prompts:
        written = live.page.evaluate(WRITE, ["tiny", ids, 50, {}])
        with torch.no_grad():
            logits = model(torch.tensor([ids + written]), use_cache=False).logits[0]
        assert logits.argmax(-1)[len(ids) - 1 : -1].tolist() == written
        assert len(written) == 50 or written[-1] == model.config.eos_token_id
        assert model.config.eos_token_id not in written[:-1]


def test_it_stops_behind_the_end_of_a_text(live, small):
    whole = live.page.evaluate(WRITE, [small, [1, 2], 20, {}])
    assert len(whole) == 20
    end = whole[6]
    live.open("ends", build(olmo3(eos_token_id=end), torch.float32, seed=5))
    written = live.page.evaluate(WRITE, ["ends", [1, 2], 20, {}])
    assert written == whole[: whole.index(end) + 1]


def test_sampling_follows_temperature_top_k_and_seed(live, small, tiny):
    ids, asked = [1, 2, 3], {"temperature": 1.5, "topK": 5}
    runs = [
        live.page.evaluate(WRITE, [small, ids, 1, asked | {"seed": seed}])[0] for seed in range(400)
    ]
    again = live.page.evaluate(WRITE, [small, ids, 12, asked | {"seed": 9}])
    assert again == live.page.evaluate(WRITE, [small, ids, 12, asked | {"seed": 9}])
    logits = live.logits(small, ids)[0, -1]
    top = logits.topk(5)
    shares = (top.values / 1.5).softmax(-1)
    seen = Counter(runs)
    assert set(seen) <= set(top.indices.tolist())
    for token, share in zip(top.indices.tolist(), shares.tolist(), strict=True):
        assert seen[token] / 400 == pytest.approx(share, abs=0.1)
    greedy = live.page.evaluate(WRITE, [small, ids, 5, {"temperature": 2, "topK": 1}])
    assert greedy == live.page.evaluate(WRITE, [small, ids, 5, {}])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("logits([40])", "There is no token 40: the model has tokens 0 to 39."),
        ("logits([1, -1])", "There is no token -1: the model has tokens 0 to 39."),
        ("logits([1.5])", "There is no token 1.5: the model has tokens 0 to 39."),
        ("logits([], {})", "There is no token to run on: give a text that is not empty."),
        ("logits([1], { off: [[0, 4]] })", "There is no head 4: the model has heads 0 to 3."),
        ("logits([1], { of: [[0, 4]] })", 'There is no option "of": choose off, rope and fault.'),
        ("value([1], 5, 'q')", "There is no layer 5: the model has layers 0 to 4."),
        ("write([1], 2, { temperature: -1 }).next()", "A temperature is 0 or above, not -1."),
        ("write([1], 2, { topK: 0 }).next()", "Top-k keeps one token or more, not 0."),
    ],
)
def test_a_session_refuses_what_it_cannot_do_and_goes_on(live, small, call, message):
    told = "try { session.%s } catch (e) { return [e.message, session.logits([1, 2]).data[0]] }"
    script = f"() => {{ const session = sessions.{small}; {told % call} }}"
    assert live.page.evaluate(script) == [message, live.logits(small, [1, 2])[0, -1, 0].item()]


def test_logits_of_wanted_positions_are_those_of_all(live, tiny):
    ids = list(range(100, 130))
    chosen = live.page.evaluate(
        "([ids, at]) => Array.from(sessions.tiny.logits(ids, { at }).data)", [ids, [3, 29, 0]]
    )
    whole = live.logits("tiny", ids)[0]
    assert torch.equal(torch.tensor(chosen).view(3, -1), whole[[3, 29, 0]])
