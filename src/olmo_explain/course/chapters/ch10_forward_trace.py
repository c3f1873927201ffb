"""Chapter 10: counts of calls, weights held and read, fused attention, and what 196 gives away."""

from functools import cache
from typing import Any

from olmo_explain.checkpoint import read_config
from olmo_explain.course.answers import same
from olmo_explain.course.bundled import preset_trace, tiny, tiny_ids
from olmo_explain.course.exercise import Exercise, Wrong

PROMPT, NEW, SAID = "Hello world", 10, 100
LAYERS, COUNTED = 16, 196  # of the model in 9.5


def _rotary(traced: Any) -> int:
    return traced.counts["Olmo3RotaryEmbedding"]


def _calls(name: str) -> int:
    """As a right release makes them: one rotary call for each layer type."""
    traced = preset_trace(name)
    return traced.total - _rotary(traced) + len(read_config(name).rope)


def _calls_to_write() -> int:
    """Calls while `tiny` writes NEW tokens after the prompt."""
    from torch import nn

    from olmo_explain.running import trace

    class Writer(nn.Module):
        def __init__(self):
            super().__init__()
            self.model, _ = tiny()

        def forward(self, ids):
            return self.model.generate(ids, min_new_tokens=NEW, max_new_tokens=NEW)

    return trace(Writer(), tiny_ids(PROMPT)).total


@cache
def _pass() -> int:
    from olmo_explain.running import trace

    return trace(tiny()[0], tiny_ids(PROMPT)).total


def _not_told_apart() -> frozenset[str]:
    """Values that eager attention forms and a fused one does not."""
    from olmo_explain.running import load, trace

    ids = tiny_ids(PROMPT)
    fused, _ = load("tiny", attention="sdpa")
    eager, quick = (
        {step.name for step in trace(model, ids, ops=True).sequence} for model in (tiny()[0], fused)
    )
    return frozenset(eager - quick)


def _without_rotary(layers: int) -> int:
    """Seven linear modules, four norms and an activation a layer; three modules outside."""
    seven = preset_trace("olmo3-7b")
    outside = 3  # embed_tokens, norm, lm_head
    a_layer = (seven.total - _rotary(seven) - outside) // read_config("olmo3-7b").num_hidden_layers
    return a_layer * layers + outside


def _read(rows: int) -> int:
    config = read_config("olmo3-7b")
    return config.parameters + (rows - config.vocab_size) * config.hidden_size


def _scaled_layers() -> int:
    full = LAYERS // 4
    return {1: LAYERS, 2: full}[COUNTED - _without_rotary(LAYERS)]


EXERCISES = {
    "10.1": Exercise(
        question="module calls of the 32B",
        right=lambda: _calls("olmo3-32b"),
        wrong={
            "One too few, as in the report's 388: that is one rotary call, for all layers alike. "
            "A right release makes one for each layer type.": lambda: _calls("olmo3-32b") - 1,
            "That is the 7B's. The 32B has more layers.": Wrong(
                lambda: _calls("olmo3-7b"), also=lambda calls: same(_calls("olmo3-7b") - 1, calls)
            ),
            "Those are the linear modules alone. Norms, activations, the embedding and the rotary "
            "module are called too.": lambda: preset_trace("olmo3-32b").counts["Linear"],
            "That is how many weights there are. Modules without a weight are called too: SiLU, "
            "and the rotary "
            "module.": lambda: sum(part.count for part in read_config("olmo3-32b").components),
            "The rotary module is missing.": lambda: _without_rotary(
                read_config("olmo3-32b").num_hidden_layers
            ),
        },
        hint="Seven linear modules, four norms and one activation in each layer; then what stands "
        "outside the layers.",
        shows="12 L + 5: with 64 layers in place of 32 it is not quite twice the 7B's.",
    ),
    "10.2": Exercise(
        question="module calls while ten tokens are written",
        right=_calls_to_write,
        wrong={
            "That is one pass. A pass gives one new token, and the "
            "next one needs it as input.": _pass,
            "That is the number of passes. Each of them calls every module.": Wrong(
                lambda: NEW, also=lambda passes: same(NEW + 1, passes)
            ),
            "One pass too many: the pass that reads the prompt "
            "already gives the first token.": lambda: (NEW + 1) * _pass(),
            "The tokens of the prompt go through in one pass together: a position is an axis of "
            "the tensors, not a call.": Wrong(
                lambda: (tiny_ids(PROMPT).shape[1] + NEW) * _pass(),
                also=lambda calls: same((tiny_ids(PROMPT).shape[1] + NEW - 1) * _pass(), calls),
            ),
        },
        hint="How many passes is that? The first one reads the whole prompt.",
        shows="Reading is one pass, writing one for each token: chapter 12 counts what that costs.",
    ),
    "10.3": Exercise(
        question="parameters that the 7B reads",
        right=lambda: _read(1),
        wrong={
            "That is what the model holds. Of the embedding only some rows are read.": lambda: (
                read_config("olmo3-7b").parameters
            ),
            "A row for each position. A row looked up a hundred times is still one row.": lambda: (
                _read(SAID)
            ),
            "One row of the embedding is read, too: the token's own.": lambda: _read(0),
            "That is for the chapter's two different tokens. Here it is one token.": lambda: _read(
                2
            ),
        },
        hint="All parameters, less the embedding, plus the rows of it that are looked up.",
        shows="The other weights are read whole, however short or long the prompt is.",
    ),
    "10.4": Exercise(
        question="the names of the values that are missing",
        right=_not_told_apart,
        wrong={
            "Not `z`: it is what the fused operator gives.": Wrong(
                lambda: frozenset({"scores", "masked_scores", "pattern", "z"}),
                also=lambda names: "z" in names,
            ),
            "The pattern is one of them. From which values is it computed, inside the same "
            "operator?": lambda: frozenset({"pattern"}),
            "Those are modules of their own, and run before attention is called.": Wrong(
                lambda: frozenset({"q_proj", "k_proj", "v_proj"}),
                also=lambda names: any(f"{part}_proj" in names for part in "qkvo"),
            ),
        },
        hint='Trace the model loaded with `attention="sdpa"`, with `ops=True`, and compare '
        "the names of the steps with the chapter's `names`.",
        shows="One operator goes from q, k and v to z. Who wants to see a pattern needs eager "
        "attention.",
    ),
    "10.5": Exercise(
        question="how many layers YaRN scales there",
        right=_scaled_layers,
        wrong={
            "So OLMo 3 was trained: full layers only. But take the calls of the layers away from "
            "196. How many rotary calls are left?": lambda: LAYERS // 4,
            "Those are the sliding layers. One rotary call serves all layers alike.": lambda: (
                LAYERS - LAYERS // 4
            ),
            "Some are: a release with a single rotary call takes its "
            "angles from the scaled kind.": lambda: 0,
        },
        hint="12 calls a layer and three outside the layers. What is left are rotary calls: with "
        "two of them each layer type has its own angles.",
        shows="One number tells that every activation of a sliding layer was wrong.",
    ),
}
