"""Random safetensors files, written by the official library and damaged; read beside it."""

import json
import random
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file
from support.checkpoints import framed, write_shards

from olmo_explain.checkpoint import Checkpoint, LocalSource
from olmo_explain.errors import CheckpointError

FILES = 20  # a case of `make fuzz`


def case(chance: random.Random) -> str:
    """Twenty damaged files and five whole ones: both readers open the same, and read the same."""

    @seed(chance.getrandbits(64))
    @settings(max_examples=FILES, deadline=None, database=None, phases=[Phase.generate])
    @given(damaged())
    def look_at_damaged(data: bytes) -> None:
        compare(data)

    @seed(chance.getrandbits(64))
    @settings(max_examples=FILES // 4, deadline=None, database=None, phases=[Phase.generate])
    @given(st.data(), tensors(), st.integers(1, 3))
    def look_at_written(data: st.DataObject, stored: dict, shards: int) -> None:
        compare_written(data.draw, stored, shards)

    look_at_damaged()
    look_at_written()
    return "files compared"


BITS = {
    "BF16": (torch.bfloat16, torch.int16),
    "F16": (torch.float16, torch.int16),
    "F32": (torch.float32, torch.int32),
    "F64": (torch.float64, torch.int64),
}


def ours(directory: Path) -> Checkpoint:
    return Checkpoint(LocalSource(directory, "model"))


@contextmanager
def a_file(data: bytes):
    with tempfile.TemporaryDirectory() as directory:
        (path := Path(directory) / "model.safetensors").write_bytes(data)
        yield path


def bits_of(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


# -- files that the library writes ----------------------------------------------------------------


@st.composite
def tensors(draw) -> dict[str, torch.Tensor]:
    """A few tensors of random dtypes and shapes whose bits are random too: NaNs, infinities."""
    names = draw(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=5, unique=True))
    found = {}
    for name in names:
        dtype, bits = BITS[draw(st.sampled_from(sorted(BITS)))]
        shape = draw(st.lists(st.sampled_from([0, 1, 2, 3, 5, 8, 13]), max_size=3))
        generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
        limits = torch.iinfo(bits)
        values = torch.randint(limits.min, limits.max, shape, dtype=bits, generator=generator)
        found[name] = values.view(dtype)
    return found


def with_header_in(order: list[str], path: Path) -> None:
    """Writes the names of a header in another order; the numbers stay where they are."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    names = [name for name in ("__metadata__", *order) if name in header]
    path.write_bytes(framed(json.dumps({n: header[n] for n in names}).encode()) + data[start:])


def some_of(draw, count: int) -> slice | None:
    if count == 0 or draw(st.booleans()):
        return None
    start = draw(st.integers(0, count - 1))
    return slice(start, draw(st.integers(start + 1, count)))


def compare_written(draw: st.DrawFn, stored: dict[str, torch.Tensor], shards: int) -> None:
    """Whether we read what the library writes as the library reads it."""
    about = draw(st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2) | st.none())
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if shards == 1:
            save_file(stored, directory / "model.safetensors", metadata=about)
        else:
            write_shards(directory, stored, shards)
        for path in directory.glob("*.safetensors"):
            with_header_in(draw(st.permutations(sorted(stored))), path)
        checkpoint = ours(directory)
        assert sorted(checkpoint.names) == sorted(stored)
        for name in checkpoint.names:
            tensor = checkpoint.tensor(name)
            with safe_open(directory / tensor.shard, "pt") as file:
                whole, part = file.get_tensor(name), file.get_slice(name)
                assert list(tensor.shape) == part.get_shape() == list(stored[name].shape)
                assert tensor.dtype == part.get_dtype()
                assert checkpoint.read_bits(name).tobytes() == bits_of(whole)
                rows, cols = (
                    some_of(draw, count) if axis < whole.ndim else None
                    for axis, count in enumerate((*whole.shape, 1, 1)[:2])
                )
                axes = tuple(axis or slice(None) for axis in (rows, cols)[: whole.ndim])
                chosen = part[axes] if axes else whole
            read = checkpoint.read_bits(name, rows, cols)
            assert read.shape == tuple(chosen.shape) and read.tobytes() == bits_of(chosen)
            assert checkpoint.locate(name, rows, cols).bytes_needed == read.nbytes

            wide = torch.float64 if tensor.dtype == "F64" else torch.float32
            values = checkpoint.read(name, rows, cols)
            assert values.dtype == (np.float64 if tensor.dtype == "F64" else np.float32)
            np.testing.assert_array_equal(values, chosen.to(wide).numpy())


# -- files that somebody damaged ------------------------------------------------------------------

WHOLE = save(
    {
        "x": torch.arange(12, dtype=torch.float32).reshape(3, 4),
        "y": torch.arange(5, dtype=torch.bfloat16),
        "ids": torch.arange(3),
    },
    metadata={"format": "pt"},
)
DATA_START = 8 + int.from_bytes(WHOLE[:8], "little")
HEADER = json.loads(WHOLE[8:DATA_START])
STRICTER = "twice", "an impossible shape"
"""What we refuse in a file that the library opens."""


def compare(data: bytes) -> str:
    """Whether both open a file, and read the same; returns what is said of it, or nothing."""
    with a_file(data) as path:
        try:
            file = safe_open(path, "pt")
        except SafetensorError:
            file = None
        try:
            checkpoint = ours(path.parent)
        except CheckpointError as error:
            said = str(error)
            assert said.startswith("model/model.safetensors ") and "\n" not in said
            assert file is None or any(reason in said for reason in STRICTER), said
            return said
        assert file is not None, "opened, though the library refuses it"
        with file:
            assert sorted(checkpoint.names) == sorted(file.keys())
            for name in checkpoint.names:
                tensor, part = checkpoint.tensor(name), file.get_slice(name)
                assert (tensor.dtype, list(tensor.shape)) == (part.get_dtype(), part.get_shape())
                if tensor.dtype in BITS:
                    assert checkpoint.read_bits(name).tobytes() == bits_of(file.get_tensor(name))
    return ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 2**65) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
DTYPES = st.sampled_from(
    ["BOOL", "F4", "F6_E2M3", "F8_E8M0", "U8", "I16", "BF16", "F16", "F32", "I32", "I64", "F5"]
)


@st.composite
def cut(draw) -> bytes:
    """The file with bytes changed, cut out, put in or cut off."""
    data = bytearray(WHOLE)
    for _ in range(draw(st.integers(1, 3))):
        # Mostly in the header, where it matters.
        place = draw(st.integers(0, len(data)) | st.integers(8, DATA_START))
        length = draw(st.integers(0, 9))
        text = st.text('0123456789-+.eE,:[]{}"\\ nullBF', max_size=9).map(str.encode)
        data[place : place + length] = draw(text | st.binary(max_size=9))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@st.composite
def bent(draw) -> bytes:
    """The file with one field of its header changed, or put in."""
    header = json.loads(json.dumps(HEADER))
    name = draw(st.sampled_from(["x", "y", "ids", "__metadata__"]))
    field = draw(st.sampled_from(["dtype", "shape", "data_offsets", "else"]))
    near = st.lists(st.integers(0, 5), max_size=3) | st.tuples(*[st.integers(0, 96)] * 2) | DTYPES
    header[name][field] = draw(near | JSON)
    return framed(json.dumps(header).encode()) + WHOLE[DATA_START:]


@st.composite
def invented(draw) -> bytes:
    """A file whose header is JSON, and says anything."""
    entries = st.fixed_dictionaries(
        {"dtype": DTYPES, "shape": st.lists(st.integers(0, 4), max_size=3)},
        optional={"data_offsets": st.lists(st.integers(0, 64), max_size=3), "else": JSON},
    )
    header = draw(st.dictionaries(st.text(max_size=4), entries | JSON, max_size=4) | JSON)
    return framed(json.dumps(header).encode()) + draw(st.binary(max_size=64))


def damaged() -> st.SearchStrategy[bytes]:
    """Files that are cut, bent or invented."""
    return cut() | bent() | invented()
