"""What a report is measured on: which model answers for what, and everything measured, once each.

The report speaks of a 7B. A MODEL may be anything, so three questions have three models:

- `asked`: MODEL itself, the subject of the report's tables.
- `seven`: whose shapes decide claims about sizes. MODEL where it has the 7B's shape, else the
  bundled config `olmo3-7b`: a statement about the 7B is not wrong because `tiny` is smaller.
- `running`: whose numbers prove what is computed, and in which order. MODEL where its weights are
  here and fit into memory, else the bundled `tiny`.
"""

import time
from collections.abc import Iterable
from functools import cached_property
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import PreTrainedModel

from olmo_explain import machine
from olmo_explain.checkpoint import (
    BYTES_PER_PARAMETER,
    Checkpoint,
    FileMissing,
    Head,
    HeadSlice,
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
from olmo_explain.proof import Verification, place, verify
from olmo_explain.report.original import BATCH, HEAD, LAYER, SEQ
from olmo_explain.running import (
    GREETING,
    SONNET,
    RopeMeasurement,
    Step,
    Trace,
    load,
    measure_rope,
    on_meta,
    prompt_ids,
    trace,
)

PROMPT, PROMPT_TOKENS = GREETING.text, GREETING.length

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
    def modules(self) -> PreTrainedModel:
        """transformers' own modules on the meta device: all names, types and shapes, no numbers."""
        return on_meta(self.source, getattr(torch, self.config.dtype)).eval()

    @cached_property
    def biases(self) -> list[bool]:
        """Whether each of its Linear modules has a bias."""
        linear = (module for module in self.modules.modules() if isinstance(module, nn.Linear))
        return [module.bias is not None for module in linear]

    @cached_property
    def ran(self) -> Trace:
        """A forward pass over the report's prompt, or over as many tokens where it has no text."""
        model, tokenizer = self.loaded if self.runs else (self.modules, None)
        return trace(model, prompt_ids(model, tokenizer))

    @property
    def traced(self) -> str:
        """How that pass was made."""
        if self.runs and self.loaded[1] is not None:
            return f'olmo-explain trace {self} --prompt "{PROMPT}"'
        if self.runs or self.checkpoint is None:
            return f"olmo-explain trace {self} --prompt-length {PROMPT_TOKENS}"
        return f"oe.trace of the modules of {self} on the meta device, {PROMPT_TOKENS} tokens"

    @cached_property
    def rope(self) -> RopeMeasurement:
        """Which layers are scaled with YaRN, as this installation runs it."""
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
    def shards(self) -> set[str]:
        """The files of its weights."""
        return set(self.checkpoint.weight_map.values() if self.checkpoint else ())

    @cached_property
    def shards_away(self) -> set[str]:
        """Those that do not lie on this machine."""
        return {shard for shard in self.shards if not _is_here(self.source, shard)}

    @cached_property
    def missing(self) -> str | None:
        """Why its weights cannot be used whole on this machine; None when they can."""
        if self.checkpoint is None:
            return f"{self.name} comes without weights"
        if not self.shards_away:
            return None
        return (
            f"{self.name} has {self.config.bytes:,} bytes of weights: {len(self.shards_away)} of "
            f"{len(self.shards)} files are not on this machine"
        )

    @cached_property
    def too_large(self) -> str | None:
        """Why it cannot run on this machine though its weights are here."""
        needed, free = int(ROOM * self.config.bytes) + SPARE_BYTES, machine.free_memory_bytes()
        if needed > free:
            return f"{self.name} needs {needed:,} bytes of memory to run, and {free:,} are free"
        return None

    @property
    def runs(self) -> bool:
        return self.missing is None and self.too_large is None

    @property
    def slices(self) -> dict[str, HeadSlice]:
        """Where the rows and columns of H27@L17 are; nothing where there is no such head."""
        config = self.config
        if config.num_hidden_layers <= LAYER or config.num_attention_heads <= HEAD:
            return {}
        return head_slices(config, LAYER, HEAD)

    @cached_property
    def head(self) -> Head | None:
        """The report's head, H27@L17: 3 MiB of rows and 1 MiB of columns, wherever they lie.

        None where there are no weights, no such head, or its files are only partly here.
        """
        if self.checkpoint is None or not self.slices:
            return None
        shards = {self.checkpoint.weight_map.get(part.tensor) for part in self.slices.values()}
        if isinstance(self.source, LocalSource) and shards & self.shards_away:
            return None
        return read_head(self.checkpoint, LAYER, HEAD)

    @cached_property
    def norms(self) -> dict[str, Float[ndarray, "layer head"]] | None:
        """The norms of every head, where the whole checkpoint is on this machine."""
        return None if self.missing or not self.checkpoint else head_norms(self.checkpoint)

    @cached_property
    def prompt_tokens(self) -> int | None:
        """How many tokens its own tokenizer makes of the report's prompt; None if it isn't here."""
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
    def loaded(self) -> tuple[PreTrainedModel, Any | None]:
        return load(self.source)

    @property
    def model(self) -> PreTrainedModel:
        return self.loaded[0]

    @cached_property
    def ids(self) -> Int[Tensor, "1 pos"]:
        """What proofs run on: the ids 0 to 63."""
        return prompt_ids(self.model, None, default=SONNET)

    @cached_property
    def verified(self) -> Verification:
        """Every step of every layer against the reference."""
        return verify(self.model, self.ids, weights=self.checkpoint, config=self.config)

    def proof(self, *names: str) -> str | None:
        """`equal` where these values, in every layer, are the reference's bit for bit.

        Otherwise the first that is not, or `not computed` where the model has none of that name.
        None where that can't be told: in a layer whose RoPE is wrong, what comes after it differs
        in any case, and is not to blame.
        """
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
        return trace(self.model, self.ids, ops=True).sequence

    def order_of(self, names: Iterable[str]) -> list | None:
        """These values as every layer computed them, in order; a list for each way there was.

        A value that does not equal the reference's is marked: `q ≠`. None where that can't be told.
        """
        proofs = {name: self.proof(name) for name in names}
        if None in proofs.values():
            return None
        shown = {name: name if proof == "equal" else f"{name} ≠" for name, proof in proofs.items()}
        ways = []
        for _, steps in groupby(self.order, key=lambda step: step.layer):
            way = list(dict.fromkeys(shown[step.name] for step in steps if step.name in shown))
            if way not in ways:
                ways.append(way)
        return ways[0] if len(ways) == 1 else ways

    @cached_property
    def seconds(self) -> float:
        """The wall time of one forward pass over as many tokens as the report's prompt has."""
        ids = self.ids[:, :PROMPT_TOKENS]
        with torch.no_grad():
            self.model(ids)  # the first one also reads the weights from disk
            started = time.perf_counter()
            self.model(ids)
            return time.perf_counter() - started


class Evidence:
    """What the claims are checked against, for one MODEL."""

    def __init__(self, model: ModelLike):
        self.asked = Subject(model)
        published = Subject("olmo3-7b")
        self.seven = self.asked if _same_shape(self.asked, published) else published

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


def _same_shape(one: Subject, other: Subject) -> bool:
    configs = (one.config, other.config)
    first, second = ((it.shapes, it.num_attention_heads, it.num_key_value_heads) for it in configs)
    return first == second


def is_norm(module: nn.Module) -> bool:
    return type(module).__name__.endswith("RMSNorm")


def _is_here(source: Source, filename: str) -> bool:
    """Whether a file lies on this machine; asks no server for it."""
    try:
        return isinstance(source.open(filename), LocalFile)
    except FileMissing:
        return False
