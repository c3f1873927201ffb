"""Chapter 12: what a batch keeps and shares, which pairs count."""

from olmo_explain.checkpoint import OlmoConfig, read_config
from olmo_explain.costs import Against, Convention, count_costs, crossover_seq, total
from olmo_explain.course.exercise import Exercise, Wrong

BEHIND = 4096  # each reader in 12.1
LONG = 8192  # in 12.2
BATCH, CACHED = 64, 2048  # sequences and positions in 12.3
WINDOW = read_config("olmo3-7b").sliding_window or 0


def _seven() -> OlmoConfig:
    return read_config("olmo3-7b")


def _readers(model: str = "olmo3-7b", kept: int = BEHIND) -> int:
    """How many sequences it takes until their KV cache is larger than the weights."""
    config = read_config(model)
    step = total(count_costs(config, BEHIND, decode=True).model().values())
    return step.weight_bytes // config.kv_cache_bytes(kept) + 1


def _pairs(convention: Convention) -> int:
    return count_costs(_seven(), LONG).pairs("sliding_attention", convention)


def _intensity(operation: str, batch: int) -> float:
    return count_costs(_seven(), CACHED, batch, decode=True).layer()[operation].intensity


def _gain(operation: str) -> float:
    """How much more arithmetic a byte pays for in a decoding step of BATCH sequences."""
    return _intensity(operation, BATCH) / _intensity(operation, 1)


def _crossover(convention: Convention, against: Against = "attention_projections") -> int | None:
    return crossover_seq(_seven(), "full_attention", convention, against)


EXERCISES = {
    "12.1": Exercise(
        question="readers from whom on the KV cache outweighs the weights",
        unit="readers",
        right=_readers,
        wrong={
            "With so many the weights are still larger. It takes one reader more.": lambda: (
                _readers() - 1
            ),
            "That is the 32B: it has larger weights, and heads that share keys.": lambda: _readers(
                "olmo3-32b"
            ),
            "Keys are kept, and values too: each takes as much.": lambda: _readers(
                kept=BEHIND // 2
            ),
            "So many tokens outweigh the weights. Each reader has 4,096 of them.": Wrong(
                lambda: _readers(kept=1),
                also=lambda: [BEHIND * readers for readers in (_readers(), _readers() - 1)],
            ),
        },
        hint="One reader has keys and values of 4,096 tokens in every layer. How often do they go "
        "into the bytes of weights?",
        shows="From here on a step mostly fetches what readers said, not what the model knows: so "
        "sliding windows, and heads that share keys, are worth having.",
    ),
    "12.2": Exercise(
        question="pairs of query and key in a sliding layer",
        unit="pairs",
        right=lambda: _pairs("windowed"),
        wrong={
            "That is the full square, masked pairs included.": lambda: _pairs("full"),
            "That is causal: every earlier key. In a sliding layer a query sees no further than "
            "the window.": lambda: _pairs("causal"),
            "As if each query saw a whole window. The first ones "
            "have fewer keys before them.": lambda: LONG * WINDOW,
            "One key too many for each query: the window counts "
            "the query's own position.": lambda: _pairs("windowed") + LONG - WINDOW,
            "A query sees itself too: in the triangle the first query has one key, not none and "
            "not a half.": Wrong(
                lambda: _pairs("windowed") - WINDOW // 2,
                also=lambda: [_pairs("windowed") - WINDOW, _pairs("windowed") - LONG],
            ),
        },
        hint="The first 4,096 queries see 1, 2, 3, … keys, all later ones 4,096.",
        shows="Less than half of the square at twice the window, and less and less beyond.",
    ),
    "12.3": Exercise(
        question="intensity of `scores` for 64 sequences, divided by that for one",
        right=lambda: _gain("scores"),
        wrong={
            "So it would be if all sequences shared what is fetched. `scores` reads no weights: "
            "whose keys does it read?": Wrong(
                lambda: float(BATCH), also=lambda: [_gain("gate_proj"), round(_gain("gate_proj"))]
            ),
            "More sequences fetch more keys, but they also compute more scores.": lambda: 1 / BATCH,
            "That is the intensity itself. Divide it by that of one sequence.": Wrong(
                lambda: _intensity("scores", BATCH),
                also=lambda: [_intensity("scores", 1), round(_intensity("scores", 1), 2)],
            ),
        },
        hint='`count_costs(config, 2048, batch, decode=True).layer()["scores"].intensity`, for '
        "both batches.",
        shows="Weights are fetched once for all sequences, so `gate_proj` gains. Keys and values "
        "are each sequence's own.",
    ),
    "12.4": Exercise(
        question="positions at which the two are equal",
        unit="positions",
        right=lambda: _crossover("windowed"),
        wrong={
            "That charges the full square. Windowed, a query of a full layer is charged for those "
            "keys that it may see, about half of it.": lambda: _crossover("full"),
            "That is against all seven linear modules. Here the MLP does not count.": Wrong(
                lambda: _crossover("windowed", "linear"),
                also=lambda: [_crossover("full", "linear")],
            ),
            "That is the whole model, in which three layers of four slide. One full layer is "
            "asked for.": Wrong(
                lambda: crossover_seq(_seven(), None, "windowed", "attention_projections"),
                also=lambda: [crossover_seq(_seven())],
            ),
            "So with exactly half of the square. The diagonal counts too, since a query sees "
            "itself: T (T + 1) / 2 pairs.": lambda: 4 * _seven().hidden_size,
        },
        hint='`crossovers(config, "attention_projections")` gives a length for each place and '
        "each convention: which place, which convention?",
        shows="About a third of the length that the chapter found against all linear modules: a "
        "crossover without its convention says nothing.",
    ),
}
