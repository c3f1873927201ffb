"""Chapter 10: calls without a weight and for many words, weights read, and what 196 gives away."""

from functools import cache
from typing import Any

from olmo_explain.checkpoint import read_config
from olmo_explain.course.bundled import preset_trace, tiny, tiny_ids
from olmo_explain.course.exercise import Exercise, Wrong
from olmo_explain.running import NEAR

SAID = 100  # times, in 10.3
LAYERS, COUNTED = 16, 196  # of the model in 10.4
FULL_STOP, LONGEST = ".", 100  # where `tiny` has stopped long before


def _rotary(traced: Any) -> int:
    return traced.counts["Olmo3RotaryEmbedding"]


def _unweighted() -> int:
    """Calls of a right release that use no weight: one rotary call for each layer type."""
    traced = preset_trace("olmo3-7b")
    without = sum(call.weight is None for call in traced.calls)
    return without - _rotary(traced) + len(read_config("olmo3-7b").rope)


@cache
def _pass() -> int:
    from olmo_explain.running import trace

    return trace(tiny()[0], tiny_ids(NEAR)).total


@cache
def _runs() -> int:
    """How many tokens `tiny` writes until its first full stop, that one included."""
    model, tokenizer = tiny()
    ids = tiny_ids(NEAR)
    ran = model.generate(ids, max_new_tokens=LONGEST, do_sample=False)
    written = ran[0, ids.shape[1] :].tolist()
    return written.index(tokenizer.convert_tokens_to_ids(FULL_STOP)) + 1


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
        question="calls of the 7B that use no weight",
        unit="calls",
        right=_unweighted,
        wrong={
            "SiLU has no weight, that is so. But it is not the only module without one: what "
            "computes the angles?": lambda: preset_trace("olmo3-7b").counts["SiLUActivation"],
            "Those compute the angles. What stands between the gate and the up projection has no "
            "weight either.": Wrong(lambda: len(read_config("olmo3-7b").rope), also=lambda: [1]),
            "One too few. That is how many there are where a single set of angles serves every "
            "layer.": lambda: _unweighted() - 1,
            "The norms are counted too, but each has a weight, and multiplies by it.": Wrong(
                lambda: _unweighted() + preset_trace("olmo3-7b").counts["Olmo3RMSNorm"],
                also=lambda: [preset_trace("olmo3-7b").counts["Olmo3RMSNorm"]],
            ),
            "The embedding is a weight: a table of which rows are read.": lambda: _unweighted() + 1,
        },
        hint="Linear modules, norms and the embedding have a weight. What other beads are there?",
        shows="All the others are tensors of the file in chapter 2, each used exactly once.",
    ),
    "10.2": Exercise(
        question="module calls until the first full stop",
        unit="calls",
        right=lambda: _runs() * _pass(),
        wrong={
            "That is one run, and it gives one token. How many were written?": _pass,
            "That is the number of tokens, so of runs. Each run calls every module.": Wrong(
                _runs, also=lambda: [_runs() - 1]
            ),
            "The full stop is a token too, and took a run.": lambda: (_runs() - 1) * _pass(),
            "One run too many: the run that reads the sentence already gives the first "
            "token.": lambda: (_runs() + 1) * _pass(),
            "The tokens of the sentence go through in one run together: a position is an axis of "
            "the tensors, not a call.": Wrong(
                lambda: (tiny_ids(NEAR).shape[1] + _runs()) * _pass(),
                also=lambda: [(tiny_ids(NEAR).shape[1] + _runs() - 1) * _pass()],
            ),
        },
        hint="Count what was written, line breaks and the full stop included: each token is one "
        "run of the whole model.",
        shows="Reading is one run, writing is one for each token: chapter 12 counts what that "
        "costs.",
    ),
    "10.3": Exercise(
        question="parameters that the 7B reads",
        unit="parameters",
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
        question="how many layers YaRN scales there",
        unit="layers",
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
