"""Section 3: the modules that a forward pass calls, what it reads, and a layer's fifteen steps."""

from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from itertools import groupby
from typing import Any

from olmo_explain.report.claim import PROVEN, Claim
from olmo_explain.report.evidence import PROMPT, PROMPT_TOKENS, Evidence, Subject

claim = partial(Claim, section="3. Forward pass", chapter="10_forward_trace")

COUNTS = {
    "Linear": 225,
    "Olmo3RMSNorm": 129,
    "SiLUActivation": 32,
    "Embedding": 1,
    "Olmo3RotaryEmbedding": 1,
}
TOTAL = 388
ACCESSED = 7_298_011_136
MILLISECONDS = 1848.1
FASTEST_MEMORY = 1e12  # bytes/s; no CPU reads weights faster than a terabyte a second

STEPS = {
    "Q projection: hidden @ W_q.T": ["q_proj"],
    "K projection: hidden @ W_k.T": ["q_proj", "k_proj"],
    "V projection: hidden @ W_v.T": ["k_proj", "v_proj"],
    "Q/K normalization (QK-norm)": ["v_proj", "q_norm", "k_norm"],
    "Rotary position embedding": ["q_norm", "k_norm", "q", "k"],
    "Attention scores: Q @ K.T / sqrt(d_k)": ["q", "k", "scores"],
    "Softmax": ["scores", "pattern"],
    "Attention apply: attn_weights @ V": ["pattern", "z"],
    "O projection: attn_out @ W_o.T": ["z", "o_proj"],
    "Residual + post_attention_layernorm": ["o_proj", "resid_mid", "attn_out"],
    "Gate projection: hidden @ W_gate.T": ["resid_mid", "gate_proj"],
    "Up projection: hidden @ W_up.T": ["gate_proj", "up_proj"],
    "SiLU activation + multiply": ["up_proj", "silu", "intermediate"],
    "Down projection: intermediate @ W_down.T": ["intermediate", "down_proj"],
    "Residual + post_feedforward_layernorm": ["down_proj", "resid_post", "mlp_out"],
}
"""The report's fifteen operations, and the values that each must follow and compute, in the
report's order, under the names of `by_hand.STEPS`."""

NORM_FIRST = (
    ". The norm comes first: a sublayer's output is normalised, then added, so the norm never "
    "touches the stream itself."
)
DEPARTURES = {
    4: ": each norm follows its projection at once, before v_proj. The numbers are the same.",
    10: NORM_FIRST,
    13: ": SiLU follows gate_proj at once, before up_proj. The numbers are the same.",
    15: NORM_FIRST,
}
"""What there is to say of those that run in another order."""


def claims() -> Iterator[Claim]:
    yield from _calls()
    yield from _weights_and_time()
    yield from _steps()


# -- module calls ---------------------------------------------------------------------------------


def _calls() -> Iterator[Claim]:
    def counted(name: str, count: int) -> Claim:
        return claim(
            f"calls.{name}",
            f"{name} modules: {count} {'call' if count == 1 else 'calls'}",
            count,
            measure=lambda e: e.seven.ran.counts.get(name, 0),
            how="{e.seven.traced}: counts.{about}",
            about=name,
            corrected=rotary_calls if "Rotary" in name else "{measured} calls.",
            note=rotary_calls if "Rotary" in name else "",
        )

    for name, count in COUNTS.items():
        yield counted(name, count)
    yield claim(
        "calls.total",
        f"{TOTAL} module calls in all",
        TOTAL,
        measure=lambda e: e.seven.ran.total,
        how="{e.seven.traced}: total",
        corrected=lambda e, measured: f"{measured}, not {TOTAL}. {rotary_calls(e, measured)}",
        note=rotary_calls,
    )


def rotary_calls(evidence: Evidence, measured: Any) -> str:
    """What the number of rotary calls says of the release that made them."""
    calls = sum(n for name, n in evidence.seven.ran.counts.items() if "Rotary" in name)
    regime = evidence.seven.rope.regime
    said = f"transformers {version('transformers')} calls its rotary module {times(calls)}"
    if calls > 1:
        said += (
            ", for each layer type apart. One call is what releases 5.0 to 5.12 made, which "
            "scaled every layer with YaRN: the report ran on one of them"
        )
    else:
        said += ", for every layer alike, as it was when the report was written"
    wrong = "" if regime == "per-layer" else f" The RoPE it applies is wrong ({regime})."
    return f"{said}.{wrong}"


