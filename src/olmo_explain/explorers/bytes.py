"""One number of a checkpoint: the file, the tensor, the row, the bytes, the bits, the value."""

from collections.abc import Sequence

import anywidget
import numpy as np
import traitlets

from olmo_explain.checkpoint import Checkpoint, ModelLike, read_config, whole_number, widen
from olmo_explain.errors import ExplainError, OutOfRange, UsageError
from olmo_explain.explorers.seven import OffersSeven, script_with_reader
from olmo_explain.explorers.shared import Explorer, label, style
from olmo_explain.words import quoted

BYTES_PER_TENSOR = 2**15  # what of each tensor is saved into a page
LAYER_PARTS = (
    "self_attn.q_proj", "self_attn.o_proj", "self_attn.q_norm", "mlp.down_proj",
    "post_feedforward_layernorm",
)  # fmt: skip
PLACE = ("tensor", "row", "column")


class ByteExplorer(Explorer, OffersSeven):
    """A place in a tensor, chosen by `tensor`, `row` and `column`, and what lies there.

    `flipped`: the bits that the reader turned over, counted from 0 at the right, of this one number
    and on the screen alone: `value` stays what the file holds, `flipped_value` is what it would be.
    """

    _esm = script_with_reader("controls", "answering", "following", "bits", "rows", "zoom", "bytes")
    _css = style("slices", "bytes")

    tensor = traitlets.Unicode().tag(sync=True)
    row = traitlets.Int(0).tag(sync=True)
    column = traitlets.Int(0).tag(sync=True)
    flipped = traitlets.List(traitlets.Int(min=0)).tag(sync=True)

    name = traitlets.Unicode().tag(sync=True)
    tensors = traitlets.List(traitlets.Dict(), help="where each lies, and where in `data`").tag(
        sync=True
    )
    data = traitlets.Bytes(help="the bytes as they stand in the file").tag(sync=True)
    files = traitlets.Dict(help="of each file everything in it: name, dtype, shape, start, end")
    files.tag(sync=True)

    def __init__(self, checkpoint: Checkpoint, tensors: Sequence[str], first_row: int = 0, **state):
        self._checkpoint = checkpoint
        held, data = [], bytearray()
        for name in tensors:
            about, part = _some_rows(checkpoint, name, first_row)
            held.append({**about, "at": len(data)})
            data += part
        super().__init__(
            tensor=tensors[0],
            row=held[0]["firstRow"],
            tensors=held,
            data=bytes(data),
            files={shard: self._within(shard) for shard in {about["shard"] for about in held}},
            **state,
        )

    @property
    def value(self) -> float:
        """The number that was chosen, read from the checkpoint."""
        return self._number(())

    @property
    def flipped_value(self) -> float:
        """What it would be with the bits in `flipped` turned over."""
        return self._number(self.flipped)

    def _number(self, flipped: Sequence[int]) -> float:
        place = slice(self.column, self.column + 1)
        tensor = self._checkpoint.tensor(self.tensor)
        row = slice(self.row, self.row + 1)
        slices = {0: {}, 1: {"rows": place}}.get(len(tensor.shape), {"rows": row, "cols": place})
        bits = self._checkpoint.read_bits(self.tensor, **slices)
        mask = np.array(sum(1 << bit for bit in set(flipped)), dtype=bits.dtype)
        return widen(bits ^ mask, tensor.dtype).item()

    @traitlets.validate("tensor")
    def _in_the_checkpoint(self, proposal: dict) -> str:
        """A tensor of another file than those so far brings its file along."""
        try:
            shard = self._checkpoint.tensor(proposal["value"]).shard
        except ExplainError as error:
            raise traitlets.TraitError(str(error)) from None
        if self.files and shard not in self.files:
            self.files = self.files | {shard: self._within(shard)}
        return proposal["value"]

    @traitlets.observe(*PLACE)
    def _as_in_the_file(self, change: dict) -> None:
        """Another number has its own bits."""
        self.flipped = []

    def _within(self, shard: str) -> list[list]:
        names = (name for name, where in self._checkpoint.weight_map.items() if where == shard)
        tensors = sorted(map(self._checkpoint.tensor, names), key=lambda tensor: tensor.start)
        return [[t.name, t.dtype, list(t.shape), t.start, t.end] for t in tensors]

    def _answer(self, widget: anywidget.AnyWidget, message: dict, buffers: list) -> None:
        """The rows that a reader asks for and that were not sent with the widget."""
        match message:
            case {"ask": "rows", "tensor": str(name), "first": int(first)}:
                try:
                    about, part = _some_rows(self._checkpoint, name, first)
                except ExplainError as error:
                    self.send({"answer": "no rows", "tensor": name, "why": str(error)})
                else:
                    self.send({"answer": "rows", "tensor": name, "about": about}, [part])
            case _:
                super()._answer(widget, message, buffers)


def explore_bytes(
    model: ModelLike = "tiny",
    tensors: Sequence[str] | None = None,
    *,
    layer: int = 0,
    first_row: int = 0,
) -> ByteExplorer:
    """A widget from a file to one number's bits. In a published page it needs no kernel.

    `tensors`: a name or several, saved into a page; the embedding and one of each kind from `layer`
    when not given. Of each it reads the rows from `first_row` on that fit into 32 KiB; from a URL
    or the hub it reads no more, until a reader asks for other rows.

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
    if len(tensor.shape) <= 1:  # one row
        return about | {"firstRow": 0, "rows": 1}, checkpoint.read_bits(name).tobytes()
    if not 0 <= first_row < tensor.shape[0]:
        raise OutOfRange(f"{name} has no row {first_row}", f"It has {tensor.shape[0]} rows")
    row_bytes = (tensor.end - tensor.start) // tensor.shape[0]
    rows = min(max(BYTES_PER_TENSOR // row_bytes, 1), tensor.shape[0] - first_row)
    bits = checkpoint.read_bits(name, rows=slice(first_row, first_row + rows))
    return about | {"firstRow": first_row, "rows": rows}, bits.tobytes()
