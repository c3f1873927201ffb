"""Costs against PyTorch's own counter, against masks counted one by one, and against the report."""

import random

import pytest
import torch
from support.commands import imports
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM

from olmo_explain.by_hand import visible
from olmo_explain.checkpoint import OlmoConfig, read_config
from olmo_explain.costs import (
    ATTENTION,
    CONVENTIONS,
    LINEAR,
    count_costs,
    crossover_seq,
    crossovers,
    total,
)
from olmo_explain.costs.counting import ATTENTION_PROJECTIONS
from olmo_explain.errors import OutOfRange, UsageError
from olmo_explain.running import load, prompt_ids, trace

SEVEN, BIG, TINY = (read_config(name) for name in ("olmo3-7b", "olmo3-32b", "tiny"))
FULL, SLIDING = "full_attention", "sliding_attention"


def random_fields(seed: int) -> dict:
    """config.json of a small OLMo 3, as different from seed to seed as its fields allow."""
    draw = random.Random(seed)
    kv_heads, sharing = draw.choice([1, 2, 3]), draw.choice([1, 2, 4])
    heads, head_dim, layers = kv_heads * sharing, draw.choice([4, 8]), draw.randint(1, 5)
    return {
        "model_type": "olmo3",
        "vocab_size": draw.randint(20, 90),
        "hidden_size": heads * head_dim,
        "intermediate_size": draw.randint(5, 50),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": 64,
        "sliding_window": draw.randint(2, 9),
        "layer_types": [draw.choice([FULL, SLIDING]) for _ in range(layers)],
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": draw.random() < 0.3,
        "pad_token_id": 0,
        "bos_token_id": None,
        "eos_token_id": None,
    }


