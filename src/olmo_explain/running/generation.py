"""Token after token: which one the model writes, and what it read to choose it.

A causal model computes nothing for a position that a later one could change. So what the next token
needs of those before it can be kept: their keys and values in each layer, the KV cache.

>>> model, tokenizer = load("tiny", "float32")
>>> wrote = generate(model, "What news from France? I say, what news from", 2, tokenizer=tokenizer)
>>> wrote.text
' France?'
"""

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from olmo_explain.by_hand import check_has_weights
from olmo_explain.checkpoint import whole_number
from olmo_explain.errors import OutOfRange, UsageError
from olmo_explain.running.hooks import check_olmo, check_one_dtype, hooked
from olmo_explain.running.prompting import prompt_ids
from olmo_explain.running.tracing import trace
from olmo_explain.undo import no_grad
from olmo_explain.words import counted, quoted


@dataclass(frozen=True)
class Written:
    """One token that the model wrote, and what the forward pass before it read.

    `probability`: the model's own for this token, before temperature, top_k and top_p. `computed`:
    positions that went through the layers. `kept`: of each layer, positions whose keys and values
    came from the cache. `weight_bytes`: of weights that were read, each once, of the embedding only
    the rows that were looked up. `cache_bytes`: of keys and values that came from the cache.
    """

    id: int
    text: str | None
    probability: float
    computed: int
    kept: tuple[int, ...]
    weight_bytes: int
    cache_bytes: int


@dataclass(frozen=True, repr=False)
class Generation:
    """A prompt and what the model wrote behind it, token by token.

    `ids`: those of the prompt and all that were written, (1, positions). `ended`: whether the last
    one is a token that ends a text.
    """

    ids: Int[Tensor, "1 pos"]
    tokens: list[Written]
    ended: bool

    @property
    def written(self) -> list[int]:
        """The ids of the tokens that were written."""
        return [token.id for token in self.tokens]

    @property
    def text(self) -> str | None:
        """What was written, as text; None without a tokenizer."""
        texts = [token.text for token in self.tokens]
        return None if None in texts else "".join(map(str, texts))

    def __repr__(self) -> str:
        what = quoted(self.written) if self.text is None else repr(self.text)
        weights = sum(token.weight_bytes for token in self.tokens)
        cached = sum(token.cache_bytes for token in self.tokens)
        return (
            f"{counted(len(self.tokens), 'token')}: {what}; "
            f"{weights:,} bytes of weights read, and {cached:,} of the cache"
        )


def generate(
    model: PreTrainedModel,
    prompt: str | Sequence[int] | Tensor,
    count: int = 30,
    *,
    tokenizer: Any | None = None,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    cache: bool = True,
) -> Generation:
    """Writes up to `count` tokens behind a prompt, and stops behind one that ends a text.

    `prompt`: token ids, or a text, for which it takes the `tokenizer`. `temperature`: what logits
    are divided by before a token is drawn; at 0 nothing is drawn, and the most likely one is taken.
    `top_k`: draw only from the so many most likely. `top_p`: only from the fewest most likely that
    have this probability together. `cache`: keep keys and values from token to token; without it
    every token computes all positions again.

    The tokens are those of transformers' `generate(do_sample=temperature > 0, …)` with the same
    options behind `torch.manual_seed(seed)`, while torch's own random state stays as it is.

    Raises UsageError for a model without weights, for several prompts and for options that do not
    fit; OutOfRange for more positions than the model is made for.

    >>> wrote = generate(model, [5, 6, 7], 2)
    >>> [token.computed for token in wrote.tokens], wrote.tokens[1].kept
    ([3, 1], (3, 3, 3, 3, 3, 3, 3, 3))
    """
    check_olmo(model)
    check_has_weights(model.parameters())
    check_one_dtype(model)
    if prompt is None:
        raise UsageError("prompt is None", "Give a text or token ids")
    ids = prompt_ids(model, tokenizer, prompt)
    if len(ids) > 1:
        raise UsageError(f"{len(ids)} prompts are given", "Give one at a time")
    _check_length(ids.shape[1], whole_number("count", count), model.config.max_position_embeddings)
    choose = _Choice(temperature, top_k, top_p, whole_number("seed", seed, least=0))
    if not isinstance(cache, bool):
        raise UsageError(f"cache is {quoted(cache)}", "Give True or False")
    kept = DynamicCache(config=model.config) if cache else None
    ends, tokens, given = _ends(model), list[Written](), ids
    for _ in range(count):
        before = _positions(kept, model.config.num_hidden_layers)
        in_cache = _bytes(kept)
        logits, read = _next_logits(model, given, kept)
        chosen, probability = choose(logits)
        ids = torch.cat((ids, ids.new_tensor([[chosen]])), dim=1)
        written = None if tokenizer is None else tokenizer.decode([chosen])
        tokens.append(Written(chosen, written, probability, given.shape[1], before, read, in_cache))
        if chosen in ends:
            break
        given = ids if kept is None else ids[:, -1:]
    return Generation(ids, tokens, tokens[-1].id in ends)


