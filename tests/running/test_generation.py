"""oe.generate: the tokens of transformers' own, what each of them read, and what it refuses."""

import copy

import pytest
import torch
from transformers import Olmo2Config, Olmo2ForCausalLM, Olmo3Config, Olmo3ForCausalLM

import olmo_explain as oe
from olmo_explain.checkpoint import read_config
from olmo_explain.errors import OutOfRange, UsageError
from olmo_explain.running import NEAR, hooked

TINY = read_config("tiny")
WINDOW = TINY.sliding_window
BOUND = 1e-4  # of logits, which are of the size of 10


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def loaded(request):
    return oe.load("tiny", request.param)


@pytest.fixture(scope="module")
def model():
    return oe.load("tiny", "float32")[0]


@pytest.fixture(scope="module")
def tokenizer():
    return oe.load("tiny", "float32")[1]


@pytest.fixture(scope="module")
def ids(tokenizer):
    return tokenizer(NEAR, return_tensors="pt").input_ids


# -- the tokens -----------------------------------------------------------------------------------


def test_greedy_is_that_of_transformers(loaded, ids):
    model, tokenizer = loaded
    theirs = model.generate(ids, max_new_tokens=60, do_sample=False)
    ours = oe.generate(model, NEAR, 60, tokenizer=tokenizer)
    assert torch.equal(ours.ids, theirs)
    assert ours.text == tokenizer.decode(theirs[0, ids.shape[1] :])


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.0},
        {"temperature": 0.6},
        {"temperature": 1.5, "top_k": 7},
        {"temperature": 1.0, "top_p": 0.8},
        {"temperature": 1.2, "top_k": 40, "top_p": 0.9},
        {"temperature": 1.0, "top_p": 1.0},
        {"temperature": 1.0, "top_p": 1e-9},  # the most likely one always stays
        {"temperature": 1.0, "top_k": 10**6},
    ],
)
@pytest.mark.parametrize("seed", [0, 7])
def test_a_seed_draws_what_it_draws_in_transformers(model, ids, options, seed):
    torch.manual_seed(seed)
    # Its own top_k is 50 where none is given.
    theirs = model.generate(ids, max_new_tokens=40, do_sample=True, **({"top_k": 0} | options))
    before = torch.get_rng_state()
    assert torch.equal(oe.generate(model, ids, 40, seed=seed, **options).ids, theirs)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_seed_draws_other_tokens(model, ids):
    drawn = {tuple(oe.generate(model, ids, 12, temperature=1, seed=s).written) for s in range(4)}
    assert len(drawn) == 4


def test_it_stops_behind_a_token_that_ends_a_text(model, ids):
    written = oe.generate(model, ids, 10).written
    ending = copy.deepcopy(model)
    at = next(at for at, token in enumerate(written) if at and token not in written[:at])
    ending.generation_config.eos_token_id = [1, written[at]]  # a model may have several
    wrote = oe.generate(ending, ids, 10)
    assert (wrote.written, wrote.ended) == (written[: at + 1], True)
    assert not oe.generate(ending, ids, at).ended


# -- the cache ------------------------------------------------------------------------------------


def logits_of_each(model, *args, **options):
    """The last position's, of each token that is written."""
    seen = []
    with hooked() as hooks:
        hooks.after(model.lm_head, lambda args, output: seen.append(output[0, -1]))
        oe.generate(model, *args, **options)
    return torch.stack(seen)


def small(kind):
    """A random model; of OLMo 3 with shared keys and a window of 3."""
    sizes = {
        "vocab_size": 97,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "attn_implementation": "eager",
    }
    torch.manual_seed(3)
    if kind == "olmo2":
        return Olmo2ForCausalLM(Olmo2Config(**sizes)).eval()
    return Olmo3ForCausalLM(Olmo3Config(**sizes, sliding_window=3)).eval()


def test_cached_and_uncached_agree_a_hundred_positions_past_the_window(model, ids):
    count = WINDOW + 100 - ids.shape[1] + 1
    with_cache = logits_of_each(model, ids, count)
    without = logits_of_each(model, ids, count, cache=False)
    assert with_cache.shape == without.shape == (count, TINY.vocab_size)
    assert (with_cache - without).abs().amax(-1).max() < BOUND


@pytest.mark.parametrize("kind", ["olmo2", "olmo3"])
def test_random_models_write_the_same_with_and_without(kind):
    model = small(kind)
    one, other = (logits_of_each(model, [5, 6], 30, cache=cache) for cache in (True, False))
    assert (one - other).abs().max() < 1e-5


def test_a_window_that_is_one_too_wide_would_be_seen(model, ids):
    """The bound above can fail: a cache of window positions beside the new one is another model."""
    wider = copy.deepcopy(model)
    wider.config.sliding_window = WINDOW + 1
    count = WINDOW + 100 - ids.shape[1] + 1
    apart = logits_of_each(wider, ids, count) - logits_of_each(model, ids, count, cache=False)
    assert apart.abs().max() > 100 * BOUND


# -- what was read --------------------------------------------------------------------------------


