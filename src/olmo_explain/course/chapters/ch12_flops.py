"""Chapter 12: MACs and FLOPs, what multiplies, which pairs count, what a batch shares."""

from olmo_explain.checkpoint import OlmoConfig, read_config
from olmo_explain.costs import ATTENTION, Against, Convention, count_costs, crossover_seq
from olmo_explain.course.answers import same
from olmo_explain.course.exercise import Exercise, Wrong

PROMPT = 1000  # positions in 11.1
LONG = 8192  # and in 11.3
BATCH, CACHED = 64, 2048  # sequences and positions in 11.4
WINDOW = read_config("olmo3-7b").sliding_window or 0


def _seven() -> OlmoConfig:
    return read_config("olmo3-7b")


def _in_32b(projection: str) -> int:
    return count_costs(read_config("olmo3-32b"), PROMPT).layer()[projection].matmul_flops


def _one_token(without: tuple[str, ...] = ATTENTION) -> int:
    operations = count_costs(_seven(), seq=1).model().items()
    return sum(operation.matmul_flops for name, operation in operations if name not in without)


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
        question="FLOPs of `k_proj`",
        right=lambda: _in_32b("k_proj"),
        wrong={
            "Those are multiply-accumulates. One MAC is two FLOPs.": lambda: _in_32b("k_proj") // 2,
            "That is `q_proj`. Keys have fewer heads in the 32B, "
            "so `k_proj` has fewer rows.": Wrong(
                lambda: _in_32b("q_proj"), also=lambda flops: same(_in_32b("q_proj") // 2, flops)
            ),
            "That is one position. There are a thousand.": Wrong(
                lambda: _in_32b("k_proj") // PROMPT,
                also=lambda flops: same(_in_32b("k_proj") // PROMPT // 2, flops),
            ),
            "That is one head's keys. `k_proj` computes those of all key-value heads.": lambda: (
                _in_32b("k_proj") // read_config("olmo3-32b").num_key_value_heads
            ),
        },
        hint="Two for each weight of the matrix and each position; the matrix is [K · Dh, D].",
        shows="A tool that says half of it counts MACs.",
    ),
    "12.2": Exercise(
        question="FLOPs of one token without attention",
        right=_one_token,
        wrong={
            "Those are multiply-accumulates, one a parameter: double them.": lambda: (
                _one_token() // 2
            ),
            "That is one for each parameter. A parameter that is multiplied takes two, the "
            "embedding's none.": lambda: _seven().parameters,
            "Nearly, but the embedding is looked up: it multiplies "
            "nothing. Leave it out.": lambda: 2 * _seven().parameters,
            "`lm_head` is missing: it multiplies as every other linear module does.": lambda: (
                _one_token((*ATTENTION, "lm_head"))
            ),
            "That is a step of training, with its backward pass. A "
            "forward pass is a third.": lambda: _one_token() * 3,
        },
        hint="Two for each number of each matrix that multiplies: all parameters but the "
        "embedding's. The norms' are so few that they do not matter here.",
        shows="Twice the parameters that multiply. A backward pass takes two products for each "
        "one, for the gradients of inputs and weights, so training takes about 6 FLOPs a parameter "
        "and token.",
        tolerance=1e-3,
    ),
    "12.3": Exercise(
        question="pairs of query and key in a sliding layer",
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
                also=lambda pairs: (
                    pairs in (_pairs("windowed") - WINDOW, _pairs("windowed") - LONG)
                ),
            ),
        },
        hint="The first 4,096 queries see 1, 2, 3, … keys, all later ones 4,096.",
        shows="Less than half of the square at twice the window, and less and less beyond.",
    ),
    "12.4": Exercise(
        question="intensity of `scores` for 64 sequences, divided by that for one",
        right=lambda: _gain("scores"),
        wrong={
            "So it would be if all sequences shared what is fetched. `scores` reads no weights: "
            "whose keys does it read?": Wrong(
                lambda: float(BATCH), also=lambda factor: same(_gain("gate_proj"), factor, 0.01)
            ),
            "More sequences fetch more keys, but they also compute more scores.": lambda: 1 / BATCH,
            "That is the intensity itself. Divide it by that of one sequence.": Wrong(
                lambda: _intensity("scores", BATCH),
                also=lambda factor: same(round(_intensity("scores", 1), 2), factor),
            ),
        },
        hint='`count_costs(config, 2048, batch, decode=True).layer()["scores"].intensity`, for '
        "both batches.",
        shows="Weights are fetched once for all sequences, so `gate_proj` gains. Keys and values "
        "are each sequence's own.",
    ),
    "12.5": Exercise(
        question="positions at which the two are equal",
        right=lambda: _crossover("causal"),
        wrong={
            "That charges the full square. Here a query is charged only for the keys that it may "
            "see, about half of it.": lambda: _crossover("full"),
            "That is against all seven linear modules. Here the MLP does not count.": Wrong(
                lambda: _crossover("causal", "linear"),
                also=lambda positions: same(_crossover("full", "linear"), positions),
            ),
            "That is the whole model, in which three layers of four slide. One full layer is "
            "asked for.": Wrong(
                lambda: crossover_seq(_seven(), None, "windowed", "attention_projections"),
                also=lambda positions: same(crossover_seq(_seven()), positions),
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
