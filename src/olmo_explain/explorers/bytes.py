"""One number of a checkpoint: the file, the offset, the bytes, the bits, the value."""

from collections.abc import Sequence

import traitlets

from olmo_explain.checkpoint import Checkpoint, ModelLike, read_config, whole_number
from olmo_explain.errors import OutOfRange, UsageError
from olmo_explain.explorers.shared import Explorer, label, script, style
from olmo_explain.words import quoted

BYTES_PER_TENSOR = 2**15  # what of each tensor is saved into a page
LAYER_PARTS = (
    "self_attn.q_proj", "self_attn.o_proj", "self_attn.q_norm", "mlp.down_proj",
    "post_feedforward_layernorm",
)  # fmt: skip


class ByteExplorer(Explorer):
    """A place in a tensor, chosen by `tensor`, `row` and `column`, and what lies there."""

    _esm = script("controls", "answering", "following", "bytes")
    _css = style("tables", "sentence", "bytes")

    tensor = traitlets.Unicode().tag(sync=True)
    row = traitlets.Int(0).tag(sync=True)
    column = traitlets.Int(0).tag(sync=True)

    name = traitlets.Unicode().tag(sync=True)
    tensors = traitlets.List(traitlets.Dict(), help="where each lies, and where in `data`").tag(
        sync=True
    )
    data = traitlets.Bytes(help="the bytes as they stand in the file").tag(sync=True)

    def __init__(self, checkpoint: Checkpoint, tensors: Sequence[str], first_row: int = 0, **state):
        self._checkpoint = checkpoint
        held, data = [], bytearray()
        for name in tensors:
            about, part = _some_rows(checkpoint, name, first_row)
            held.append({**about, "at": len(data)})
            data += part
        super().__init__(
            tensor=tensors[0], row=held[0]["firstRow"], tensors=held, data=bytes(data), **state
        )

    @property
    def value(self) -> float:
        """The number that was chosen, read from the checkpoint."""
        place = slice(self.column, self.column + 1)
        if len(self._checkpoint.tensor(self.tensor).shape) == 1:
            return self._checkpoint.read(self.tensor, rows=place).item()
        row = slice(self.row, self.row + 1)
        return self._checkpoint.read(self.tensor, rows=row, cols=place).item()


def explore_bytes(
    model: ModelLike = "tiny",
    tensors: Sequence[str] | None = None,
    *,
    layer: int = 0,
    first_row: int = 0,
) -> ByteExplorer:
    """A widget from a number to its bits. In a published page it needs no kernel.

    `tensors`: a name or several; the embedding and one of each kind from `layer` when not given.
    Of each it reads and shows the rows from `first_row` on that fit into 32 KiB; from a URL or the
    hub it reads no more.

    >>> explore_bytes("tiny").value == Checkpoint("tiny").read("model.embed_tokens.weight")[0, 0]
    np.True_
    """
    checkpoint = Checkpoint(model)
    first_row = whole_number("first_row", first_row, least=0)
    if isinstance(tensors, str):
        tensors = [tensors]
    if not isinstance(tensors, Sequence | None):
        raise UsageError(f"tensors is {quoted(tensors)}", "Give a list of names")
    if not tensors:
        layer = read_config(checkpoint.source).check_layer(layer)
        in_layer = [f"model.layers.{layer}.{part}.weight" for part in LAYER_PARTS]
        tensors = ["model.embed_tokens.weight", *in_layer]
    name = checkpoint.source.name
    return ByteExplorer(checkpoint, tensors, first_row, name=label(name), in_page=name == "tiny")


def _some_rows(checkpoint: Checkpoint, name: str, first_row: int) -> tuple[dict, bytes]:
    tensor = checkpoint.tensor(name)
    about = {"name": name, "shard": tensor.shard, "dtype": tensor.dtype, "start": tensor.start}
    about["shape"] = list(tensor.shape)
    if len(tensor.shape) == 1:  # one row
        return about | {"firstRow": 0, "rows": 1}, checkpoint.read_bits(name).tobytes()
    if not 0 <= first_row < tensor.shape[0]:
        raise OutOfRange(f"{name} has no row {first_row}", f"It has {tensor.shape[0]} rows")
    row_bytes = (tensor.end - tensor.start) // tensor.shape[0]
    rows = min(max(BYTES_PER_TENSOR // row_bytes, 1), tensor.shape[0] - first_row)
    bits = checkpoint.read_bits(name, rows=slice(first_row, first_row + rows))
    return about | {"firstRow": first_row, "rows": rows}, bits.tobytes()
