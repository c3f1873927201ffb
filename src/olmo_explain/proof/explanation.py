"""What was found about an engine: equal, a fault by its name, or unknown."""

import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

from olmo_explain.by_hand import FAULTS


@dataclass(frozen=True)
class Apart:
    """How far two values are from each other: the largest distance, and their root mean square."""

    most: float
    rms: float


@dataclass(frozen=True)
class Difference:
    """A value that is not the reference's. `layer` and `step` are None outside the layers."""

    layer: int | None
    step: int | None
    name: str
    max_abs_diff: float
    tolerance: float


@dataclass(frozen=True)
class Explanation:
    """A fault, or two at once, with which the reference gives what the engine gave."""

    faults: tuple[str, ...]
    detail: str
    apart: Apart

    @property
    def name(self) -> str:
        return " + ".join(self.faults)


@dataclass(frozen=True)
class Hidden:
    """A fault that this prompt cannot show; `positions`: a length of prompt that can, or None."""

    name: str
    positions: int | None


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What was found. `explanations` holds more than one where the prompt cannot tell them apart.

    `compared`: the value by which faults were judged. `tried`: how many of the `pairs` of faults.
    """

    model: str
    shape_of_ids: tuple[int, ...]
    dtype: str
    form: str
    compared: str
    tolerance: float
    apart: Apart
    first_difference: Difference | None
    explanations: list[Explanation]
    singles: list[Explanation]
    hidden: list[Hidden]
    same_token: tuple[int, int] | None
    rounded_like: str | None
    tried: int
    pairs: int
    versions: dict[str, str] = field(
        default_factory=lambda: {
            "olmo-explain": version("olmo-explain"),
            "torch": version("torch"),
            "python": platform.python_version(),
        }
    )

    @property
    def ok(self) -> bool:
        """Everything that was given is the reference's, within the tolerance."""
        return self.first_difference is None and not self.explanations

    @property
    def diagnosis(self) -> str | None:
        """The fault's name, two joined by +, several that look the same here by `or`; `unknown`."""
        if self.ok:
            return None
        return " or ".join(one.name for one in self.explanations) or "unknown"

    @property
    def explained_to(self) -> float | None:
        """The share of the distance (root mean square) that the diagnosis explains, 0 to 1."""
        if not self.explanations:
            return None
        return 1 - self.explanations[0].apart.rms / self.apart.rms

    @property
    def known(self) -> list[str]:
        """The faults that the diagnosis names, each once."""
        return list(dict.fromkeys(name for one in self.explanations for name in one.faults))

    def to_dict(self) -> dict[str, Any]:
        """As `olmo-explain diagnose --json` prints it."""
        return {
            "ok": self.ok,
            "model": self.model,
            "ids_shape": self.shape_of_ids,
            "form": self.form,
            "dtype": self.dtype,
            "compared": self.compared,
            "tolerance": self.tolerance,
            "max_abs_diff": self.apart.most,
            "rms_diff": self.apart.rms,
            "same_token": self.same_token
            and dict(zip(("same", "of"), self.same_token, strict=True)),
            "first_difference": self.first_difference and asdict(self.first_difference),
            "diagnosis": self.diagnosis,
            "detail": "; ".join(filter(None, (one.detail for one in self.explanations))) or None,
            "explained_to": self.explained_to,
            "says": {name: FAULTS[name].says for name in self.known},
            "look": {name: FAULTS[name].look for name in self.known},
            "sources": {name: FAULTS[name].source for name in self.known},
            "rounded_like": self.rounded_like,
            "faults": [
                {"name": one.name, "detail": one.detail, "max_abs_diff": one.apart.most}
                for one in self.singles
            ],
            "hidden": [asdict(one) for one in self.hidden],
            "pairs_tried": self.tried,
            "pairs": self.pairs,
            "versions": self.versions,
        }

    def __repr__(self) -> str:
        far = f"max |Δ| {self.apart.most:.3g}, {self.tolerance:.2g} allowed in {self.dtype}"
        if self.ok:
            return f"equal within tolerance: {far}"
        if self.explained_to is None:
            return f"unknown: no known fault, nor two at once, explains it; {far}"
        says = "; ".join(FAULTS[name].says for name in self.known)
        return (
            f"{self.diagnosis}: {says}; it explains {100 * self.explained_to:.2f} % of a distance "
            f"of {self.apart.most:.3g}"
        )
