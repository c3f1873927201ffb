"""Passes by hand with faults, on the ids of an engine, and how near each is to what that gave."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from olmo_explain.by_hand import Form, Value
from olmo_explain.checkpoint import Checkpoint, OlmoConfig
from olmo_explain.errors import UsageError
from olmo_explain.proof.engine_output import EngineOutput, Key
from olmo_explain.proof.explanation import Apart, Explanation
from olmo_explain.proof.side_by_side import nudged, run_side_by_side
from olmo_explain.waiting import Advance

TIMES = 4.0
"""How many times as far as rounding moved the reference an engine may be from it."""

AS_NEAR = 1.5  # of two explanations whose distances are within this factor neither is the better
CANDIDATES = 8  # of the faults, the nearest, that are looked at more closely


class Named(NamedTuple):
    """A form of a fault, or of two at once."""

    faults: tuple[str, ...]
    form: Form


class Passes:
    """Passes by hand on the ids of an engine, and how far their values are from what it gave.

    `right`: what the reference makes of every value that was given. `allowed` and `noise`: how far
    from it an engine may be, and how far rounding alone is on average.
    """

    def __init__(
        self,
        config: OlmoConfig,
        weights: Mapping[str, Tensor] | Checkpoint,
        engine: EngineOutput,
        advance: Advance,
    ):
        self.config, self.weights, self.engine, self.advance = config, weights, engine, advance
        self.right: dict[Key, Tensor] = {}
        moved: dict[Key, Tensor] = {}

        def keep(number: int, key: Key, ours: Tensor) -> None:
            (self.right, moved)[number][key] = ours

        self._run([Form(config), nudged(config)], engine.keys, keep)
        if engine.dtype.itemsize < 4:
            self._run([Form(config)], engine.keys, lambda _, *one: keep(1, *one), engine.dtype)
        self.order = list(self.right)
        if any(not ours.isfinite().all() for ours in self.right.values()):
            raise UsageError(
                "The pass by hand of this model holds infinite numbers or NaN, as its weights do",
                "Choose another checkpoint",
            )
        self.allowed, self.noise = {}, {}
        for key, ours in self.right.items():
            rounding = engine.apart(key, ours, moved[key])
            if not math.isfinite(rounding.most):  # float16 overflows where the others do not
                rounding = Apart(0.0, 0.0)
            coarse = torch.finfo(engine.dtype).eps * ours.abs().max().item()
            self.allowed[key] = max(TIMES * rounding.most, coarse)
            self.noise[key] = max(rounding.rms, coarse / 8)

    def distances(self, forms: Sequence[Form], key: Key) -> list[tuple[Apart, Apart]]:
        """How far each form's value is from what the engine gave, and from the reference's."""
        found: list[tuple[Apart, Apart]] = [None] * len(forms)  # type: ignore[list-item]

        def measure(number: int, _: Key, ours: Tensor) -> None:
            apart = self.engine.apart
            found[number] = apart(key, ours), apart(key, ours, self.right[key])

        if forms:
            self._run(forms, [key], measure)
        return found

    def explained(
        self, some: Sequence[Named], measured: Sequence[tuple[Apart, Apart]], key: Key
    ) -> list[Explanation]:
        """What explains the engine's value: the nearest, and what is as near, each fault once.

        It has to be as near as rounding leaves it, and nearer than the reference is by half.
        """
        far = self.engine.apart(key, self.right[key]).rms
        nearest = sorted(zip(some, measured, strict=True), key=lambda one: one[1][0].rms)
        found: dict[tuple[str, ...], Explanation] = {}
        as_near = far / 2
        for one, (apart, _) in nearest[:CANDIDATES]:
            if apart.rms >= as_near:
                break
            if apart.most <= self.allowed[key] or apart.most <= self._allowed_of(one.form, key):
                found.setdefault(one.faults, explanation(one, (apart, apart)))
                as_near = min(as_near, AS_NEAR * max(apart.rms, self.noise[key]))
        return list(found.values())

    def _allowed_of(self, form: Form, key: Key) -> float:
        """How far rounding may take an engine from the reference with this fault.

        A fault may make of rounding more than the right way does, or less.
        """
        kept: list[Tensor] = []

        def keep(number: int, _: Key, ours: Tensor) -> None:
            kept.append(ours)

        if self.engine.dtype.itemsize < 4:
            self._run([form], [key], keep)
            self._run([form], [key], keep, self.engine.dtype)
        else:
            self._run([form, form.and_then(nudged(form.config))], [key], keep)
        return TIMES * self.engine.apart(key, *kept).most

    def _run(
        self, forms: Sequence[Form], keys: Sequence[Key], receive: Any, dtype: Any = torch.float32
    ) -> None:
        wanted = set(keys)

        def look(number: int, value: Value) -> None:
            if (key := (value.layer, value.name)) in wanted:
                receive(number, key, self.engine.like_given(key, value.tensor))

        engine = self.engine
        run_side_by_side(
            forms, self.weights, engine.ids, engine.attention_mask, look, self.advance, dtype
        )


def explanation(one: Named, measured: tuple[Apart, Apart]) -> Explanation:
    near, _ = measured
    return Explanation(one.faults, one.form.detail, near)
