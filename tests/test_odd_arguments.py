"""Models that are no OLMo, or not quite one, and arguments of other types: one line says so."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

import olmo_explain as oe
from olmo_explain.checkpoint import read_config
from olmo_explain.errors import ExplainError
from olmo_explain.running import (
    ablate_output_slice,
    capture,
    measure_rope,
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
        (lambda m: oe.load("tiny", attention=np.arange(3)), "Unknown attention array([0, 1, 2])"),
        (lambda m: oe.load("tiny", distributed=3), "distributed is 3. Give transformers'"),
    ],
)
def test_arguments_of_other_types(loaded, call, said):
    says(lambda: call(loaded), said)


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