def _next_logits(
    model: PreTrainedModel, ids: Int[Tensor, "1 pos"], cache: DynamicCache | None
) -> tuple[Float[Tensor, "vocab"], int]:
    """Logits behind the last position, in float32, and the bytes of weights that were read."""
    outputs: list[Tensor] = []
    with no_grad(), hooked() as hooks:
        hooks.after(model.lm_head, lambda args, output: outputs.append(output))
        # lm_head is asked about the last position alone, as transformers' generate asks it.
        options: dict[str, Any] = {_name_of_cache(model): cache, "use_cache": cache is not None}
        read = trace(model, ids, logits_to_keep=1, **options).bytes_read
    return outputs[0][0, -1].float(), read


class _Choice:
    """One token id from logits, in the order of transformers' own processors, and its generator."""

    def __init__(self, temperature: Any, top_k: Any, top_p: Any, seed: int):
        self.temperature = _number("temperature", temperature, "of at least 0", least=0)
        self.top_k = None if top_k is None else whole_number("top_k", top_k)
        self.top_p = None if top_p is None else _number("top_p", top_p, "above 0, up to 1", most=1)
        if self.top_p == 0:
            raise UsageError("top_p is 0", "Give a number above 0, up to 1")
        if not self.temperature and (top_k is not None or top_p is not None):
            raise UsageError(
                "At temperature 0 nothing is drawn, and top_k and top_p have nothing to choose",
                "Give a temperature, such as 1",
            )
        self.seed = seed
        self.generator: torch.Generator | None = None

    def __call__(self, logits: Float[Tensor, "vocab"]) -> tuple[int, float]:
        if not logits.isfinite().all():
            raise UsageError(
                "Among the model's logits are some that are infinite, or no numbers",
                "Load it in another dtype, or check its weights",
            )
        if not self.temperature:
            chosen = int(logits.argmax())
        else:
            if self.generator is None:
                self.generator = torch.Generator(logits.device).manual_seed(self.seed)
            shares = self._left(logits / self.temperature).softmax(-1)
            chosen = int(torch.multinomial(shares[None], 1, generator=self.generator))
        return chosen, logits.softmax(-1)[chosen].item()

    def _left(self, scores: Float[Tensor, "vocab"]) -> Float[Tensor, "vocab"]:
        """The scores, −∞ for what may not be drawn."""
        if self.top_k is not None:
            least = scores.topk(min(self.top_k, len(scores))).values[-1]
            scores = scores.masked_fill(scores < least, -math.inf)
        if self.top_p is not None and self.top_p < 1:
            ascending, order = scores.sort()
            outside = ascending.softmax(-1).cumsum(-1) <= 1 - self.top_p
            outside[-1] = False  # the most likely one always stays
            scores = scores.masked_fill(outside.scatter(0, order, outside), -math.inf)
        return scores


def _number(what: str, given: Any, kind: str, least: float = 0, most: float = math.inf) -> float:
    wrong = UsageError(f"{what} is {quoted(given)}", f"Give a number {kind}")
    if isinstance(given, bool | str):
        raise wrong
    try:
        number = float(given)
    except Exception:  # any object may be given, and its methods can raise anything
        raise wrong from None
    if not (least <= number <= most and math.isfinite(number)):
        raise wrong
    return number


def _check_length(prompt: int, count: int, longest: int) -> None:
    if prompt + count > longest:
        raise OutOfRange(
            f"{prompt:,} tokens and {count:,} more are longer than the model takes",
            f"Give up to {longest:,} together",
        )


def _ends(model: PreTrainedModel) -> set[int]:
    """The ids that end a text, of which a model may have none, one or several."""
    of_generation = getattr(model, "generation_config", None)
    ends = getattr(of_generation, "eos_token_id", None)
    ends = model.config.eos_token_id if ends is None else ends
    return set() if ends is None else {ends} if isinstance(ends, int) else set(ends)


def _name_of_cache(model: PreTrainedModel) -> str:
    """By which name the model takes one: newer transformers call it cache."""
    taken = inspect.signature(type(model).forward).parameters
    return "cache" if "cache" in taken else "past_key_values"


def _positions(cache: DynamicCache | None, layers: int) -> tuple[int, ...]:
    """Of each layer, how many positions are in the cache now."""
    if cache is None or not cache.layers or not cache.layers[0].is_initialized:
        return (0,) * layers
    return tuple(layer.keys.shape[-2] for layer in cache.layers)


def _bytes(cache: DynamicCache | None) -> int:
    """Of all keys and values in the cache now."""
    layers = [] if cache is None else [it for it in cache.layers if it.is_initialized]
    return sum(kv.numel() * kv.itemsize for it in layers for kv in (it.keys, it.values))
