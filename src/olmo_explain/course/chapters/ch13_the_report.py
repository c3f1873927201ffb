"""Exercises of chapter 13: the report. torch only where a model has to run."""

from dataclasses import replace
from functools import cache

from olmo_explain.checkpoint import REGIMES, OlmoConfig, read_config, ropes_under
from olmo_explain.costs import Convention, Operation, count_costs
from olmo_explain.course.bundled import preset_trace, tiny
from olmo_explain.course.exercise import Exercise, Wrong
from olmo_explain.report import SEQ

ROTARY = "Olmo3RotaryEmbedding"


def _seven() -> OlmoConfig:
    return read_config("olmo3-7b")


def _scores(convention: Convention) -> Operation:
    return count_costs(_seven(), SEQ).layer("full_attention", convention)["scores"]


def _calls(model: str, rotary: int | None = None) -> int:
    """Module calls of a forward pass, with so many of the rotary module."""
    counts = preset_trace(model).counts
    return sum((counts if rotary is None else counts | {ROTARY: rotary}).values())


def _by_release() -> set[str]:
    """The claims that would be reproduced if the rotary module were called once."""
    from olmo_explain.report import ALL_CLAIMS, Evidence

    evidence = Evidence("olmo3-7b")
    extra = evidence.seven.ran.counts[ROTARY] - 1
    counted = [c.check(evidence) for c in ALL_CLAIMS if c.id.startswith("calls.")]
    return {c.id for c in counted if c.verdict == "corrected" and c.measured - extra == c.claimed}


@cache
def _left() -> dict[str, float]:
    """What each wrong RoPE leaves of the word that `tiny` gives with the right one."""
    from olmo_explain.by_hand import run_by_hand
    from olmo_explain.running import OTHERS, next_shares

    model, tokenizer = tiny()
    ids = tokenizer(OTHERS[0], return_tensors="pt").input_ids
    answer, config = int(next_shares(model, ids).argmax()), read_config("tiny")
    left = {}
    for regime in REGIMES[1:]:
        other = replace(config, rope=ropes_under(regime, config.rope))
        logits = run_by_hand(model, ids, config=other)["logits"]
        left[regime] = logits[0, -1].softmax(-1)[answer].item()
    return left


EXERCISES = {
    "13.1": Exercise(
        question="FLOPs of causal `scores`",
        unit="FLOPs",
        right=lambda: _scores("causal").matmul_flops,
        wrong={
            "Those are multiply-accumulates, as in the report. One MAC is two FLOPs.": lambda: (
                _scores("causal").macs
            ),
            "That is the full square, masked pairs included.": Wrong(
                lambda: _scores("full").matmul_flops,
                also=lambda: [_scores("full").macs],
            ),
            "Each query sees its own position too: the diagonal is missing.": lambda: (
                _scores("full").macs * (SEQ - 1) // SEQ
            ),
        },
        hint="So many pairs of query and key as 1 + 2 + … + 64, in each head, `head_dim` MACs a "
        "pair.",
        shows="A little more than half of the full square: the diagonal belongs to it. Three "
        "honest counts of one operation, so a count needs its convention as well as its unit.",
    ),
    "13.2": Exercise(
        question="module calls of the 32B on a release with one rotary call",
        unit="calls",
        right=lambda: _calls("olmo3-32b", rotary=1),
        wrong={
            "So many calls this installation makes. The other release calls the rotary module for "
            "all layers alike.": Wrong(
                lambda: _calls("olmo3-32b"),
                also=lambda: [_calls("olmo3-32b", rotary=2)],
            ),
            "That is the report's number, of the 7B. The 32B has twice as many layers.": Wrong(
                lambda: _calls("olmo3-7b", rotary=1),
                also=lambda: [_calls("olmo3-7b", rotary=2)],
            ),
            "The rotary module is called there too, but how often?": lambda: _calls(
                "olmo3-32b", rotary=0
            ),
        },
        hint="7 linear modules, 4 norms and one activation a layer; `lm_head`, the final norm and "
        "the embedding around them; and the rotary calls.",
        shows="Linear modules, norms and activations are as many on every release.",
    ),
    "13.3": Exercise(
        question="the wrong RoPE that costs the answer more",
        right=lambda: min(_left(), key=lambda regime: _left()[regime]),
        wrong={
            "That one takes less. Compare what each of the two leaves of the answer.": lambda: max(
                _left(), key=lambda regime: _left()[regime]
            ),
            "That is the right one.": lambda: "per-layer",
        },
        hint="Turn the RoPE switch of the live figure, and read the bar of the answer under each "
        "of the two wrong ones.",
        shows="And under both the answer stays what it was, so that nobody notices.",
        choices=REGIMES[1:],
    ),
    "13.4": Exercise(
        question="ids of the claims that a release decides",
        right=_by_release,
        wrong={
            "That is one of them. A total changes because one of its parts does.": Wrong(
                lambda: {"calls.total"},
                also=lambda: ["calls.total"],
            ),
            "That is one of them. What is it a part of?": Wrong(
                lambda: {f"calls.{ROTARY}"},
                also=lambda: [f"calls.{ROTARY}"],
            ),
            "Those are read from config.json, which says the same to every release, and are "
            "reproduced on all of them.": lambda: {"config.rope_type", "config.factor"},
        },
        hint="It concerns calls, and the corrected claims of section 3 that count them. Take the "
        "ids from the ledger: `{claim.id for claim in explorer.shown}`.",
        shows="The wrong program agrees with the report better than the right one: agreement "
        "proves nothing where both come from the same mistake.",
    ),
}
