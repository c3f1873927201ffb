"""What `olmo` answers in the console of a page, what it refuses, and when it loads the model."""

import re
from collections.abc import Iterator

import pytest
import torch
from playwright.sync_api import Page

import olmo_explain as oe
from olmo_explain.by_hand import run_by_hand

RUN = """async ([text, options]) => {
    const { ids, tokens, logits } = await olmo.run(text, options);
    return { ids, tokens, logits: Array.from(logits), kind: logits.constructor.name };
}"""


@pytest.fixture
def fresh(browser) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


def answer(live, call: str):
    return live.page.evaluate(f"async () => {call}")


def test_run_gives_ids_tokens_and_logits(live):
    model, tokenizer = oe.load("tiny", "float32")
    given = live.page.evaluate(RUN, ["To be, or not", {"off": [[7, 1], [7, 2]]}])
    ids = tokenizer("To be, or not")["input_ids"]
    assert given["ids"] == ids
    assert given["tokens"] == [tokenizer.decode([token]) for token in ids]
    assert given["kind"] == "Float32Array"
    with oe.ablate_head(model, 7, 1), oe.ablate_head(model, 7, 2), torch.no_grad():
        expected = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
    assert (torch.tensor(given["logits"]) - expected).abs().max() < 1e-4


def test_a_value_stays_that_of_its_own_run(live):
    model, tokenizer = oe.load("tiny", "float32")
    ids = tokenizer("To be, or not")["input_ids"]
    pattern, shape, untouched = answer(
        live,
        """{
            const run = await olmo.run("To be, or not");
            await olmo.run("Something else", { off: [[0, 0]] });
            run.ids.push(5);
            run.value(3, "resid_pre").data.fill(0);
            const { shape, data } = run.value(3, "pattern");
            return [Array.from(data), shape, run.value(null, "embedding").shape];
        }""",
    )
    expected = run_by_hand(model, torch.tensor([ids]))[3, "pattern"]
    assert shape == list(expected.shape)
    assert (torch.tensor(pattern).view(shape) - expected).abs().max() < 1e-4
    assert untouched == [1, len(ids), 128]


def test_write_gives_what_comes_after_the_text(live):
    ids, text, more = answer(
        live,
        """{
            const { ids, text } = await olmo.write("crown sword moon crown sword", 9);
            return [ids, text, (await olmo.write("crown sword moon crown sword", 4)).ids];
        }""",
    )
    tokenizer = oe.load("tiny", "float32")[1]
    assert tokenizer.decode(ids) == text
    assert len(ids) == 9
    assert ids[:4] == more


def test_it_measures_its_own_distance_to_pytorch(live):
    verified = answer(live, "olmo.verify()")
    assert 0 < verified["max_abs_diff"] <= verified["tolerance"] == 1e-4
    assert verified["ok"]
    assert verified["prompts"] == 4


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("key > query - window", "key >= query - window"),
        ("config.rope[kind],", "config.rope.full_attention,"),
        ('rmsNorm(out, weight("post_feedforward_layernorm"), eps)', "out"),
    ],
)
def test_what_it_measures_shows_a_fault(fresh, pages, right, wrong):
    script = (pages / "_static" / "tiny.js").read_text(encoding="utf-8")
    assert script.count(right) == 1
    spoiled = script.replace(right, wrong)
    fresh.route("**/tiny.js*", lambda route: route.fulfill(body=spoiled))
    fresh.goto((pages / "index.html").as_uri())
    verified = fresh.evaluate("olmo.verify()")
    assert not verified["ok"]
    assert verified["max_abs_diff"] > 100 * verified["tolerance"]