def test_bytes_are_those_of_shapes(model, ids):
    wrote = oe.generate(model, ids, 40)
    row = TINY.hidden_size * 4
    of_a_position = 2 * TINY.num_key_value_heads * TINY.head_dim * 4
    rows_read = [len(set(ids[0].tolist())), *[1] * 39]
    for at, (token, rows) in enumerate(zip(wrote.tokens, rows_read, strict=True)):
        earlier = ids.shape[1] + at - 1 if at else 0
        assert token.kept == tuple(
            earlier if kind == "full_attention" else min(earlier, WINDOW - 1)
            for kind in TINY.layer_types
        )
        assert token.cache_bytes == of_a_position * sum(token.kept)
        assert token.weight_bytes == 4 * TINY.parameters - (TINY.vocab_size - rows) * row
        assert token.computed == (1 if at else ids.shape[1])


def test_the_config_says_as_much(loaded):
    model, _ = loaded
    token = oe.generate(model, [5] * 100, 2).tokens[1]
    times = model.dtype.itemsize // torch.bfloat16.itemsize  # the config's own
    assert token.cache_bytes == times * TINY.kv_cache_bytes(100, between_steps=True)


def test_without_a_cache_every_position_is_computed_each_time(model, ids):
    wrote = oe.generate(model, ids, 3, cache=False)
    assert [token.computed for token in wrote.tokens] == [11, 12, 13]
    assert {token.cache_bytes for token in wrote.tokens} == {0}
    assert {token.kept for token in wrote.tokens} == {(0,) * 8}


def test_a_probability_is_the_models_own_at_any_temperature(model, ids):
    own = model(ids, use_cache=False).logits[0, -1].softmax(-1)
    for temperature in (0, 0.5, 3):
        (token,) = oe.generate(model, ids, 1, temperature=temperature).tokens
        assert token.probability == pytest.approx(own[token.id].item(), rel=1e-5)


def test_a_tokenizer_is_only_needed_for_texts(model, tokenizer):
    wrote = oe.generate(model, [5, 6, 7], 2)
    assert wrote.text is None and wrote.tokens[0].text is None
    assert repr(wrote).startswith(f"2 tokens: {wrote.written}; ")
    told = oe.generate(model, [5, 6, 7], 2, tokenizer=tokenizer)
    assert told.ids.tolist() == wrote.ids.tolist() and told.text == "".join(
        tokenizer.decode([token]) for token in wrote.written
    )
    assert repr(told).startswith(f"2 tokens: {told.text!r}; ")


def test_nothing_stays_on_the_model(model, ids):
    def hooks():
        return [(m._forward_hooks, m._forward_pre_hooks) for m in model.modules()]

    before = [tuple(map(dict, pair)) for pair in hooks()]
    oe.generate(model, ids, 2)
    assert [tuple(map(dict, pair)) for pair in hooks()] == before
    assert torch.is_grad_enabled()


# -- what it refuses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"prompt": None}, "prompt is None. Give a text or token ids."),
        ({"prompt": NEAR}, "This model comes without a tokenizer"),
        ({"prompt": []}, "The prompt holds no token"),
        ({"prompt": [[5, 6], [7, 8]]}, "2 prompts are given. Give one at a time."),
        ({"count": 0}, "count is 0. Give at least 1."),
        ({"count": 2.5}, "count is 2.5. Give a whole number, at least 1."),
        ({"temperature": -1}, "temperature is -1. Give a number of at least 0."),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": "1"}, "temperature is '1'"),
        ({"temperature": True}, "temperature is True"),
        ({"temperature": 1, "top_k": 0}, "top_k is 0. Give at least 1."),
        ({"temperature": 1, "top_p": 0}, "top_p is 0. Give a number above 0, up to 1."),
        ({"temperature": 1, "top_p": 1.1}, "top_p is 1.1"),
        ({"top_k": 5}, "At temperature 0 nothing is drawn"),
        ({"top_p": 0.5}, "At temperature 0 nothing is drawn"),
        ({"seed": -1}, "seed is -1. Give at least 0."),
        ({"seed": None}, "seed is None. Give a whole number, at least 0."),
        ({"cache": 1}, "cache is 1. Give True or False."),
        ({"cache": None}, "cache is None"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(model, arguments, said):
    with pytest.raises((UsageError, OutOfRange)) as error:
        oe.generate(model, **({"prompt": [5, 6, 7]} | arguments))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_text_longer_than_the_model_takes(model):
    longest = TINY.max_position_embeddings
    assert len(oe.generate(model, [5] * (longest - 1), 1).tokens) == 1
    with pytest.raises(OutOfRange, match="1,023 tokens and 2 more are longer than the model takes"):
        oe.generate(model, [5] * (longest - 1), 2)


def test_logits_that_are_no_numbers(model):
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.lm_head.weight[3] = torch.nan
    with pytest.raises(UsageError, match="infinite, or no numbers"):
        oe.generate(broken, [5, 6], 1)


def test_a_model_without_weights():
    with pytest.raises(UsageError, match="has shapes and no weights"):
        oe.generate(oe.load("olmo3-7b")[0], [5, 6], 1)
