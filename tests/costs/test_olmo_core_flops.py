"""Our count of FLOPs against that of OLMo-core, the code that AI2 trains OLMo with."""

import pytest

from olmo_explain.checkpoint import read_config
from olmo_explain.costs import count_costs, total

# A token's training FLOPs, as `python scripts/olmo_core.py --flops` prints them: of ai2-olmo-core
# 3.0.0, `Transformer.num_flops_per_token(seq_len)` in olmo_core/nn/transformer/model.py, for its
# `TransformerConfig.olmo3_7B` and `olmo3_32B` with the published vocab_size of 100,278.
OLMO_CORE = {
    ("olmo3-7b", 64): 41_373_179_904,
    ("olmo3-7b", 8_192): 46_557_044_736,
    ("olmo3-7b", 65_536): 58_888_040_448,
    ("olmo3-32b", 64): 190_444_455_936,
    ("olmo3-32b", 8_192): 203_404_118_016,
    ("olmo3-32b", 65_536): 234_231_607_296,
}
NORMS = ("q_norm", "k_norm", "norm")


@pytest.mark.parametrize(("model", "seq"), OLMO_CORE)
def test_training_takes_three_forwards_and_what_olmo_core_counts_for_norms(model, seq):
    """It counts 6 FLOPs for each parameter, so also for the weights of QK-norm and final norm."""
    config = read_config(model)
    forward = total(count_costs(config, seq).model("windowed").values()).matmul_flops
    norms = sum(
        part.count * part.parameters
        for part in config.components
        if part.name.split(".")[-2] in NORMS
    )
    assert 3 * forward + 6 * norms * seq == OLMO_CORE[model, seq] * seq
