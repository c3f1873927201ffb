"""What is wrong with an engine, from the numbers that it gave: the fault by its name, or none.

>>> diagnose("tiny", {"ids": ids, "logits": logits})  # logits of a model that had no QK-norm
no-qk-norm: queries and keys are not normalised; it explains 100.00 % of a distance of 2.48
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from olmo_explain.by_hand import FAULTS, STEPS, check_weights, known_faults
from olmo_explain.checkpoint import (
    Checkpoint,
    LocalFile,
    ModelLike,
    OlmoConfig,
    Source,
    check_supported,
    config_of,
    read_config,
    resolve,
)
from olmo_explain.errors import UsageError
from olmo_explain.ids import check_room
from olmo_explain.proof.engine_output import LOGITS, EngineOutput, Key
from olmo_explain.proof.explanation import Apart, Diagnosis, Difference, Explanation, Hidden
from olmo_explain.proof.passes import Named, Passes, explanation
from olmo_explain.proof.reading import read_engine_output
from olmo_explain.waiting import progress

WORK = 1e13  # multiply-accumulates that pairs of faults may take together
FEWEST_PAIRS = 20
SMALL = 10_000_000  # parameters
AT_A_TIME = 64  # of these, before it is looked whether one explains it
BEGINNINGS = (8, 16, 32)  # positions
CLEARLY = 10.0  # times as far as rounding may take it
LOOK_AHEAD = {"no-causal-mask"}  # what it makes of a beginning depends on what follows


def diagnose(
    model: ModelLike | nn.Module,
    given: str | Path | Mapping[str, Any],
    *,
    dtype: torch.dtype | str | None = None,
) -> Diagnosis:
    """Whether an engine runs an OLMo right, from what it gave; and if not, what is wrong.

    `model`: a MODEL as the commands take it, or one that was loaded, whose weights and config are
    then believed. `given`: a safetensors, npz or JSON file, or a mapping, with `ids` and `logits`,
    and any other value of the pass by hand (`3.q`, `final_norm`). `dtype`: what the engine computed
    in; as its logits tell, if left out. UsageError for what cannot be compared.

    The pass by hand runs in float32. How far rounding moves it is measured, by running it in that
    dtype (of float32, by moving its constants by less than a millionth), and four times as much is
    allowed. Where more is found, every known fault is tried, then two at once: one explains what
    was given if it is as near as the reference would have to be. Of a Checkpoint one layer's
    weights are held at a time.

    >>> found = diagnose("tiny", {"ids": [[5, 6, 7]], "logits": logits})
    >>> found.ok, found.diagnosis
    (False, 'yarn-everywhere')
    """
    if isinstance(model, nn.Module):
        name, config = type(model).__name__, config_of(model)
        weights: Mapping[str, Tensor] | Checkpoint = model.state_dict()
    else:
        source = resolve(model)
        name, config, weights = source.name, read_config(source), Checkpoint(source)
        _check_here(source, weights)
    check_supported(config)
    engine = read_engine_output(given, config, dtype=dtype)
    check_weights(weights, config)
    check_room(engine.ids, config.num_attention_heads, 4)
    found = _Search(name, config, weights, engine).run()
    if isinstance(weights, Checkpoint):
        weights.check_unchanged()
    return found


def _check_here(source: Source, weights: Checkpoint) -> None:
    """UsageError where weights lie elsewhere: they are read several times, all of them."""
    for shard in set(weights.weight_map.values()):
        if not isinstance(source.open(shard), LocalFile):
            raise UsageError(
                f"The weights of {source.name} are not on this machine, and all of them are read "
                "several times",
                "Download them first (hf download, for a repository of the hub)",
            )


class _Search:
    """The way from what an engine gave to what is wrong with it."""

    def __init__(
        self,
        name: str,
        config: OlmoConfig,
        weights: Mapping[str, Tensor] | Checkpoint,
        engine: EngineOutput,
    ):
        self.name, self.config, self.weights, self.engine = name, config, weights, engine
        self.tensor_names = frozenset(weights.names if isinstance(weights, Checkpoint) else weights)
        faults = known_faults(config, self.tensor_names)
        self.known = [Named((name,), form) for name, forms in faults.items() for form in forms]

    def run(self) -> Diagnosis:
        layers = self.config.num_hidden_layers + 1
        steps = (len(self.known) + 2) * layers
        with _threads(self.config), progress("Running the pass by hand", steps) as advance:
            self.advance = advance
            passes = Passes(self.config, self.weights, self.engine, advance)
            key = self._judged_by(passes)
            apart = self.engine.apart(key, passes.right[key])
            first = self._first_difference(passes)
            measured = passes.distances([one.form for one in self.known], key)
            # What lies within the tolerance is a fault all the same where one explains it far
            # better than rounding does.
            explained = []
            if first or apart.rms > 2 * passes.noise[key]:
                explained = passes.explained(self.known, measured, key)
            tried = pairs = 0
            rounded_like = None
            if not explained and apart.most > passes.allowed[key]:
                explained, tried, pairs = self._two_at_once(passes, key, measured)
                if not explained:
                    rounded_like = self._rounded_like(passes, key, apart)
            effects = [effect for _, effect in measured]
            hidden = self._hidden(passes.allowed[key], effects)
        return Diagnosis(
            model=self.name,
            shape_of_ids=tuple(self.engine.ids.shape),
            dtype=str(self.engine.dtype).removeprefix("torch."),
            form=self.engine.logits.form if self.engine.logits else "no logits",
            compared=_said(key),
            tolerance=passes.allowed[key],
            apart=apart,
            first_difference=first,
            explanations=explained,
            singles=sorted(map(explanation, self.known, measured), key=lambda one: one.apart.rms),
            hidden=hidden,
            same_token=self.engine.same_token(passes.right),
            rounded_like=rounded_like,
            tried=tried,
            pairs=pairs,
        )

    def _judged_by(self, passes: Passes) -> Key:
        """The value by which faults are judged: the logits, or else the last that was given."""
        return passes.order[-1]

    def _first_difference(self, passes: Passes) -> Difference | None:
        for key in passes.order:
            apart = self.engine.apart(key, passes.right[key])
            if apart.most > passes.allowed[key]:
                layer, name = key
                return Difference(layer, STEPS.get(name), name, apart.most, passes.allowed[key])
        return None

    def _two_at_once(
        self, passes: Passes, key: Key, measured: list[tuple[Apart, Apart]]
    ) -> tuple[list[Explanation], int, int]:
        """Pairs of faults that explain it, how many were tried, and how many there are.

        The most promising first, on the prompt that is farthest from the reference; what explains
        that is then run on all. Most are excluded by the first positions, which cost little.
        """
        farthest = self.engine.farthest(key, passes.right[key])
        alone = Passes(self.config, self.weights, self.engine.only(farthest), self.advance)
        promising = [
            (near.rms, one)
            for one, (near, effect) in zip(self.known, measured, strict=True)
            if effect.most > passes.allowed[key]
        ]
        couples = sorted(combinations(promising, 2), key=lambda two: min(near for near, _ in two))
        pairs = [pair for (_, one), (_, other) in couples for pair in self._together(one, other)]
        beginning = self._beginning(alone, key)
        tokens = (beginning or alone).engine.ids.numel()
        most = max(FEWEST_PAIRS, int(WORK / (self.config.parameters * tokens)))
        tried = 0
        self.advance(0, total=len(pairs[:most]) * (self.config.num_hidden_layers + 1))
        for begin in range(0, len(pairs[:most]), AT_A_TIME):
            chunk = pairs[:most][begin : begin + AT_A_TIME]
            tried += len(chunk)
            left = self._not_excluded(chunk, beginning, key) if beginning else chunk
            near = alone.distances([pair.form for pair in left], key)
            explain = {one.faults for one in alone.explained(left, near, key)}
            if found := [pair for pair in left if pair.faults in explain]:
                on_all = passes.distances([pair.form for pair in found], key)
                if best := passes.explained(found, on_all, key):
                    return best, tried, len(pairs)
        return [], tried, len(pairs)

    def _beginning(self, alone: Passes, key: Key) -> Passes | None:
        """The shortest beginning of a prompt in which the engine is clearly not the reference."""
        for count in BEGINNINGS:
            engine = alone.engine.first(count) if key == LOGITS else None
            if engine is not None and 2 * count <= alone.engine.ids.numel():
                passes = Passes(self.config, self.weights, engine, self.advance)
                if engine.apart(key, passes.right[key]).most > CLEARLY * alone.allowed[key]:
                    return passes
        return None

    def _not_excluded(self, pairs: Sequence[Named], beginning: Passes, key: Key) -> Sequence[Named]:
        """Those that come nearer than the reference in the beginning, or look beyond it."""
        far = beginning.engine.apart(key, beginning.right[key]).rms
        near = beginning.distances([pair.form for pair in pairs], key)
        return [
            pair
            for pair, (apart, _) in zip(pairs, near, strict=True)
            if apart.rms < far / 2 or LOOK_AHEAD.intersection(pair.faults)
        ]

    def _together(self, one: Named, other: Named) -> Iterator[Named]:
        """The forms of both faults at once: those of the other that fit what the one has made."""
        (first,), (second,) = one.faults, other.faults
        if FAULTS[first].part == FAULTS[second].part:
            return
        for form in FAULTS[second].forms(one.form.config, self.tensor_names):
            if form.detail == other.form.detail:
                yield Named((first, second), one.form.and_then(form))

    def _rounded_like(self, passes: Passes, key: Key, apart: Apart) -> str | None:
        """The coarser dtype whose rounding would explain it, where there is one."""
        for dtype in (torch.float16, torch.bfloat16):
            if dtype.itemsize < self.engine.dtype.itemsize:
                engine = replace(self.engine, dtype=dtype)
                coarse = Passes(self.config, self.weights, engine, self.advance)
                if apart.most <= coarse.allowed[key]:
                    return str(dtype).removeprefix("torch.")
        return None

    def _hidden(self, allowed: float, effects: list[Apart]) -> list[Hidden]:
        """The faults that change nothing here, each with a length of prompt at which it does."""
        seen = {
            one.faults[0]
            for one, effect in zip(self.known, effects, strict=True)
            if effect.most > allowed
        }
        unseen = [one for one in self.known if one.faults[0] not in seen]
        if not unseen:
            return []
        shown = self._shown_by_longer(unseen)
        return [
            Hidden(name, shown.get(name)) for name in dict.fromkeys(o.faults[0] for o in unseen)
        ]

    def _shown_by_longer(self, unseen: list[Named]) -> dict[str, int]:
        """At how many positions, the tokens 0, 1, 2, …, each fault shows: seen to, where cheap."""
        config, here = self.config, self.engine.ids.shape[1]
        least = {one.faults[0]: FAULTS[one.faults[0]].positions(config) for one in unseen}
        longest = config.max_position_embeddings
        lengths = sorted({*least.values(), 64, 4 * here})
        shown: dict[str, int] = {}
        for length in lengths:
            left = [one for one in unseen if one.faults[0] not in shown]
            if not left or not here < length <= longest:
                continue
            if config.parameters * length * (len(left) + 2) > WORK / 10:
                shown |= {name: need for name, need in least.items() if need > here}
                break
            ids = torch.arange(length)[None] % config.vocab_size
            engine = EngineOutput.of_logits(ids, self.engine.dtype, config.vocab_size)
            passes = Passes(config, self.weights, engine, self.advance)
            for one, (_, effect) in zip(
                left, passes.distances([one.form for one in left], LOGITS), strict=True
            ):
                name = one.faults[0]
                if effect.most > passes.allowed[LOGITS] and length >= least[name]:
                    shown.setdefault(name, length)
        return shown


@contextmanager
def _threads(config: OlmoConfig) -> Iterator[None]:
    """One thread for a small model, whose many short operations several would only wait for."""
    before = torch.get_num_threads()
    if config.parameters < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _said(key: Key) -> str:
    layer, name = key
    return name if layer is None else f"{layer}.{name}"
