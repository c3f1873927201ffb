"""Chapter 1: parameters and bytes, rows and columns, shares, the KV cache, defaults."""

from functools import cache
from math import prod

from olmo_explain.checkpoint import BYTES_PER_PARAMETER, OlmoConfig, read_config
from olmo_explain.course.exercise import Exercise

SEVEN, BIG = read_config("olmo3-7b"), read_config("olmo3-32b")
LONGEST, GIB = BIG.max_position_embeddings, 2**30
FIELDS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "vocab_size",
    "sliding_window",
    "max_position_embeddings",
    "hidden_act",
    "rms_norm_eps",
)


def _shape(config: OlmoConfig, weight: str) -> tuple[int, ...]:
    return next(part.shape for part in config.components if f".{weight}." in part.name)


def _tables(config: OlmoConfig) -> int:
    """Parameters of the embedding and of lm_head."""
    return 2 * prod(_shape(config, "embed_tokens"))


@cache
def _defaults(differ: bool) -> frozenset[str]:
    """The chapter's fields in which transformers' defaults differ from the 7B, or agree."""
    from transformers import Olmo3Config

    default = Olmo3Config()
    return frozenset(
        field for field in FIELDS if (getattr(default, field) != getattr(SEVEN, field)) == differ
    )


EXERCISES = {
    "01.1": Exercise(
        question="bytes of the 7B's weights in float32",
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
        question="the share of the embedding and `lm_head` in the 7B's parameters",
        right=lambda: _tables(SEVEN) / SEVEN.parameters,
        wrong={
            "Half of it. Either that is one of the two tables (`tie_word_embeddings` is false: "
            "`lm_head` is a matrix of its own), or parameters "
            "were divided by bytes.": lambda: _tables(SEVEN) / 2 / SEVEN.parameters,
            "That divides by the *rest* of the model. A share is of the whole.": lambda: (
                _tables(SEVEN) / (SEVEN.parameters - _tables(SEVEN))
            ),
            "Right, in per cent. Answer with the share itself, between 0 and 1.": lambda: (
                100 * _tables(SEVEN) / SEVEN.parameters
            ),
        },
        hint="Two tables of V · D numbers, over all parameters.",
        shows="More than a tenth of the model is the two tables around it.",
    ),
    "01.4": Exercise(
        question="GiB of KV cache of the 32B at its longest prompt, windows kept",
        right=lambda: BIG.kv_cache_bytes(LONGEST) / GIB,
        wrong={
            "That keeps every position in every layer. Sliding layers may throw away what their "
            "window no longer sees.": lambda: BIG.kv_cache_bytes(LONGEST, capped=False) / GIB,
            "That is in GB, of 1000³ bytes. A GiB has 1024³.": lambda: (
                BIG.kv_cache_bytes(LONGEST) / 1e9
            ),
            "Half of it. Keys *and* values are kept, and each number has two bytes.": lambda: (
                BIG.kv_cache_bytes(LONGEST) / 2 / GIB
            ),
            "That keeps keys and values for every head. Only key-value heads have any.": lambda: (
                BIG.kv_cache_bytes(LONGEST) * BIG.queries_per_kv_head / GIB
            ),
            "That is the 7B. Ask the config of `olmo3-32b`.": lambda: (
                SEVEN.kv_cache_bytes(LONGEST) / GIB
            ),
        },
        hint="`kv_cache_bytes` of the 32B's config at `max_position_embeddings`, over 2³⁰.",
        shows="Less than the 7B needs, from a model more than four times as large: it has twice "
        "the layers, but a quarter of the key-value heads.",
    ),
    "01.5": Exercise(
        question="the fields in which `Olmo3Config()` differs from the 7B",
        right=lambda: _defaults(differ=True),
        wrong={
            "There are some. Compare `Olmo3Config()` with `config`, field by field.": lambda: (
                frozenset()
            ),
            "Those are the fields that agree. The others are asked for.": lambda: _defaults(
                differ=False
            ),
            "Those are all fields of the chapter. Some of them agree.": lambda: frozenset(FIELDS),
        },
        hint="For each field in `reported`, compare `getattr(Olmo3Config(), field)` with the 7B's.",
        shows="A default is a fallback, not a description: read the file that came with the "
        "weights.",
    ),
}