def counted(model: torch.nn.Module, ids: torch.Tensor) -> int:
    """What FlopCounterMode sees, without the angles of RoPE, which some releases multiply out."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(ids)
    flops = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}
    return flops["Global"] - sum(n for name, n in flops.items() if ".rotary_emb" in name)


@pytest.mark.parametrize("seed", range(10))
def test_the_full_square_is_what_pytorch_counts(seed):
    fields = random_fields(seed)
    batch, seq = 1 + seed % 3, 3 + 2 * seed
    config = AutoConfig.for_model(**fields)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    costs = count_costs(OlmoConfig.from_dict(fields), seq, batch)
    ids = torch.randint(0, fields["vocab_size"], (batch, seq))
    assert total(costs.model().values()).matmul_flops == counted(model, ids)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("decode", [False, True])
def test_conventions_are_the_ones_of_a_mask(seed, decode):
    fields = random_fields(seed)
    config, T, B = OlmoConfig.from_dict(fields), 1 + 3 * seed, 1 + seed % 3
    ones = dict.fromkeys(CONVENTIONS, 0)
    for kind in config.layer_types:
        masks = {
            "full": torch.ones(T, T),
            "causal": visible(T)[0, 0],
            "windowed": visible(T, config.sliding_window if kind == SLIDING else None)[0, 0],
        }
        for convention, mask in masks.items():
            ones[convention] += int((mask[-1:] if decode else mask).sum())
    per_one = 2 * B * config.num_attention_heads * config.head_dim  # in scores, and in apply
    costs = count_costs(config, T, B, decode=decode)
    assert costs.attention == {name: per_one * count for name, count in ones.items()}


REPORT = {  # what section 4 prints as "FLOPs", and one step of its last digit
    ("q_proj", "k_proj", "v_proj"): (3.2e9, 0.1e9),
    ("scores",): (16.7e6, 0.1e6),  # 16,777,216: cut, not rounded
    ("apply",): (16.7e6, 0.1e6),
    ("o_proj",): (1.1e9, 0.1e9),
    ("gate_proj",): (2.9e9, 0.1e9),
    ("up_proj",): (2.9e9, 0.1e9),
    ("down_proj",): (2.9e9, 0.1e9),
}


@pytest.mark.parametrize("names", REPORT, ids="+".join)
def test_the_reports_table_counts_macs(names):
    printed, step = REPORT[names]
    together = total(count_costs(SEVEN, seq=64).layer()[name] for name in names)
    assert abs(together.macs - printed) < step
    assert together.flops == 2 * together.macs


def test_linear_macs_of_a_token_are_its_parameters():
    layer = count_costs(SEVEN, seq=1).layer()
    assert sum(layer[name].macs for name in LINEAR) == 202_375_168
    assert total(count_costs(SEVEN, 2).model().values()).weight_bytes == 2 * 6_887_280_640


@pytest.mark.parametrize("name", ["tiny", "olmo3-7b", "olmo3-32b"])
def test_weight_bytes_are_those_that_a_trace_reads(name):
    model, _ = load(name)
    ran = trace(model, prompt_ids(model, None, length=3))
    costs = count_costs(read_config(name), seq=3)
    assert total(costs.model().values()).weight_bytes == ran.bytes_read
    linear = [*(costs.model()[part] for part in LINEAR), costs.around()["lm_head"]]
    assert total(linear).matmul_flops == sum(call.flops for call in ran.calls)


def test_decoding_reads_the_cache_and_every_weight_for_one_position():
    positions, layers = 8192, {FULL: 8, SLIDING: 24}
    step = count_costs(SEVEN, positions, decode=True)
    assert step.positions == 1 and step.layer()["q_proj"].macs == 4096**2
    read = sum(
        count
        * (step.layer(kind, "windowed")[name].activation_bytes - _beside_the_cache(step, kind))
        for kind, count in layers.items()
        for name in ATTENTION
    )
    assert read == SEVEN.kv_cache_bytes(positions)
    whole = total(step.model("windowed").values())
    assert whole.weight_bytes == 2 * (SEVEN.parameters - (SEVEN.vocab_size - 1) * 4096)
    assert 0.9 < whole.intensity < 1.1  # two FLOPs for each weight of two bytes


def _beside_the_cache(step, kind: str) -> int:
    """Bytes of q (or z) and of the scores, in bfloat16."""
    return 2 * (4096 + 32 * step.pairs(kind, "windowed"))


def test_kv_cache_and_training():
    costs = count_costs(SEVEN, 65_536).to_dict()
    gib = {name: count / 2**30 for name, count in costs["kv_cache_bytes"].items()}
    one_position_of_24_layers = 24 * 2**14 / 2**30
    assert gib == {
        "capped": 9.5,
        "uncapped": 32.0,
        "between_steps": 9.5 - one_position_of_24_layers,
    }
    training = count_costs(SEVEN, 64).to_dict()["training"]
    assert training["six_nd"] == 6 * 7_298_011_136 * 64
    assert 0.9 < training["three_forwards"] / training["six_nd"] < 1


@pytest.mark.parametrize("against", ["linear", "attention_projections"])
@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("config", [SEVEN, BIG, TINY], ids=["7b", "32b", "tiny"])
def test_a_crossover_is_where_attention_catches_up(config, against, decode):
    projections = LINEAR if against == "linear" else ATTENTION_PROJECTIONS
    for place, by_convention in crossovers(config, against, decode=decode).items():
        for convention, seq in by_convention.items():

            def ahead(n, place=place, convention=convention):
                costs = count_costs(config, n, decode=decode)
                layers = (
                    costs.model(convention) if place == "model" else costs.layer(place, convention)
                )
                attention, linear = (
                    sum(layers[name].macs for name in names) for names in (ATTENTION, projections)
                )
                return attention >= linear

            if seq is None:
                assert place == SLIDING and convention == "windowed" and not ahead(10**9)
            else:
                assert ahead(seq) and (seq == 1 or not ahead(seq - 1))


def test_crossovers_of_the_7b():
    linear, projections = crossovers(SEVEN), crossovers(SEVEN, "attention_projections")
    assert linear[FULL] == {"full": 24_704, "causal": 49_407, "windowed": 49_407}
    assert linear[SLIDING]["windowed"] is None
    assert linear["model"]["windowed"] == 173_346 > SEVEN.max_position_embeddings
    assert projections["model"] == {"full": 8192, "causal": 16_383, "windowed": 42_153}
    assert crossover_seq(SEVEN) == linear["model"]["windowed"]


def test_olmo_2_has_no_sliding_layer():
    fields = random_fields(0) | {"model_type": "olmo2", "layer_types": None, "sliding_window": None}
    costs = count_costs(OlmoConfig.from_dict(fields), 10)
    assert set(crossovers(costs.config)) == {FULL, "model"}
    assert costs.attention["causal"] == costs.attention["windowed"]


def test_bad_input_is_said():
    with pytest.raises(OutOfRange, match=r"seq is 0\. Give at least 1"):
        count_costs(SEVEN, 0)
    with pytest.raises(OutOfRange, match="batch is -1"):
        count_costs(SEVEN, 1, -1)
    with pytest.raises(UsageError, match=r"64\.5"):
        count_costs(SEVEN, 64.5)
    biased = OlmoConfig.from_dict(random_fields(0) | {"attention_bias": True})
    with pytest.raises(UsageError, match="attention_bias"):
        count_costs(biased, 1)


def test_costs_need_no_torch():
    assert imports("import olmo_explain; olmo_explain.count_costs") == set()
