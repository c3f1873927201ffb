"""What a report is measured on: which model answers for what, and everything measured, once each.

The report speaks of a 7B. A MODEL may be anything, so three questions have three models:

- `asked`: MODEL itself, the subject of the report's tables.
- `seven`: whose shapes decide claims about sizes. MODEL where it has the 7B's shape, else the
  bundled config `olmo3-7b`: a statement about the 7B is not wrong because `tiny` is smaller.
- `running`: whose numbers prove what is computed, and in which order. MODEL where its weights are
  here and fit into memory, else the bundled `tiny`.
"""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from olmo_explain.checkpoint import (
    BYTES_PER_PARAMETER,
    Checkpoint,
    FileMissing,
    Head,
    LocalFile,
    LocalSource,
    ModelLike,
    OlmoConfig,
    Source,
    head_norms,
    head_slices,
    read_config,
    read_head,
    resolve,
)
from olmo_explain.costs import Costs, count_costs
from olmo_explain.errors import CheckpointError
from olmo_explain.running import GREETING

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray
    from torch import Tensor, nn

    from olmo_explain.proof import Verification
    from olmo_explain.running import RopeMeasurement, Step, Trace

PROMPT, PROMPT_TOKENS = GREETING.text, GREETING.length
SEQ, BATCH = 64, 1
LAYER, HEAD = 17, 27

SHAPE = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
)
"""The fields that make a model one of the 7B's shape."""

ROOM = 1.1  # of a model's bytes: its weights, and what a short forward pass adds to them
SPARE_BYTES = 2**30


class Subject:
    """One model and what can be measured of it. Everything is measured when first asked for."""

    def __init__(self, model: ModelLike):
        self.source = resolve(model)
        self.name = self.source.name
        self.config: OlmoConfig = read_config(self.source)

    def __str__(self) -> str:
        return self.name

    @property
    def bytes_each(self) -> int:
        """Bytes of one weight in the checkpoint."""
        return BYTES_PER_PARAMETER[self.config.dtype]

    # -- shapes ----------------------------------------------------------------------------------

    @cached_property
    def modules(self) -> nn.Module:
        """transformers' own modules on the meta device: all names, types and shapes, no numbers."""
        import torch

        from olmo_explain.running import on_meta

        return on_meta(self.source, getattr(torch, self.config.dtype)).eval()

    @cached_property
    def ran(self) -> Trace:
        """A forward pass over the report's prompt, or over as many tokens where it has no text."""
        from olmo_explain.running import prompt_ids, trace

        model, tokenizer = self.loaded if self.runs else (self.modules, None)
        return trace(model, prompt_ids(model, tokenizer))

    @cached_property
    def rope(self) -> RopeMeasurement:
        """Which layers are scaled with YaRN, as this installation runs it."""
        from olmo_explain.running import measure_rope

        return measure_rope(self.modules, self.config)

    @cached_property
    def costs(self) -> Costs:
        return count_costs(self.config, SEQ, BATCH)

    # -- weights ---------------------------------------------------------------------------------

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """Its weights, wherever they are; None where there are none."""
        try:
            return Checkpoint(self.source)
        except FileMissing:
            return None

    @cached_property
    def missing(self) -> str | None:
        """Why its weights cannot be used whole on this machine; None when they can."""
        if self.checkpoint is None:
            return f"{self.name} comes without weights"
        if away := sorted(set(self.checkpoint.weight_map.values()) - self.shards_here):
            files = f"{len(away)} of {len(set(self.checkpoint.weight_map.values()))} files are not"
            return (
                f"{self.name} has {self.config.bytes:,} bytes of weights: {files} on this machine"
            )
        return None

    @cached_property
    def shards_here(self) -> set[str]:
        """The files of weights that lie on this machine."""
        shards = set(self.checkpoint.weight_map.values()) if self.checkpoint else set()
        return {shard for shard in shards if _is_here(self.source, shard)}

    @cached_property
    def too_large(self) -> str | None:
        """Why it cannot run on this machine though its weights are here."""
        from olmo_explain.machine import free_memory_bytes

        needed, free = int(ROOM * self.config.bytes) + SPARE_BYTES, free_memory_bytes()
        if needed > free:
            return f"{self.name} needs {needed:,} bytes of memory to run, and {free:,} are free"
        return None

    @property
    def runs(self) -> bool:
        return self.missing is None and self.too_large is None

    @cached_property
    def head(self) -> Head | None:
        """The report's head, H27@L17: 3 MiB of rows and 1 MiB of columns, wherever they lie.

        None where there are no weights, no such head, or its files are only partly here.
        """
        config = self.config
        if self.checkpoint is None or not has_head(config):
            return None
        if isinstance(self.source, LocalSource):
            names = {part.tensor for part in head_slices(config, LAYER, HEAD).values()}
            shards = {self.checkpoint.weight_map.get(name) for name in names} - {None}
            if not shards <= self.shards_here:
                return None
        return read_head(self.checkpoint, LAYER, HEAD)

    @cached_property
    def norms(self) -> dict[str, Float[ndarray, "layer head"]] | None:
        """The norms of every head, where the whole checkpoint is on this machine."""
        return None if self.missing else head_norms(self.checkpoint)

    @cached_property
    def prompt_tokens(self) -> int | None:
        """How many tokens its own tokenizer makes of the report's prompt; None if it isn't here."""
        from tokenizers import Tokenizer

        if not _is_here(self.source, "tokenizer.json"):
            return None
        try:
            text = self.source.read("tokenizer.json").decode()
            return len(Tokenizer.from_str(text).encode(PROMPT).ids)
        except Exception as error:  # the tokenizers library raises no narrower one
            raise CheckpointError(
                f"{self.name}: tokenizer.json cannot be read", "Download it again"
            ) from error

    # -- numbers ---------------------------------------------------------------------------------

    @cached_property
    def loaded(self) -> tuple[nn.Module, Any | None]:
        from olmo_explain.running import load

        return load(self.source)

    @cached_property
    def ids(self) -> Int[Tensor, "1 pos"]:
        """What proofs run on: the ids 0 to 63."""
        from olmo_explain.running import SONNET, prompt_ids

        model, _ = self.loaded
        return prompt_ids(model, None, default=SONNET)

    @cached_property
    def verified(self) -> Verification:
        """Every step of every layer against the reference."""
        from olmo_explain.proof import verify

        model, _ = self.loaded
        return verify(model, self.ids, weights=self.checkpoint, config=self.config)

    def proof(self, *names: str) -> str | None:
        """`equal` where these values, in every layer, are the reference's bit for bit.

        Otherwise the first that is not, or `not computed` where the model has none of that name.
        None where that can't be told: in a layer whose RoPE is wrong, what comes after it differs
        in any case, and is not to blame.
        """
        from olmo_explain.proof import place

        steps = [step for step in self.verified.steps if step.name in names]
        if absent := [name for name in names if name not in {step.name for step in steps}]:
            return f"not computed: {', '.join(absent)}"
        differing = next((step for step in steps if not step.equal), None)
        if differing is None:
            return "equal"
        first = self.verified.first_difference
        if first and first.name in ("cos", "sin"):
            return None
        return f"differs: {place(differing)}"

    @cached_property
    def order(self) -> list[Step]:
        """Every step of every layer, as it ran."""
        from olmo_explain.running import sequence, trace

        model, _ = self.loaded
        return sequence(trace(model, self.ids, ops=True).operators)

    @cached_property
    def seconds(self) -> float:
        """The wall time of one forward pass over as many tokens as the report's prompt has."""
        import torch

        model, _ = self.loaded
        with torch.no_grad():
            model(self.ids[:, :PROMPT_TOKENS])  # the first one also reads the weights from disk
            started = time.perf_counter()
            model(self.ids[:, :PROMPT_TOKENS])
            return time.perf_counter() - started


