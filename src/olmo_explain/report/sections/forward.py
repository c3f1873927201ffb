"""Section 3: the modules that a forward pass calls, what it reads, and a layer's fifteen steps."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from itertools import groupby
from typing import TYPE_CHECKING, Any

from olmo_explain.report.claim import FORWARD, Claim
from olmo_explain.report.evidence import PROMPT, PROMPT_TOKENS, unproven

if TYPE_CHECKING:
    from olmo_explain.report.evidence import Evidence

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

NORM_FIRST = (
    "The norm comes first: a sublayer's output is normalised, then added, so the norm never "
    "touches the stream itself."
)
STEPS: dict[str, tuple[list[str], str]] = {
    "Q projection: hidden @ W_q.T": (["q_proj"], ""),
    "K projection: hidden @ W_k.T": (["q_proj", "k_proj"], ""),
    "V projection: hidden @ W_v.T": (["k_proj", "v_proj"], ""),
    "Q/K normalization (QK-norm)": (
        ["v_proj", "q_norm", "k_norm"],
        "Ran as {ran}: each norm follows its projection at once, before v_proj. The numbers are "
        "the same.",
    ),
    "Rotary position embedding": (["q_norm", "k_norm", "q", "k"], ""),
    "Attention scores: Q @ K.T / sqrt(d_k)": (["q", "k", "scores"], ""),
    "Softmax": (["scores", "pattern"], ""),
    "Attention apply: attn_weights @ V": (["pattern", "z"], ""),
    "O projection: attn_out @ W_o.T": (["z", "o_proj"], ""),
    "Residual + post_attention_layernorm": (
        ["o_proj", "resid_mid", "attn_out"],
        "Ran as {ran}. " + NORM_FIRST,
    ),
    "Gate projection: hidden @ W_gate.T": (["resid_mid", "gate_proj"], ""),
    "Up projection: hidden @ W_up.T": (["gate_proj", "up_proj"], ""),
    "SiLU activation + multiply": (
        ["up_proj", "silu", "intermediate"],
        "Ran as {ran}: SiLU follows gate_proj at once, before up_proj. The numbers are the same.",
    ),
    "Down projection: intermediate @ W_down.T": (["intermediate", "down_proj"], ""),
    "Residual + post_feedforward_layernorm": (
        ["down_proj", "resid_post", "mlp_out"],
        "Ran as {ran}. " + NORM_FIRST,
    ),
}
"""The report's fifteen operations: the values that each must follow and compute, in the report's
order, under the names of `reference.STEPS`; and why, where they ran otherwise."""

NOT_IN_THE_REPORT = ("masked_scores",)


def claims() -> Iterator[Claim]:
    yield from _calls()
    yield from _weights_and_time()
    yield from _steps()


# -- module calls ---------------------------------------------------------------------------------


def _calls() -> Iterator[Claim]:
    for name, count in COUNTS.items():
        yield Claim(
            id=f"calls.{name}",
            section=FORWARD,
            statement=f"{name} modules: {count} {'call' if count == 1 else 'calls'}",
            claimed=count,
            chapter="09_forward_trace",
            measure=lambda e, name=name: e.seven.ran.counts.get(name, 0),
            how=lambda e, measured, name=name: f"{traced(e)}: counts.{name}",
            corrected=rotary_calls if "Rotary" in name else "{measured} calls.",
            note=rotary_calls if "Rotary" in name else "",
        )
    yield Claim(
        id="calls.total",
        section=FORWARD,
        statement=f"{TOTAL} module calls in all",
        claimed=TOTAL,
        chapter="09_forward_trace",
        measure=lambda e: e.seven.ran.total,
        how=lambda e, measured: f"{traced(e)}: total",
        corrected=lambda e, measured: f"{measured}, not {TOTAL}. {rotary_calls(e, measured)}",
        note=rotary_calls,
    )


def traced(evidence: Evidence) -> str:
    """How the forward pass over the report's prompt was made."""
    seven = evidence.seven
    if seven.runs and seven.loaded[1] is not None:
        return f'olmo-explain trace {seven} --prompt "{PROMPT}"'
    if seven.runs or seven.checkpoint is None:
        return f"olmo-explain trace {seven} --prompt-length {PROMPT_TOKENS}"
    return f"oe.trace of the modules of {seven} on the meta device, {PROMPT_TOKENS} tokens"


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
    yield Claim(
        id="forward.accessed",
        section=FORWARD,
        statement=f"Total weight parameters accessed: {ACCESSED:,}",
        claimed=ACCESSED,
        chapter="09_forward_trace",
        measure=lambda e: e.seven.ran.parameters_read,
        how=lambda e, measured: f"{traced(e)}: parameters_read",
        corrected="{e.seven.ran.parameters_held:,} are held; {measured:,} were read, since an "
        "embedding reads only the rows of its tokens.",
    )
    yield Claim(
        id="forward.time",
        section=FORWARD,
        statement=f"Forward pass time: {MILLISECONDS}ms",
        claimed=MILLISECONDS,
        chapter="09_forward_trace",
        measure=lambda e: round(1000 * e.seven.seconds, 1) if e.seven.runs else None,
        judge=_possible,
        how=_how_fast,
        corrected="No CPU's memory gives its weights so fast: {e.seven.ran.bytes_read:,} bytes.",
        recorded="A time belongs to the machine that took it, which the report does not name. "
        "Yours: olmo-explain report MODEL, on a directory with the real weights.",
        skipped=lambda e: e.skipped_run,
    )
    yield Claim(
        id="forward.dtype",
        section=FORWARD,
        statement="The forward pass ran in bfloat16",
        claimed="bfloat16",
        chapter="02_weights_on_disk",
        measure=lambda e: e.seven.ran.calls[0].dtype,
        how=lambda e, measured: f"{traced(e)}: calls[0].dtype",
        note="The dtype in which the checkpoint is stored.",
    )
    yield Claim(
        id="forward.prompt",
        section=FORWARD,
        statement=f'"{PROMPT}" is a {PROMPT_TOKENS}-token prompt',
        claimed=PROMPT_TOKENS,
        chapter="03_embedding",
        measure=lambda e: e.seven.prompt_tokens,
        how="tokenizer.json of {e.seven}",
        recorded="Only the 7B's own tokenizer tells, and it is not here: olmo-explain report DIR, "
        "with the tokenizer.json of allenai/Olmo-3-7B-Instruct in it.",
        skipped=lambda e: e.skipped_tokenizer,
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
    how = "olmo-explain trace {e.running} --ops for the order, verify {e.running} for the values"
    for number, (statement, (names, departure)) in enumerate(STEPS.items(), start=1):
        yield Claim(
            id=f"step.{number:02}",
            section=FORWARD,
            statement=f"Operation {number}: {statement}",
            claimed=names,
            chapter="08_mlp" if number > 10 else "05_attention",
            measure=lambda e, names=names: as_it_ran(e, names),
            how=how,
            corrected=lambda e, measured, departure=departure: (
                departure or "Measured: {ran}."
            ).format(ran=_arrows(measured)),
            recorded=unproven,
            note=_mask if statement == "Softmax" else "",
            skipped=lambda e: e.skipped_run,
        )
    yield Claim(
        id="step.order",
        section=FORWARD,
        statement="The operations of a layer run in this order",
        claimed=_in_order_of_the_report(),
        chapter="09_forward_trace",
        measure=lambda e: as_it_ran(e, _in_order_of_the_report()),
        how=how,
        corrected=lambda e, measured: (
            f"A layer ran as {_arrows(measured)}. {_mask(e, measured)}".strip()
        ),
        recorded=unproven,
        skipped=lambda e: e.skipped_run,
    )


def as_it_ran(evidence: Evidence, names: list[str]) -> list | None:
    """These values in the order in which every layer computed them; a list for each way there was.

    A value that does not equal the reference's is marked: `q ≠`. None where that can't be told.
    """
    subject = evidence.running
    layers = groupby(subject.order, key=lambda step: step.layer)
    ways = []
    for _, steps in layers:
        way = list(dict.fromkeys(step.name for step in steps if step.name in names))
        if way not in ways:
            ways.append(way)
    proofs = {name: subject.proof(name) for name in names}
    if None in proofs.values():
        return None
    wrong = {name for name, proof in proofs.items() if proof != "equal"}
    marked = [[f"{name} ≠" if name in wrong else name for name in way] for way in ways]
    return marked[0] if len(marked) == 1 else marked


def _in_order_of_the_report() -> list[str]:
    """Each value where its own operation stands: an excerpt begins with what was before it."""
    own = {
        number: [name for name in names if name not in _before(number)]
        for number, (names, _) in enumerate(STEPS.values(), start=1)
    }
    return [name for names in own.values() for name in names]


def _before(number: int) -> set[str]:
    return {name for names, _ in list(STEPS.values())[: number - 1] for name in names}


def _arrows(measured: Any) -> str:
    ways = measured if measured and isinstance(measured[0], list) else [measured]
    return ", or ".join(" → ".join(way) for way in ways)


def _mask(evidence: Evidence, measured: Any) -> str:
    masked = {step.name for step in evidence.running.order}.intersection(NOT_IN_THE_REPORT)
    return (
        "The mask is added to the scores before it; the report leaves that out." if masked else ""
    )
