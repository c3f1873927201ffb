"""Norms of numbers of any size, from the least subnormal to the greatest, against whole numbers."""

import math
import tracemalloc
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.checkpoints import write_random

from olmo_explain.checkpoint import Checkpoint, frobenius, head_norms, widen
from olmo_explain.checkpoint.norms import norms_of_columns, norms_of_rows

FIELDS = {"BF16": ("<u2", 7), "F16": ("<u2", 10), "F32": ("<u4", 23), "F64": ("<u8", 52)}
"""The integers that hold a dtype's bits, and how many of them are the mantissa's."""


def exact(numbers: Iterable[float]) -> float:
    """The root of the sum of the squares, as a fraction until its end."""
    squares = sum(Fraction(float(number)) ** 2 for number in numbers)
    root = Fraction(math.isqrt(int(squares * 2**4400)), 2**2200)
    return float(root) if root < Fraction(2) ** 1024 else math.inf


def about(expected: object) -> object:
    """Within float32's rounding; nothing else is as near to what is small."""
    return pytest.approx(expected, rel=2e-6, abs=0, nan_ok=True)


def drawn(dtype: str, seed: int) -> np.ndarray:
    """Bits of numbers whose exponents lie in some part of the range: a narrow one, a wide one."""
    kind, mantissa = FIELDS[dtype]
    shape, sign = (4, 24), np.uint64(8 * np.dtype(kind).itemsize - 1)
    rng = np.random.default_rng(seed)
    most = (1 << int(sign) - mantissa) - 2  # beyond it are infinity and NaN
    low, high = sorted(rng.integers(0, most + 1, 2))
    exponents = rng.integers(low, min(low + 3, most) if seed % 2 else high, shape, "<u8", True)
    mantissas = rng.integers(0, 1 << mantissa, shape, "<u8")
    signs = rng.integers(0, 2, shape, "<u8") << sign
    return (signs | exponents << np.uint64(mantissa) | mantissas).astype(kind)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("dtype", FIELDS)
def test_of_any_size(dtype, seed):
    bits = drawn(dtype, seed)
    numbers = widen(bits, dtype)
    assert frobenius(bits, dtype) == about(exact(numbers.flat))
    heads = [exact(part.flat) for part in np.split(numbers, 2)]
    assert norms_of_rows(bits, dtype, 2) == about(heads)
    heads = [exact(part.flat) for part in np.split(numbers, 3, axis=1)]
    assert norms_of_columns(bits, dtype, 8) == about(heads)


@pytest.mark.parametrize("dtype", FIELDS)
@pytest.mark.parametrize("bits", [0, 1, "negative zero"])
def test_of_the_least(dtype, bits):
    kind, _ = FIELDS[dtype]
    sign = 1 << 8 * np.dtype(kind).itemsize - 1
    stored = np.full((128, 2), sign if bits == "negative zero" else bits, kind)
    assert frobenius(stored, dtype) == exact(widen(stored, dtype).flat) >= 0


def test_small_beside_large():
    """Each head by its own size, and what is lost of a whole is less than its rounding."""
    small = np.array([[1e-30] * 8 + [1.0] * 8] * 4, np.float32).view("<u4")
    assert norms_of_columns(small, "F32", 8) == about([1e-30 * 32**0.5, 32**0.5])
    assert frobenius(small, "F32") == about(32**0.5)


@pytest.mark.parametrize("odd", [math.inf, -math.inf, math.nan])
def test_of_what_is_no_number(odd):
    numbers = np.array([[1.0, odd], [1e-30, 1e-30]], np.float32).view("<u4")
    norms = norms_of_rows(numbers, "F32", 1)
    assert norms[0] == about(abs(odd))
    assert norms[1] == about(2**0.5 * 1e-30)


@pytest.mark.parametrize("shape", [(2**21,), (2**19, 4), (699_051, 3), (1, 2**21), (2, 2**20 + 1)])
@pytest.mark.parametrize(("number", "most"), [(0x3F80, 4), (1, 10)], ids=["1", "least"])
def test_of_any_shape_with_little_memory(shape, number, most):
    """Rows of a few numbers and of millions are taken in pieces; MiB at `most`."""
    bits = np.full(shape, number, "<u2")
    expected = math.sqrt(bits.size) * float(widen(bits.reshape(-1)[:1], "BF16")[0])
    tracemalloc.start()
    assert frobenius(bits, "BF16") == about(expected)
    assert tracemalloc.get_traced_memory()[1] < most * 2**20
    tracemalloc.stop()


def test_of_a_checkpoint_with_small_weights(tmp_path):
    weights = write_random(tmp_path)
    name = "model.layers.1.self_attn.q_proj.weight"
    weights[name] = torch.full_like(weights[name], 1e-30)
    save_file(weights, tmp_path / "model.safetensors")
    expected = exact(Checkpoint(tmp_path).read(name, rows=slice(0, 8)).flat)
    assert expected > 0
    assert head_norms(tmp_path)["q_proj"][1] == about([expected] * 4)