def times(count: int) -> str:
    """How often, in words: once, twice, 3 times."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


# -- weights, time, prompt ------------------------------------------------------------------------


def _weights_and_time() -> Iterator[Claim]:
    yield claim(
        "forward.accessed",
        f"Total weight parameters accessed: {ACCESSED:,}",
        ACCESSED,
        measure=lambda e: e.seven.ran.parameters_read,
        how="{e.seven.traced}: parameters_read",
        corrected="{e.seven.ran.parameters_held:,} are held; {measured:,} were read, since an "
        "embedding reads only the rows of its tokens.",
    )
    yield claim(
        "forward.time",
        f"Forward pass time: {MILLISECONDS}ms",
        MILLISECONDS,
        measure=lambda e: round(1000 * e.seven.seconds, 1) if e.seven.runs else None,
        judge=_possible,
        how=_how_fast,
        corrected="No CPU's memory gives its weights so fast: {e.seven.ran.bytes_read:,} bytes.",
        recorded="A time belongs to the machine that took it, which the report does not name. "
        "Yours: olmo-explain report MODEL, on a directory with the real weights.",
        skipped="{e.skipped_run}",
    )
    yield claim(
        "forward.dtype",
        "The forward pass ran in bfloat16",
        "bfloat16",
        chapter="02_weights_on_disk",
        measure=lambda e: e.seven.ran.calls[0].dtype,
        how="{e.seven.traced}: calls[0].dtype",
        note="The dtype in which the checkpoint is stored.",
    )
    yield claim(
        "forward.prompt",
        f'"{PROMPT}" is a {PROMPT_TOKENS}-token prompt',
        PROMPT_TOKENS,
        chapter="03_embedding",
        measure=lambda e: e.seven.prompt_tokens,
        how="tokenizer.json of {e.seven}",
        recorded="Only the 7B's own tokenizer tells, and it is not here: olmo-explain report DIR, "
        "with the tokenizer.json of allenai/Olmo-3-7B-Instruct in it.",
        skipped="{e.skipped_tokenizer}",
    )


def _possible(claimed: float, measured: float | None, evidence: Evidence) -> bool | None:
    """A time is never confirmed, but one that no memory allows is refuted."""
    bytes_per_second = evidence.seven.ran.bytes_read / (claimed / 1000)
    return None if bytes_per_second < FASTEST_MEMORY else False


def _how_fast(evidence: Evidence, measured: float | None) -> str:
    read = evidence.seven.ran.bytes_read
    rate = read / (MILLISECONDS / 1000) / 1e9
    said = f"{read:,} bytes of weights in {MILLISECONDS} ms are {rate:.1f} GB/s, which is possible"
    return said if measured is None else f"{said}; this machine took {measured} ms"


# -- the fifteen operations -----------------------------------------------------------------------


def _steps() -> Iterator[Claim]:
    def in_order(id: str, statement: str, names: list[str], **parts: Any) -> Claim:
        return claim(
            id,
            statement,
            names,
            measure=lambda e: e.running.order_of(names),
            how="olmo-explain trace {e.running} --ops for the order, verify {e.running} for the "
            "values",
            **PROVEN,
            **parts,
        )

    for number, (statement, names) in enumerate(STEPS.items(), start=1):
        yield in_order(
            f"step.{number:02}",
            f"Operation {number}: {statement}",
            names,
            chapter="08_mlp" if number > 10 else "05_attention",
            corrected=partial(_otherwise, DEPARTURES.get(number)),
            note=_mask if statement == "Softmax" else "",
        )
    yield in_order(
        "step.order",
        "The operations of a layer run in this order",
        list(dict.fromkeys(name for names in STEPS.values() for name in names)),
        corrected=lambda e, measured: (
            f"A layer ran as {_arrows(measured)}. {_mask(e, measured)}".strip()
        ),
    )


def _otherwise(departure: str | None, evidence: Evidence, measured: Any) -> str:
    ran = _arrows(measured)
    return f"Ran as {ran}{departure}" if departure else f"Measured: {ran}."


def _arrows(measured: Any) -> str:
    ways = measured if measured and isinstance(measured[0], list) else [measured]
    return ", or ".join(" → ".join(way) for way in ways)


def _mask(evidence: Evidence, measured: Any) -> str:
    if all(step.name != "masked_scores" for step in evidence.running.order):
        return ""
    return "The mask is added to the scores before it; the report leaves that out."


# -- the table ------------------------------------------------------------------------------------


def measure(evidence: Evidence) -> dict[str, Any]:
    """Calls, what they read, and each layer's steps in the order in which they ran."""
    asked, running = evidence.asked, evidence.running
    ran = asked.ran
    return {
        "prompt": PROMPT if asked.runs and asked.loaded[1] else None,
        "tokens": ran.calls[0].input_shapes[0][-1],
        "device": "cpu" if asked.runs else "meta",
        "counts": ran.counts,
        "total": ran.total,
        "parameters_held": ran.parameters_held,
        "parameters_read": ran.parameters_read,
        "bytes_read": ran.bytes_read,
        "seconds": asked.seconds if asked.runs else None,
        "sequence": {"measured_on": running.name, "ways": _ways(running)},
    }


def _ways(subject: Subject) -> list[dict[str, Any]]:
    """The orders in which layers computed their values, and which layers did so."""
    ways: dict[tuple, list[int]] = {}
    for layer, steps in groupby(subject.order, key=lambda step: step.layer):
        ways.setdefault(tuple((step.step, step.name) for step in steps), []).append(layer)
    return [
        {"layers": layers, "steps": [{"step": step, "name": name} for step, name in way]}
        for way, layers in ways.items()
    ]
