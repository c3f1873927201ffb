"""Models that are no OLMo, or not quite one, and arguments of other types: one line says so."""

import copy
from itertools import repeat

import numpy as np
import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import olmo_explain as oe
from olmo_explain.checkpoint import read_config
from olmo_explain.errors import ExplainError
from olmo_explain.running import (
    ablate_output_slice,
    attention_patterns,
    best_head,
    capture,
    circuits,
    induction_scores,
    measure_rope,
    prompt_ids,
    repeated_sequences,
    repetition_losses,
)

IDS = [5, 6, 7, 5, 6, 7]
AN_OLMO = "Give an OLMo 2 or 3 for causal language modelling, as load(…) gives"
SMALL = {"num_attention_heads": 2, "vocab_size": 99, "max_position_embeddings": 32}


@pytest.fixture(scope="module")
def loaded():
    return oe.load("tiny", "float32")[0]


@pytest.fixture
def tiny(loaded):
    return copy.deepcopy(loaded)


def captured(model):
    with capture(model):
        pass


LOOKS = {
    "capture": captured,
    "ablate_head": lambda model: oe.ablate_head(model, 0, 0),
    "ablate_output_slice": lambda model: ablate_output_slice(model, 0, 0),
    "head_contributions": lambda model: oe.head_contributions(model, IDS, 0),
    "measure_rope": measure_rope,
    "verify": lambda model: oe.verify(model, IDS),
}


