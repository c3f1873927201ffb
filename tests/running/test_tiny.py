"""The bundled model is what its card says, and it learnt what chapters 6 and 11 show."""

import json
import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from olmo_explain.checkpoint import preset, read_config, training_history
from olmo_explain.errors import OutOfRange, UsageError
from olmo_explain.running import (
    FAR,
    NEAR,
    best_head,
    induction_scores,
    load,
    repeated_sequences,
    repetition_losses,
)
from olmo_explain.running.circuits import next_shares, previous_token_scores

DIRECTORY: Path = preset("tiny").directory
CONFIG = read_config("tiny")
CHANCE = math.log(CONFIG.vocab_size)
FULL = CONFIG.full_attention_layers
SLIDING = [i for i in range(CONFIG.num_hidden_layers) if i not in FULL]
PERIOD = 40  # a token's previous occurrence lies beyond the window

# From Twelfth Night, held out of the training.
PASSAGE = """DUKE ORSINO
If music be the food of love, play on;
Give me excess of it, that, surfeiting,
The appetite may sicken, and so die.
That strain again! it had a dying fall:
O, it came o'er my ear like the sweet sound,
That breathes upon a bank of violets,
Stealing and giving odour! Enough; no more:
'Tis not so sweet now as it was before.
"""


@pytest.fixture(scope="module")
def tiny():
    return load("tiny", dtype="float32")


@pytest.fixture(scope="module")
def model(tiny):
    return tiny[0]


@pytest.fixture(scope="module")
def tokenizer(tiny):
    return tiny[1]


@pytest.fixture(scope="module")
def metrics():
    return json.loads((DIRECTORY / "metrics.json").read_text())


@pytest.fixture(scope="module")
def fresh():
    """Sequences that neither the training nor the card has seen."""
    return repeated_sequences(CONFIG.vocab_size, PERIOD, count=32, seed=97)


# -- what the heads do -------------------------------------------------------------------------


def test_period_exceeds_the_window():
    assert CONFIG.sliding_window < PERIOD - 1


def test_a_head_attends_to_the_previous_token(model, fresh):
    assert previous_token_scores(model, fresh).max() >= 0.8


def test_a_full_head_does_induction_beyond_the_window(model, fresh):
    scores = induction_scores(model, fresh, PERIOD)
    assert scores[FULL].max() >= 0.8
    assert scores[SLIDING].eq(0).all()


def test_sliding_heads_do_induct_within_their_window(model):
    """The zeros above are the window's doing, not the measure's."""
    ids = repeated_sequences(CONFIG.vocab_size, period=20, count=32, seed=98)
    assert induction_scores(model, ids, period=20)[SLIDING].max() > 0.05


def test_repetition_is_predicted(model, fresh):
    losses = repetition_losses(model, fresh, PERIOD)
    assert losses.first > CHANCE - 0.1
    assert losses.second < 1


def test_nothing_is_gained_where_nothing_repeats(model):
    ids = torch.randint(CONFIG.vocab_size, (32, 2 * PERIOD), generator=torch.manual_seed(99))
    losses = repetition_losses(model, ids, PERIOD)
    assert losses.second > CHANCE - 0.1
    assert induction_scores(model, ids, PERIOD).max() < 0.1


def test_held_out_text_is_predicted(model, tokenizer):
    ids = tokenizer(PASSAGE, return_tensors="pt").input_ids
    with torch.no_grad():
        logits = model(ids).logits[0, :-1]
    assert F.cross_entropy(logits, ids[0, 1:]) < 5  # chance is 7.62


# -- the measures, on patterns known beforehand ------------------------------------------------


class Uniform(torch.nn.Module):
    """Stands in for a model: one layer of two heads that attend evenly to all earlier tokens."""

    def __init__(self, implementation: str):
        super().__init__()
        sizes = {"vocab_size": 50, "num_attention_heads": 2, "num_hidden_layers": 1}
        self.config = SimpleNamespace(_attn_implementation=implementation, **sizes)

    def forward(self, ids, **_):
        pattern = torch.ones(ids.shape[1], ids.shape[1]).tril()
        pattern = pattern / pattern.sum(-1, keepdim=True)
        return SimpleNamespace(attentions=[pattern.expand(len(ids), 2, -1, -1)])


def uniform_model(implementation: str = "eager"):
    return Uniform(implementation)


def test_scores_are_mean_attention():
    ids = repeated_sequences(vocab_size=10, period=3, count=5)
    previous = sum(1 / n for n in (2, 3, 4, 5, 6)) / 5  # query i has i + 1 keys to look at
    induction = sum(1 / n for n in (4, 5, 6)) / 3
    assert previous_token_scores(uniform_model(), ids).tolist() == [[pytest.approx(previous)] * 2]
    assert induction_scores(uniform_model(), ids, 3).tolist() == [[pytest.approx(induction)] * 2]


def test_repeated_sequences_repeat_and_are_seeded():
    ids = repeated_sequences(vocab_size=50, period=7, count=3, seed=1)
    assert ids.shape == (3, 14)
    assert torch.equal(ids[:, :7], ids[:, 7:])
    assert torch.equal(ids, repeated_sequences(vocab_size=50, period=7, count=3, seed=1))
    assert not torch.equal(ids, repeated_sequences(vocab_size=50, period=7, count=3, seed=2))


def test_best_head_names_its_place():
    scores = torch.tensor([[0.1, 0.2], [0.9, 0.3]])
    assert best_head(scores) == (1, 0, pytest.approx(0.9))


