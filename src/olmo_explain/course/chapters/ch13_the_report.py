"""Exercises of chapter 13: the report. torch only where a model has to be traced."""

from olmo_explain.checkpoint import BYTES_PER_PARAMETER, OlmoConfig, head_slices, read_config
from olmo_explain.costs import Convention, Operation, count_costs
from olmo_explain.course.answers import same
from olmo_explain.course.bundled import preset_trace
from olmo_explain.course.exercise import Exercise, Wrong
from olmo_explain.report import HEAD, HEAD_ROWS, LAYER, SEQ, bf16_step

ROTARY = "Olmo3RotaryEmbedding"
V_NORM = HEAD_ROWS["v_proj"][-1]


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


def _head_bytes() -> int:
    config = _seven()
    slices = head_slices(config, LAYER, HEAD).values()
    return sum(part.shape[0] * part.shape[1] for part in slices) * _bytes_each(config)


def _bytes_each(config: OlmoConfig) -> int:
    return BYTES_PER_PARAMETER[config.dtype]


EXERCISES = {
    "13.1": Exercise(
        question="FLOPs of causal `scores`",
        right=lambda: _scores("causal").matmul_flops,
        wrong={
            "Those are multiply-accumulates, as in the report. One MAC is two FLOPs.": lambda: (
                _scores("causal").macs
            ),
            "That is the full square, masked pairs included.": Wrong(
                lambda: _scores("full").matmul_flops,
                also=lambda flops: same(_scores("full").macs, flops),
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
        right=lambda: _calls("olmo3-32b", rotary=1),
        wrong={
            "So many calls this installation makes. The other release calls the rotary module for "
            "all layers alike.": Wrong(
                lambda: _calls("olmo3-32b"),
                also=lambda calls: same(_calls("olmo3-32b", rotary=2), calls),
            ),
            "That is the report's number, of the 7B. The 32B has twice as many layers.": Wrong(
                lambda: _calls("olmo3-7b", rotary=1),
                also=lambda calls: same(_calls("olmo3-7b", rotary=2), calls),
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
        question="the largest norm recorded as 16.25",
        right=lambda: V_NORM + bf16_step(V_NORM) / 2,
        wrong={
            "That is the next number that `bfloat16` has, and would "
            "be recorded as itself.": lambda: V_NORM + bf16_step(V_NORM),
            "That is half a step below 16. From 16 on the steps are twice as wide.": lambda: (
                V_NORM + bf16_step(V_NORM) / 4
            ),
            "That is the other end: down to which value. Up to which?": lambda: (
                V_NORM - bf16_step(V_NORM) / 2
            ),
        },
        hint="`bfloat16` keeps 8 significant bits: between 16 and 32 that is a step of 16 / 128.",
        shows="`olmo-explain report` on the real weights takes half a step, to either side, as its "
        "tolerance, and no more.",
        tolerance=1e-5,
    ),
    "13.4": Exercise(
        question="ids of the claims that a release decides",
        right=_by_release,
        wrong={
            "That is one of them. A total changes because one of its parts does.": Wrong(
                lambda: {"calls.total"},
                also=lambda ids: same("calls.total", ids) or same(("calls.total",), ids),
            ),
            "That is one of them. What is it a part of?": Wrong(
                lambda: {f"calls.{ROTARY}"},
                also=lambda ids: same(f"calls.{ROTARY}", ids) or same((f"calls.{ROTARY}",), ids),
            ),
            "Those are read from config.json, which says the same to every release, and are "
            "reproduced on all of them.": lambda: {"config.rope_type", "config.factor"},
        },
        hint="It concerns calls, and the corrected claims of section 3 that count them. Take the "
        "ids from the ledger: `{claim.id for claim in explorer.shown}`.",
        shows="The wrong program agrees with the report better than the right one: agreement "
        "proves nothing where both come from the same mistake.",
    ),
    "13.5": Exercise(
        question="bytes of four slices",
        right=_head_bytes,
        wrong={
            "So many numbers. Each takes two bytes.": lambda: (
                _head_bytes() // _bytes_each(_seven())
            ),
            "Those are the four matrices whole. A head is a slice of each.": Wrong(
                lambda: 4 * _seven().hidden_size ** 2 * _bytes_each(_seven()),
                also=lambda count: same(4 * _seven().hidden_size ** 2, count),
            ),
            "That is the whole checkpoint. One head of one layer is asked for.": lambda: (
                _seven().bytes
            ),
            "That is one of the slices. There are four.": Wrong(
                lambda: _head_bytes() // 4, also=lambda count: same(_head_bytes() * 3 // 4, count)
            ),
        },
        hint="Four slices of `head_dim` × `hidden_size` numbers, two bytes each.",
        shows="A fraction of a thousandth of the checkpoint, which is why the command can check "
        "these claims over a network.",
    ),
}
