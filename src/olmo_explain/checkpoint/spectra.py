"""How a head's weights stretch what they multiply: singular values, by its thin factors. No torch.

A slice is head_dim × hidden_size, so nothing here is as large as hidden_size × hidden_size, not
even for OV and QK, which are maps of the residual stream to itself. For thin A = Q_A·R_A and
B = Q_B·R_B, the singular values of A·Bᵀ are those of R_A·R_Bᵀ, a matrix of head_dim × head_dim.

>>> found = head_spectra("tiny", layer=5, head=1)
>>> found.spectra["ov"].shape, round(found.effective_rank["ov"], 1)
((32,), 18.7)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from olmo_explain.checkpoint.config import OlmoConfig, read_config
from olmo_explain.checkpoint.heads import Head, read_slices
from olmo_explain.checkpoint.safetensors import Checkpoint, widen
from olmo_explain.checkpoint.source import ModelLike
from olmo_explain.errors import CheckpointError

if TYPE_CHECKING:  # only annotations need it, and it would double the time to import this
    from jaxtyping import Float64

    Spectrum = Float64[np.ndarray, " rank"]


@dataclass(frozen=True)
class HeadSpectra:
    """One head, with the singular values of its matrices, the largest first, and how many count.

    `spectra`: of `q_proj`, `k_proj`, `v_proj` and `o_proj`, the head's four slices, and of two
    products of hidden_size × hidden_size.

    `ov` is W_O·W_V: what the head writes of what it reads, for a pattern of 1. The RMSNorm after
    attention then scales it, by a number of each position and a gain of each dimension.

    `qk` is W_Qᵀ·diag(g_Q ∘ g_K)·W_K, with the gains of q_norm and k_norm: what the head compares in
    two tokens at one position. It is exact there, but for positive factors: each token's own
    1/RMS, which q_norm and k_norm take over all heads and so no head's weights hold, 1/√head_dim,
    and YaRN's attention factor. At a distance RoPE turns each pair of dimensions between the gains,
    each by its own angle, so no one matrix says what is compared there.

    `effective_rank`: of each of them e to the entropy of its singular values, as shares of their
    sum (Roy and Vetterli, "The effective rank", EUSIPCO 2007): n of n equal ones, 1 where one of
    them is all, 0 of zeros.
    """

    head: Head
    spectra: dict[str, Spectrum]

    @property
    def effective_rank(self) -> dict[str, float]:
        return {name: effective_rank(values) for name, values in self.spectra.items()}

    def to_dict(self) -> dict[str, Any]:
        """As `olmo-explain head --svd --json` prints it."""
        return {
            **self.head.to_dict(),
            "spectra": {name: values.tolist() for name, values in self.spectra.items()},
            "effective_rank": self.effective_rank,
        }


def head_spectra(model: ModelLike | Checkpoint, layer: int, head: int) -> HeadSpectra:
    """The singular values of a head's four slices, of OV and of QK. Reads those slices alone.

    Computed in float64. Where several heads share a key-value head, k_proj and v_proj are its.
    OutOfRange when the model does not have the head; CheckpointError where a weight is infinite or
    no number.

    >>> found = head_spectra("tiny", layer=5, head=1)
    >>> round(float(np.linalg.norm(found.spectra["q_proj"])), 4)  # the norm, by another way
    4.9213
    >>> round(found.head.norms["q_proj"], 4)
    4.9213
    """
    checkpoint = model if isinstance(model, Checkpoint) else Checkpoint(model)
    config = read_config(checkpoint.source)
    read, stored = read_slices(checkpoint, layer, head)
    gains = _gains(checkpoint, config, read)
    # Each as hidden_size × head_dim, as o_proj is stored.
    numbers = {name: widen(*it).astype(np.float64) for name, it in stored.items()}
    checkpoint.check_unchanged()
    thin = {name: it if name == "o_proj" else it.T for name, it in numbers.items()}
    with np.errstate(all="ignore"):
        matrices: dict[str, Any] = {name: np.linalg.qr(it, mode="r") for name, it in thin.items()}
        matrices["ov"] = matrices["o_proj"] @ matrices["v_proj"].T
        matrices["qk"] = matrices["q_proj"] * gains @ matrices["k_proj"].T
    spectra = {}
    for name, matrix in matrices.items():
        if not np.isfinite(matrix).all():
            raise CheckpointError(
                f"{checkpoint.source.name}: {name} of head {head} in layer {layer} has no singular "
                "values, as not all of its numbers are finite",
                "Choose another head, or another revision",
            )
        spectra[name] = np.linalg.svd(matrix, compute_uv=False)
    return HeadSpectra(read, spectra)


def _gains(
    checkpoint: Checkpoint, config: OlmoConfig, head: Head
) -> Float64[np.ndarray, " head_dim"]:
    """What q_norm and k_norm multiply this head's q and k by, both together."""
    gains = np.ones(config.head_dim)
    for projection, norm in (("q_proj", "q_norm"), ("k_proj", "k_norm")):
        part = head.slices[projection]
        (tensor,) = checkpoint.check_shapes(config, [part.tensor.replace(projection, norm)])
        gains *= checkpoint.read(tensor.name, **part.chosen())
    return gains


def effective_rank(values: Spectrum) -> float:
    """How many singular values count: e to the entropy of their shares.

    >>> round(effective_rank(np.array([2.0, 2.0, 0.0])), 3)
    2.0
    """
    shares = values[values > 0] / (values.sum() or 1)
    return float(np.exp(-(shares * np.log(shares)).sum())) if shares.size else 0.0