WRONG = {
    "olmo.run()": "A text is a string, and undefined is none.",
    "olmo.run(5)": "A text is a string, and 5 is none.",
    "olmo.run('')": "There is no token to run on: give a text that is not empty.",
    "olmo.run('be '.repeat(2000))": r"A text of \d+ tokens is too long: the model reads up to .*",
    "olmo.run('a', 7)": r"The options are an object, as \{ off: \[\[7, 0\]\] \}, not 7.",
    "olmo.run('a', {heads: []})": 'There is no option "heads": choose off, rope and fault.',
    "olmo.run('a', {off: 3})": r"Heads that are off are a list of \[layer, head\], as .*, not 3.",
    "olmo.run('a', {off: [7, 1]})": r"Heads that are off are a list of .*, not \[7,1\].",
    "olmo.run('a', {off: [[8, 0]]})": "There is no layer 8: the model has layers 0 to 7.",
    "olmo.run('a', {off: [[7, 4]]})": "There is no head 4: the model has heads 0 to 3.",
    "olmo.run('a', {off: [[7, '1']]})": 'There is no head "1": the model has heads 0 to 3.',
    "olmo.run('a', {rope: 'yarn'})": 'There is no rope "yarn": choose one of per-layer, yarn-ev.*',
    "olmo.run('a', {fault: 'gelu'})": 'There is no fault "gelu": choose one of no-attention-.*',
    "(await olmo.run('a')).value(8, 'q')": "There is no layer 8: the model has layers 0 to 7.",
    "(await olmo.run('a')).value(1.5, 'q')": "There is no layer 1.5: the model has layers 0 to 7.",
    "(await olmo.run('a')).value(1, 'Q')": 'There is no value "Q" in a layer: choose one of res.*',
    "(await olmo.run('a')).value(1, 'logits')": 'There is no value "logits" in a layer: choose .*',
    "(await olmo.run('a')).value(null, 'q')": 'There is no value "q" outside the layers: choose .*',
    "(await olmo.run('a')).value('logits')": 'There is no layer "logits": the model has lay.*',
    "olmo.write('a')": "The number of tokens to write is a whole number above 0, not undefined.",
    "olmo.write('a', 0)": "The number of tokens to write is a whole number above 0, not 0.",
    "olmo.write('a', 2000)": "tiny reads up to 1024 tokens, and 1 of text with 2000 .* are more.",
}


@pytest.mark.parametrize("call", WRONG)
def test_a_wrong_argument_is_told_in_one_sentence(live, call):
    message = answer(live, f"{{ try {{ await {call} }} catch (e) {{ return e.message }} }}")
    assert message is not None
    assert re.fullmatch(WRONG[call], message), message


@pytest.mark.parametrize("name", ["index.html", "chapters/page.html"])
def test_as_a_file_the_model_is_loaded_at_the_first_call(fresh, pages, name):
    asked = []
    fresh.on("request", lambda request: asked.append(request.url))
    fresh.goto((pages / name).as_uri())
    assert any("live.js" in url for url in asked)
    assert not any("tiny" in url for url in asked)
    assert (pages / "_static" / "live.js").stat().st_size < 4_000
    asked.clear()
    heard = fresh.evaluate(
        """async () => {
            const heard = [];
            const both = [olmo.open((...part) => heard.push(part)), olmo.run("To be")];
            await Promise.all(both);
            return heard;
        }"""
    )
    assert heard == [[part, 8] for part in range(1, 9)]
    scripts = [url.partition("?")[0].rpartition("_static/")[2] for url in asked]
    assert scripts == ["tiny.js", *(f"tiny/{part}.js" for part in range(8))]


@pytest.mark.parametrize("missing", ["tiny.js", "tiny/5.js"])
def test_a_script_that_does_not_come_is_told_and_asked_for_again(fresh, pages, missing):
    fresh.route(f"**/{missing}*", lambda route: route.abort())
    fresh.goto((pages / "index.html").as_uri())
    call = "async () => { try { return (await olmo.run('a')).ids } catch (e) { return e.message } }"
    said = fresh.evaluate(call)
    assert said == "The model did not arrive: check the network, and try again."
    fresh.unroute(f"**/{missing}*")
    assert fresh.evaluate(call) == [66]


def test_a_script_stands_in_the_page_until_it_is_there(fresh, pages):
    """WebKit forgets an element that stands nowhere, and whom to tell of it: one load in five."""
    fresh.goto((pages / "index.html").as_uri())
    count = "document.querySelectorAll('script[src*=tiny]').length"
    assert fresh.evaluate(f"() => {{ olmo.open(); return {count}; }}") == 1
    assert fresh.evaluate(f"async () => {{ await olmo.open(); return {count}; }}") == 0
