"""What a fault is: a small variation of the reference, and how a pass with it is run.

A fault changes the config, the weights or a step, and leaves everything else as it is. Some come in
several forms: another `rope_theta`, or another epsilon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from jaxtyping import Int
from torch import Tensor

from olmo_explain.by_hand import reference
from olmo_explain.by_hand.reference import Value
from olmo_explain.checkpoint import OlmoConfig

Steps = ModuleType
"""A copy of `by_hand.reference`, in which a fault may put other functions."""


class Form(NamedTuple):
    """One form of a fault. What is not given stays as it is.

    `change` puts other steps into a copy of the reference, `weight` gives another tensor for a
    name, of the mapping that it is handed. `detail`: which form it is, in a word or two.
    """

    config: OlmoConfig
    change: Callable[[Steps], None] | None = None
    weight: Callable[[Mapping[str, Tensor], str], Tensor] | None = None
    detail: str = ""

    def and_then(self, other: Form) -> Form:
        """This form, and then another that was made of its config."""

        def change(steps: Steps) -> None:
            for one in filter(None, (self.change, other.change)):
                one(steps)

        def weight(weights: Mapping[str, Tensor], name: str) -> Tensor:
            for one in filter(None, (self.weight, other.weight)):
                weights = _Other(weights, one)
            return weights[name]

        detail = ", ".join(filter(None, (self.detail, other.detail)))
        return Form(other.config, change, weight, detail)

    def steps(self) -> Steps:
        """The functions of the reference, this form's among them, calling each other."""
        if self.change is None:
            return reference
        steps = ModuleType(reference.__name__)
        vars(steps).update(vars(reference))
        for name, step in vars(reference).items():
            # A function looks the others up where it was made: these copies, in the copy.
            if isinstance(step, FunctionType) and step.__module__ == reference.__name__:
                copy = FunctionType(step.__code__, vars(steps), name, step.__defaults__)
                copy.__kwdefaults__ = step.__kwdefaults__
                setattr(steps, name, copy)
        self.change(steps)
        return steps

    def weights(self, given: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The weights as this form takes them."""
        return given if self.weight is None else _Other(given, self.weight)

    def walk(
        self,
        weights: Mapping[str, Tensor],
        ids: Int[Tensor, "batch pos"],
        attention_mask: Int[Tensor, "batch pos"] | None = None,
    ) -> Iterator[Value]:
        """As `by_hand.walk`: from token ids to logits, one value after the other, done wrongly."""
        return self.steps().walk(self.weights(weights), self.config, ids, attention_mask)


class _Other(Mapping[str, Tensor]):
    """Weights, each as `weight` gives it."""

    def __init__(self, given: Mapping[str, Tensor], weight: Callable):
        self._given, self._weight = given, weight

    def __getitem__(self, name: str) -> Tensor:
        return self._weight(self._given, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)


@dataclass(frozen=True)
class Fault:
    """A way to get it wrong.

    `says`: what is done, and what OLMo does. `look`: what to look at in an engine that does it.
    `source`: where it happened; None where it is only easily done. `part`: what it changes; no two
    faults of one part come together. `forms(config, names)`: those that change anything, of a
    checkpoint with tensors of these names; none where it has no such thing. `positions(config)`:
    the shortest prompt that can show it.
    """

    name: str
    part: str
    says: str
    look: str
    source: str | None
    forms: Callable[[OlmoConfig, frozenset[str]], list[Form]]
    positions: Callable[[OlmoConfig], int] = lambda config: 2


Forms = (
    Callable[[OlmoConfig], Iterable[Form]] | Callable[[OlmoConfig, frozenset[str]], Iterable[Form]]
)


def fault(
    name: str, part: str, says: str, look: str, source: str | None = None, **more: Any
) -> Callable[[Forms], Fault]:
    """Makes a fault of the function that gives its forms, from a config alone or with names."""

    def make(forms: Any) -> Fault:
        takes_names = forms.__code__.co_argcount == 2

        def all_forms(config: OlmoConfig, names: frozenset[str] = frozenset()) -> list[Form]:
            return list(forms(config, names) if takes_names else forms(config))

        return Fault(name, part, says, look, source, all_forms, **more)

    return make
