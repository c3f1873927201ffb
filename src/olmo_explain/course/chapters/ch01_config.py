"""Chapter 1: parameters and bytes, rows and columns, and how far a layer sees."""

from functools import cache

from olmo_explain.checkpoint import BYTES_PER_PARAMETER, OlmoConfig, read_config
from olmo_explain.course.bundled import tiny, tiny_ids
from olmo_explain.course.exercise import Exercise

SEVEN, BIG, TINY = (read_config(name) for name in ("olmo3-7b", "olmo3-32b", "tiny"))
LAYERS, WINDOW = SEVEN.num_hidden_layers, SEVEN.sliding_window or 0
WORD = " France"


def _shape(config: OlmoConfig, weight: str) -> tuple[int, ...]:
    return next(part.shape for part in config.components if f".{weight}." in part.name)


@cache
def _seen() -> list[bool]:
    """Whether a sliding layer sees France, by the lines between the halves of the sentence."""
    from olmo_explain.running import APART

    seen = []
    for sentence in APART:
        words = [tiny()[1].decode([i]) for i in tiny_ids(sentence)[0].tolist()]
        seen.append(len(words) - words.index(WORD) <= (TINY.sliding_window or 0))
    return seen


EXERCISES = {
    "01.1": Exercise(
        question="bytes of the 7B's weights in float32",
        unit="bytes",
        right=lambda: SEVEN.parameters * BYTES_PER_PARAMETER["float32"],
        wrong={
            "Those are bits. A float32 has 32 of them, and a byte has eight.": lambda: (
                SEVEN.parameters * 32
            ),
            "That multiplies bytes by bytes: `config.bytes` has the two bytes of bfloat16 in it "
            "already. Begin with the number of parameters.": lambda: SEVEN.bytes * 4,
            "Those are the bytes in bfloat16, as the checkpoint has them. How many bytes has a "
            "float32?": lambda: SEVEN.bytes,
            "That is the number of parameters. Each of them takes several bytes.": lambda: (
                SEVEN.parameters
            ),
        },
        hint="The number of parameters times the bytes that one of them takes.",
        shows="The dtype decides the size of a file as much as the model does: name both.",
    ),
    "01.2": Exercise(
        question="the shape of `k_proj.weight` in the 32B",
        right=lambda: _shape(BIG, "k_proj"),
        wrong={
            "Rows and columns have changed places. A Linear keeps one *row* an output: outputs "
            "first.": lambda: _shape(BIG, "k_proj")[::-1],
            "That is `q_proj`, with a part for each head. Keys have a part for each key-value "
            "head, and the 32B has fewer of those.": lambda: _shape(BIG, "q_proj"),
            "Those are the rows of one key-value head. The whole projection has as many such "
            "parts as there are key-value heads.": lambda: (BIG.head_dim, BIG.hidden_size),
        },
        hint="[K · Dh, D]: K is `num_key_value_heads`, and not the number of heads.",
        shows="Several heads share a key-value head, so keys need fewer rows than queries. "
        "`k_norm.weight` has one gain for each of these rows.",
    ),
    "01.3": Exercise(
        question="lines between the halves that take France out of a sliding layer's sight",
        unit="lines",
        right=lambda: _seen().index(False),
        wrong={
            "With no line between they see it: it is only a few tokens back.": lambda: 0,
            "With so few it still stands inside the window. Count how far back it is.": lambda: (
                _seen().index(False) - 1
            ),
            "It is out of sight before that. Take one line away, and look again.": lambda: (
                _seen().index(False) + 1
            ),
            "That is the window, in tokens. The question asks for lines.": lambda: (
                TINY.sliding_window
            ),
        },
        hint="A window of 32 tokens reaches 31 back. Find the first distance that is larger.",
        shows="From there on only full layers look at *France* directly. The others hear of it, if "
        "at all, at second hand.",
    ),
    "01.4": Exercise(
        question="how far news travels through the 7B, if all its layers were sliding",
        unit="tokens",
        right=lambda: LAYERS * (WINDOW - 1),
        wrong={
            "That is one layer. Each layer before it hands on news from as far again.": lambda: (
                WINDOW - 1
            ),
            "That is the window of one layer, itself included.": lambda: WINDOW,
            "A window includes the token itself, so each layer reaches one token less far.": (
                lambda: LAYERS * WINDOW
            ),
            "That is as long as a text may be. The question is how far a relay could go.": lambda: (
                SEVEN.max_position_embeddings
            ),
            "Those are the layers that slide today. Here all of them do.": lambda: (
                SEVEN.layer_types.count("sliding_attention") * (WINDOW - 1)
            ),
        },
        hint="The farthest token of one window, times the number of layers.",
        shows="Nearly twice the longest text. Short sight does not cut a text off: it makes news "
        "pass through many hands. What a full layer adds is a direct look.",
    ),
}
