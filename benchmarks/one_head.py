"""One head of a checkpoint of the 7B's size: what is read, and how long it takes, by four ways.

The files are in the page cache after the first round, which does not count: what is compared is
the work, not the disk. Without a real checkpoint the file is made of holes, which no disk holds:
reading them costs what reading the page cache costs.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors import safe_open

from benchmarks.frame import Plan, Row, Subject, python, take_turns, tell
from olmo_explain.checkpoint import Checkpoint, head_slices, read_config, read_head

TITLE = "One head of a checkpoint of the 7B's size"


def measure(plan: Plan) -> Subject:
    subject = Subject("head", TITLE)
    with checkpoint(plan) as (directory, name):
        subject.rows.extend(from_disk(directory, name, plan))
        subject.rows.extend(whole_command(directory, name, plan))
        if shutil.which("nginx"):
            subject.rows.extend(over_http(directory, name, plan))
        else:
            subject.skipped.append("over HTTP: needs nginx")
    return subject


@contextmanager
def checkpoint(plan: Plan) -> Iterator[tuple[Path, str]]:
    """The one that was given, or one of holes; and what to call it."""
    if plan.seven_b:
        random = "written_by" in _metadata(plan.seven_b)
        yield plan.seven_b, "7B, random weights" if random else "the checkpoint that was given"
        return
    from support.checkpoints import write_sparse_7b

    with TemporaryDirectory() as temporary:
        if plan.quick:
            few = {"vocab_size": 512, "eos_token_id": None, "pad_token_id": None}
            yield write_sparse_7b(Path(temporary), 1, **few), "1 layer of the 7B, of holes"
        else:
            yield write_sparse_7b(Path(temporary)), "7B of holes"


def _metadata(directory: Path) -> dict[str, str]:
    """What its first shard says of itself: `random_checkpoint` signs what it writes."""
    with safe_open(min(directory.glob("*.safetensors")), "numpy") as file:
        return file.metadata() or {}


def which(directory: Path) -> tuple[int, int]:
    config = read_config(str(directory))
    return min(17, config.num_hidden_layers - 1), 27


def from_disk(directory: Path, name: str, plan: Plan) -> Iterator[Row]:
    layer, head = which(directory)
    config = read_config(str(directory))
    slices = head_slices(config, layer, head)
    found = Checkpoint(str(directory))
    files = {part.tensor: directory / found.tensor(part.tensor).shard for part in slices.values()}

    def with_safetensors() -> None:
        for part in slices.values():
            with safe_open(files[part.tensor], framework="pt") as file:
                rows, cols = part.index
                file.get_slice(part.tensor)[rows, cols].float().norm().item()

    def with_from_pretrained() -> None:
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()

        model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16)
        for part in slices.values():
            model.get_parameter(part.tensor)[part.index].float().norm().item()

    tell("head: from disk")
    times = take_turns(
        {
            "head": lambda: read_head(str(directory), layer, head),
            "safetensors, safe_open and get_slice": with_safetensors,
            "from_pretrained, then a slice": with_from_pretrained,
        },
        plan,
    )
    yield from times.rows(name)
    needed = Checkpoint(str(directory))
    read_head(needed, layer, head)
    read = needed.bytes_fetched + needed.header_bytes
    base = "bytes that head reads"
    yield Row(base, name, read, "bytes", note="headers included")
    yield Row(
        "bytes that from_pretrained reads", name, config.bytes, "bytes", config.bytes / read, base
    )


def whole_command(directory: Path, name: str, plan: Plan) -> list[Row]:
    """The whole process, start and imports included."""
    layer, head = map(str, which(directory))
    words = ["head", str(directory), "--layer", layer, "--head", head, "--json"]
    tell("head: the whole command")
    ways = {
        'python -c "import torch"': python("-c", "import torch"),
        "olmo-explain head": python("-m", "olmo_explain", *words),
    }
    return take_turns(ways, plan).rows(name, "s")


def over_http(directory: Path, name: str, plan: Plan) -> Iterator[Row]:
    """From an nginx on this machine. The other way there is: to fetch the whole file."""
    import requests
    from support.servers import nginx

    layer, head = which(directory)
    shard = Checkpoint(str(directory)).tensor(f"model.layers.{layer}.self_attn.q_proj.weight").shard
    tell("head: over HTTP")
    with TemporaryDirectory() as run, nginx(directory, Path(run)) as server:

        def fetch_shard() -> None:
            with requests.get(f"{server.url}/{shard}", stream=True, timeout=600) as answer:
                for _ in answer.iter_content(2**20):
                    pass

        ways = {
            "head, over HTTP": lambda: read_head(server.url, layer, head),
            "the shard that holds it, over HTTP": fetch_shard,
        }
        yield from take_turns(ways, plan).rows(name, "s")
    with TemporaryDirectory() as run:
        with nginx(directory, Path(run)) as server:
            read_head(server.url, layer, head)
        sent = sum(server.sent(".safetensors"))  # its log is whole when it has stopped
    size = (directory / shard).stat().st_size
    base = "bytes sent for head, over HTTP"
    yield Row(base, name, sent, "bytes", note="as nginx logged them")
    yield Row("bytes of the shard", name, size, "bytes", size / sent, base)