def test_patterns_need_eager_attention():
    with pytest.raises(UsageError, match=r'sdpa attention .*\. Load .* with attention="eager"'):
        previous_token_scores(uniform_model("sdpa"), repeated_sequences(10, 3))


@pytest.mark.parametrize("period", [0, 1, 6, 7])
def test_a_period_must_fit(period):
    with pytest.raises(OutOfRange, match=f"after {period} tokens in sequences of 6"):
        induction_scores(uniform_model(), repeated_sequences(10, 3), period)


# -- the card ----------------------------------------------------------------------------------


def test_card_prints_what_is_measured(model, metrics):
    card = (DIRECTORY / "README.md").read_text(encoding="utf-8")
    period = metrics["repeats"]["period"]
    ids = repeated_sequences(
        CONFIG.vocab_size, period, metrics["repeats"]["count"], metrics["repeats"]["seed"]
    )
    losses = repetition_losses(model, ids, period)
    for label, scores in (
        ("previous-token", previous_token_scores(model, ids)),
        ("induction", induction_scores(model, ids, period)),
    ):
        best = best_head(scores)
        row = f"| best {label} head | layer {best.layer}, head {best.head}: {best.score:.2f} |"
        assert row in card
    assert f"| loss on random tokens, the first time | {losses.first:.2f} |" in card
    assert f"| loss on the same tokens, the second time | {losses.second:.2f} |" in card
    assert f"| {metrics['validation']['loss']:.2f} |" in card
    assert f"OLMo 3 of {CONFIG.parameters:,} parameters" in card


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d+", text)]


def test_card_sets_these_weights_beside_the_run_that_was_recorded(model, tokenizer, metrics):
    card = (DIRECTORY / "README.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", card, re.MULTILINE)
    text, previous, induction, losses, france = [row[1:3] for row in table if numbers(row[1])]
    history, repeats = training_history("tiny"), metrics["repeats"]
    answer = tokenizer(history.answer).input_ids[0]
    shares = [
        next_shares(model, tokenizer(text, return_tensors="pt").input_ids)[answer].item()
        for text in (NEAR, FAR)
    ]
    assert numbers(text[0]) == [round(metrics["validation"]["loss"], 3)]
    assert numbers(losses[0]) == [round(loss, 3) for loss in repeats["losses"].values()]
    assert numbers(france[0]) == [round(share, 3) for share in shares]
    for said, name in ((previous, "previous_token"), (induction, "induction")):
        here, run = repeats[name], getattr(history, name)[-1]
        layer, head = divmod(int(run.argmax()), run.shape[1])
        assert said[0] == f"{here['layer']}.{here['head']}: {here['score']:.3f}"
        # The record is of fewer random rows than what was measured when the run had ended.
        assert said[1].startswith(f"{layer}.{head}: ")
        assert numbers(said[1])[1] == pytest.approx(run.max(), abs=0.005)
    last = (history.first_loss[-1], history.second_loss[-1])
    assert numbers(losses[1]) == pytest.approx(last, abs=0.02)
    assert numbers(france[1]) == pytest.approx((history.near[-1], history.far[-1]), abs=0.002)


def test_validation_loss_reached_its_aim(metrics):
    assert metrics["validation"]["loss"] <= 3.5


# -- the files ---------------------------------------------------------------------------------


def test_all_files_fit_in_6_mb():
    assert sum(path.stat().st_size for path in DIRECTORY.iterdir()) <= 6_000_000


def test_weights_are_bfloat16_and_as_many_as_the_config_says():
    with safe_open(DIRECTORY / "model.safetensors", "pt") as weights:
        tensors = {name: weights.get_slice(name) for name in weights.keys()}  # noqa: SIM118
    assert {tensor.get_dtype() for tensor in tensors.values()} == {"BF16"}
    found = {name: tuple(tensor.get_shape()) for name, tensor in tensors.items()}
    expected = {name: part.shape for part in CONFIG.components for name in part.names()}
    assert found == expected


def test_proportions_are_those_of_the_7b():
    big = read_config("olmo3-7b")
    ratio = big.intermediate_size / big.hidden_size
    assert CONFIG.intermediate_size / CONFIG.hidden_size == ratio
    assert CONFIG.layer_types == big.layer_types[: CONFIG.num_hidden_layers]
    assert CONFIG.rms_norm_eps == big.rms_norm_eps


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_tokenizer_gives_any_text_back(tokenizer, text):
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_tokenizer_and_config_agree(tokenizer):
    assert len(tokenizer) == CONFIG.vocab_size
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (
        CONFIG.eos_token_id,
        CONFIG.pad_token_id,
    )
    assert set(tokenizer("Speak")) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize("layer", [0, 3])
def test_only_full_layers_have_yarn(model, layer):
    """The cos that a layer is really given, at position 0 and, for the slowest pair, at 1000."""
    given_to_layer = {}
    hook = model.model.layers[layer].self_attn.register_forward_pre_hook(
        lambda _, __, kwargs: given_to_layer.update(kwargs), with_kwargs=True
    )
    model(torch.zeros(1, 2, dtype=torch.long), position_ids=torch.tensor([[0, 1000]]))
    hook.remove()
    cos, _ = given_to_layer["position_embeddings"]  # each (batch, pos, head_dim)
    rope = CONFIG.rope[CONFIG.layer_types[layer]]
    slowest = rope.rope_theta ** -(1 - 2 / CONFIG.head_dim) / (rope.factor or 1)
    assert cos[0, 0, 0].item() == pytest.approx(rope.attention_factor)
    assert cos[0, 1, -1].item() == pytest.approx(rope.attention_factor * math.cos(1000 * slowest))