class Evidence:
    """What the claims are checked against, for one MODEL."""

    def __init__(self, model: ModelLike):
        self.asked = Subject(model)
        published = self.asked if self.asked.name == "olmo3-7b" else Subject("olmo3-7b")
        self.seven = self.asked if same_shape(self.asked.config, published.config) else published

    @cached_property
    def running(self) -> Subject:
        return self.asked if self.asked.runs else Subject("tiny")

    @property
    def skipped_run(self) -> str:
        """Why a MODEL of the report's shape, which has weights, did not run; else nothing."""
        return (self.asked.missing or self.asked.too_large or "") if self._has_weights else ""

    @property
    def skipped_tokenizer(self) -> str:
        """The same for its tokenizer."""
        asked = self.asked
        if self._has_weights and asked.prompt_tokens is None:
            return f"tokenizer.json of {asked.name} is not on this machine"
        return ""

    @property
    def _has_weights(self) -> bool:
        return self.asked is self.seven and self.asked.checkpoint is not None


def unproven(evidence: Evidence, measured: Any) -> str:
    """Why a value could not be compared."""
    return (
        f"{evidence.running} runs with another RoPE than its config.json asks for, so whatever "
        "depends on it differs from the reference. The report's problems say more."
    )


def same_shape(config: OlmoConfig, other: OlmoConfig) -> bool:
    return all(getattr(config, field) == getattr(other, field) for field in SHAPE)


def has_head(config: OlmoConfig) -> bool:
    """Whether there is a head 27 in a layer 17."""
    return config.num_hidden_layers > LAYER and config.num_attention_heads > HEAD


def _is_here(source: Source, filename: str) -> bool:
    """Whether a file lies on this machine; asks no server for it."""
    try:
        return isinstance(source.open(filename), LocalFile)
    except FileMissing:
        return False