class Wrapper(nn.Module):
    """As adapters wrap a model, or one of its layers: what it has is the wrapped one's."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def __getattr__(self, name):
        return (
            getattr(super().__getattr__("inner"), name)
            if name != "inner"
            else (super().__getattr__(name))
        )

    def forward(self, *args, **kwargs):
        return self.inner(*args, **kwargs)


def without_head(model):
    model.lm_head = None
    return model


def one_layer_less(model):
    del model.model.layers[3]
    return model


def one_layer_more(model):
    model.model.layers.append(copy.deepcopy(model.model.layers[3]))
    return model


def one_part_less(model):
    del model.model.layers[2].self_attn.q_norm
    return model


def llama(model):
    return LlamaForCausalLM(
        LlamaConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, **SMALL)
    )


ODD = [
    (lambda model: model.model, f"Olmo3Model has no model.embed_tokens. {AN_OLMO}"),
    (without_head, f"Olmo3ForCausalLM has no lm_head. {AN_OLMO}"),
    (Wrapper, f"Wrapper has no model.embed_tokens. {AN_OLMO}"),
    (one_layer_less, f"Olmo3ForCausalLM has 7 layers, and its config 8. {AN_OLMO}"),
    (one_layer_more, f"Olmo3ForCausalLM has 9 layers, and its config 8. {AN_OLMO}"),
    (one_part_less, f"Olmo3ForCausalLM has no model.layers.2.self_attn.q_norm. {AN_OLMO}"),
    (lambda model: model.to(torch.complex64), f"has weights of complex64. {AN_OLMO}"),
    (llama, "model_type"),
    (lambda model: nn.DataParallel(model), "DataParallel is no OLMo of transformers"),
    (lambda model: nn.Linear(2, 2), "Linear is no OLMo of transformers"),
    (lambda model: nn.ModuleList(), "ModuleList is no OLMo of transformers"),
]


def says(call, *words):
    with pytest.raises(ExplainError) as caught:
        call()
    said = str(caught.value)
    assert all(word in said for word in words), said
    assert "\n" not in said and len(said) < 500


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, of complex modules
@pytest.mark.parametrize(("change", "said"), ODD, ids=range(len(ODD)))
def test_models_that_are_not_quite_an_olmo(tiny, change, said):
    model = change(tiny)
    for look in LOOKS.values():
        says(lambda look=look: look(model), said)


def wrapped_q_proj(model):
    model.model.layers[1].self_attn.q_proj = Wrapper(model.model.layers[1].self_attn.q_proj)
    return model


def normed_q_proj(model):
    nn.utils.parametrizations.weight_norm(model.model.layers[1].self_attn.q_proj)
    return model


def wrapped_o_proj(model):
    attention = model.model.layers[0].self_attn
    attention.o_proj = nn.Sequential(attention.o_proj)
    return model


def float_head(model):
    model.half().lm_head.float()
    return model


def layers_by_name(model):
    model.model.layers = nn.ModuleDict({str(at): it for at, it in enumerate(model.model.layers)})
    return model


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (wrapped_o_proj, "model.layers.0.self_attn.o_proj is wrapped, and has no weight"),
        (float_head, "This model mixes weights of float16 and float32. Load it in one dtype."),
        (layers_by_name, "Olmo3ForCausalLM has 0 layers, and its config 8"),
    ],
)
def test_contributions_of_a_model_that_was_changed(tiny, change, said):
    says(lambda: oe.head_contributions(change(tiny), IDS, 0), said)


Q_PROJ = "there is no model.layers.1.self_attn.q_proj.weight"


@pytest.mark.parametrize("change", [wrapped_q_proj, normed_q_proj])
@pytest.mark.parametrize("compare", [oe.verify, oe.run_by_hand])
def test_weights_by_other_names(tiny, change, compare):
    says(lambda: compare(change(tiny), IDS), Q_PROJ)


def test_what_is_wrapped_can_still_be_captured(tiny):
    with capture(wrapped_q_proj(tiny)) as values, torch.no_grad():
        tiny(torch.tensor([IDS]))
    assert values[1, "q_proj"].shape == (1, 6, 128)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: oe.run_by_hand(m.model, IDS), "no model.embed_tokens.weight"),
        (lambda m: oe.run_by_hand({"a": 1}, IDS, config=tiny_config()), "no model.embed_tokens"),
        (lambda m: oe.run_by_hand({}, IDS, config=tiny_config()), "no model.embed_tokens.weight"),
        (lambda m: oe.run_by_hand({"a": 1}, IDS), "Give config=read_config(…)"),
        (lambda m: oe.run_by_hand(5, IDS, config=tiny_config()), "5 holds no weights"),
        (lambda m: oe.run_by_hand(m, IDS, config=m.config), "A Olmo3Config is no config"),
        (lambda m: oe.run_by_hand(oe.Checkpoint("tiny"), IDS, config="tiny"), "'tiny' is no conf"),
        (lambda m: oe.run_by_hand(m, IDS, dtype="int9"), "Unknown dtype 'int9'. Choose "),
        (lambda m: oe.run_by_hand(m, IDS, dtype=torch.int8), "Unknown dtype torch.int8"),
        (lambda m: oe.run_by_hand(m, IDS)[3, ["pattern"]], "no value (3, ['pattern']) among"),
        (lambda m: oe.verify(m, IDS, weights={}), "there is no model.embed_tokens.weight"),
        (lambda m: oe.verify(m, IDS, weights="tiny"), "'tiny' holds no weights"),
        (lambda m: oe.verify(m, IDS, weights=other_shapes(m)), "and its config makes it [128]"),
        (lambda m: oe.verify(m, IDS, config="tiny"), "'tiny' is no config"),
        (
            lambda m: oe.verify(m, IDS, config=read_config("olmo3-7b")),
            "8 layers, and its conf",
        ),
        (lambda m: measure_rope(m, "tiny"), "'tiny' is no config"),
        (lambda m: captured_by(m, 5), "receive is 5"),
        (lambda m: oe.head_contributions(m, IDS, [1]), "whole number, and [1] is none"),
        (lambda m: tiny_config().check_layer(10**5000), "There is no layer <int>"),
        (lambda m: oe.trace(m, IDS, attention_mask=1), "The attention_mask has shape []"),
        (lambda m: oe.trace(m, IDS, attention_mask=torch.tensor(1)), "has shape []"),
        (lambda m: oe.run_by_hand(m, IDS, config=torch.ones(2)), "A Tensor is no config"),
        (lambda m: oe.ablate_head(m, 0, Wild()), "A head is a whole number, and <Wild> is none"),
        (lambda m: oe.load("tiny", attention=np.arange(3)), "Unknown attention array([0, 1, 2])"),
        (lambda m: oe.load("tiny", distributed=3), "distributed is 3. Give transformers'"),
    ],
)
def test_arguments_of_other_types(loaded, call, said):
    says(lambda: call(loaded), said)


MEASURES = {
    "attention_patterns": attention_patterns,
    "previous_token_scores": circuits.previous_token_scores,
    "induction_scores": lambda model, ids: induction_scores(model, ids, 3),
    "repetition_losses": lambda model, ids: repetition_losses(model, ids, 3),
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_what_circuits_are_measured_on(monkeypatch, loaded, measure):
    says(lambda: measure("tiny", IDS), "'tiny' is no loaded language model. Give a causal")
    says(lambda: measure(nn.Linear(2, 2), IDS), "Linear is no loaded language model")
    says(lambda: measure(oe.load("olmo3-7b")[0], IDS), "has shapes and no weights")
    says(lambda: measure(loaded, "Hello"), "'Hello' is text")
    says(lambda: measure(loaded, [5000] * 6), "There is no token 5000")
    monkeypatch.setattr("olmo_explain.ids.free_memory_bytes", lambda: 2**30)
    says(lambda: measure(loaded, [5] * 40_000), "40,000 positions take ")
    assert measure(loaded, IDS) is not None


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_circuits_of_other_language_models(kind):
    model = (
        llama(None)
        if kind == "llama"
        else GPT2LMHeadModel(
            GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=99, n_positions=32)
        )
    )
    model.config._attn_implementation = "eager"
    assert attention_patterns(model, IDS).shape == (1, 1, 2, 6, 6)
    assert len(repetition_losses(model, IDS, 3)) == 2


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: repetition_losses(m.model, IDS, 3), "Olmo3Model gives no logits"),
        (lambda m: induction_scores(m, IDS, "a"), "period is 'a'. Give a whole number"),
        (lambda m: induction_scores(m, IDS, 10**5000), "period is <int>. Give up to 9,223"),
        (lambda m: best_head([[1]]), "[[1]] holds no score"),
        (lambda m: best_head(torch.ones(0, 2)), "holds no score"),
        (lambda m: repeated_sequences("a", 3), "vocab_size is 'a'. Give a whole number"),
        (lambda m: repeated_sequences(50, 0), "period is 0"),
        (lambda m: repeated_sequences(50, 3, count=0.5), "count is 0.5"),
        (lambda m: repeated_sequences(50, 3, seed="a"), "seed is 'a'"),
        (lambda m: repeated_sequences(50, 2**40), "numbers are no prompt"),
        (lambda m: oe.check("03.1", repeat(5)).ok or oe.check(10**5000, 1), "no exercise <int>"),
        (lambda m: oe.check([["03.1"]], 1), "There is no exercise [['03.1']]"),
        (lambda m: oe.check(object(), 1), "There is no exercise <object"),
        (lambda m: oe.check("x" * 10**6, 1), "There is no exercise 'xxx"),
        (lambda m: oe.table(repeat((1, 2)), "ab", "c"), "A table of more than 100,000 rows"),
        (lambda m: oe.table([repeat(1)], "ab", "c"), "Row 0 has 100000 values, for 2 columns"),
        (lambda m: oe.table([(1, 2)], None, "c"), "no rows and columns of a table"),
        (lambda m: oe.where_we_are(np.arange(3)), "The strip has no part array([0, 1, 2])"),
    ],
)
def test_measures_exercises_and_tables(loaded, call, said):
    says(lambda: call(loaded), said)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: oe.explore_rope(pair="1"), "pair is '1'. Give a whole number."),
        (lambda: oe.explore_rope(position=0.5), "position is 0.5. Give a whole number"),
        (lambda: oe.explore_bytes("tiny", first_row="a"), "first_row is 'a'"),
        (lambda: oe.explore_bytes("tiny", first_row=-1), "first_row is -1. Give at least 0"),
        (lambda: oe.explore_bytes("tiny", 5), "tensors is 5. Give a list of names"),
        (lambda: oe.explore_bytes("tiny", [5]), "has no tensor 5"),
        (lambda: oe.explore_costs(seq=0), "seq is 0. Give at least 1"),
        (lambda: oe.explore_costs(seq=2**60), "seq should not be greater than"),
        (lambda: oe.explore_costs(batch="a"), "batch is 'a'. Give a whole number"),
        (lambda: oe.explore_costs(seq=10**5000), "seq is <int>. Give up to 9,223"),
        (lambda: oe.explore_costs(convention=np.arange(3)), "convention is array([0, 1, 2])"),
        (lambda: oe.explore_costs(convention="x"), "convention expected any of ['full', 'causal"),
        (lambda: oe.explore_claims(verdict="x"), "verdict expected any of ['all', 'reproduced'"),
        (lambda: oe.explore_claims(search=1), "search expected a unicode string, not the int 1"),
        (lambda: oe.explore_steps(step=[]), "There is no value []. Choose one of resid_pre"),
        (lambda: oe.explore_heads("tiny", range(10**12)), "1,000,000,000,000 numbers are no pro"),
        (lambda: oe.explore_heads("tiny", "x" * 10**7), "A prompt of 10,000,000 letters is longer"),
        (lambda: prompt_ids(*oe.load("tiny"), length="a"), "length is 'a'"),
    ],
)
def test_explorers(call, said):
    says(call, said)


def test_one_tensor_and_numbers_of_numpy_are_taken():
    assert oe.explore_bytes("tiny", "model.norm.weight").tensor == "model.norm.weight"
    assert oe.explore_costs(seq=np.int64(64)).seq == 64


def test_cells_of_any_kind():
    made = oe.table([(10**5000, np.arange(3), ""), (1, None, "a")], [5, Wild(), "c"], 10**5000)
    assert "5  <Wild>   c\n<int>  [0 1 2]  –\n" in made.to_text()
    assert "[0 1 2]" in made._repr_html_()


class Wild:
    """Whatever is done with it fails."""

    def fail(self, *_):
        raise RuntimeError

    __repr__ = __str__ = __index__ = __bool__ = __eq__ = fail
    __hash__ = None


def tiny_config():
    return read_config("tiny")


def captured_by(model, receive):
    with capture(model, receive):
        pass


def other_shapes(model):
    return model.state_dict() | {"model.norm.weight": torch.ones(3)}


def test_names_of_dtypes_and_numbers_of_numpy(loaded):
    values = oe.run_by_hand(loaded, IDS, dtype="bfloat16")
    assert values["logits"].dtype == torch.bfloat16
    by_numpy = oe.head_contributions(loaded, IDS, np.array(1))
    assert torch.equal(by_numpy, oe.head_contributions(loaded, IDS, 1))
