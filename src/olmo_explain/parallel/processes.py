"""Several processes that work on one model: how they find each other, and how they stop together.

torchrun starts them, torch.distributed connects them: over nccl on GPUs, over gloo on a CPU. Only
process 0 is heard, and an error is said once, whichever process meets it.
"""

import os
import re
import reprlib
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Shard
from transformers.utils import logging

from olmo_explain.errors import ProcessLost, UsageError

PATIENCE = timedelta(minutes=30)  # for the slowest process: a large checkpoint loads slowly
SECONDS_TO_SPEAK = 10
LEFT_TO_TORCHRUN = "Let torchrun set it, as it sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT"
SPOKE = "olmo_explain/spoke"  # counts the processes that wanted to say what went wrong


@dataclass(frozen=True)
class Together:
    """The processes of one run, as one of them sees them."""

    process: int
    processes: int
    mesh: DeviceMesh

    @property
    def backend(self) -> str:
        """How they talk: nccl or gloo."""
        return dist.get_backend()

    def gather(self, value: Any) -> list[Any]:
        """What every process gave, in their order. All of them have to call it."""
        values: list[Any] = [None] * self.processes
        dist.all_gather_object(values, value)
        return values

    def join(self, part: Tensor, size: int) -> Tensor:
        """The whole of what is cut along its last axis, which then has `size` numbers."""
        shape = torch.Size((*part.shape[:-1], size))
        stride = torch.empty(shape, device="meta").stride()
        cut = DTensor.from_local(
            part, self.mesh, [Shard(-1)], run_check=False, shape=shape, stride=stride
        )
        return cut.full_tensor()


@contextmanager
def together(command: str) -> Iterator[Together]:
    """Connects this process with the others that torchrun started, for as long as it lasts.

    Only process 0 is heard. Whatever goes wrong in any process is said once, by the first that
    meets it, and ends them all: the others leave with SystemExit. UsageError where torchrun did not
    start this process.
    """
    if not dist.is_torchelastic_launched():
        raise UsageError(
            "--tp needs several processes, and this is one",
            f"Start it with torchrun --nproc-per-node N -m olmo_explain {command} MODEL --tp",
        )
    _check_variables()
    store, process, processes = next(dist.rendezvous("env://", timeout=PATIENCE))
    device = _device()
    dist.init_process_group(
        dist.get_default_backend_for_device(device),
        store=store,
        rank=process,
        world_size=processes,
        timeout=PATIENCE,
        device_id=device if device.type == "cuda" else None,
    )
    try:
        with ExitStack() as quiet:
            if process != 0:
                _hush(quiet)
            yield Together(process, processes, init_device_mesh(device.type, (processes,)))
            sys.stdout.flush()
            dist.barrier()  # none leaves before process 0 has said the result
    except Exception as error:
        if store.add(SPOKE, 1) > 1:
            leave(2)
        if _is_of_another(error):
            raise ProcessLost(
                "One of the processes stopped before its end",
                "Free memory may have run out: see what the system says, and start again",
            ) from error
        raise
    dist.destroy_process_group()


def _check_variables() -> None:
    """UsageError where what torchrun tells its processes is not as torchrun sets it."""
    least_and_most = {"WORLD_SIZE": (1, 2**20), "RANK": (0, 2**20), "MASTER_PORT": (0, 2**16 - 1)}
    if "LOCAL_RANK" in os.environ:
        least_and_most["LOCAL_RANK"] = 0, 2**20
    for name, (least, most) in least_and_most.items():
        said = os.environ.get(name, "")
        if not (re.fullmatch("[0-9]{1,9}", said) and least <= int(said) <= most):
            raise UsageError(f"{name} is {reprlib.repr(said)}", LEFT_TO_TORCHRUN)
    process, processes = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if process >= processes:
        raise UsageError(f"RANK is {process}, of {processes} processes", LEFT_TO_TORCHRUN)
    if not (address := os.environ.get("MASTER_ADDR")):
        raise UsageError("MASTER_ADDR is not set", LEFT_TO_TORCHRUN)
    try:
        socket.getaddrinfo(address, None)  # torch would ask again for minutes
    except (OSError, UnicodeError):
        raise UsageError(
            f"MASTER_ADDR is {reprlib.repr(address)}, which no machine has", LEFT_TO_TORCHRUN
        ) from None


def _device() -> torch.device:
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is None or accelerator.type == "mps":  # DTensor does not know Apple's
        return torch.device("cpu")
    device = torch.device(accelerator.type, int(os.environ["LOCAL_RANK"]))
    if device.index >= torch.accelerator.device_count():
        raise UsageError(
            f"There is no {accelerator.type} device {device.index}",
            f"Start at most --nproc-per-node {torch.accelerator.device_count()}",
        )
    torch.accelerator.set_device_index(device.index)
    return device


def _hush(quiet: ExitStack) -> None:
    """No results, bars or warnings from this process."""
    nowhere = quiet.enter_context(Path(os.devnull).open("w"))  # noqa: SIM115
    quiet.enter_context(redirect_stdout(nowhere))
    quiet.enter_context(redirect_stderr(nowhere))
    quiet.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore")
    logging.disable_progress_bar()
    logging.set_verbosity_error()


def leave(code: int) -> None:
    """Ends a process that has nothing to say, once the one that has is through with it.

    torchrun stops all of them as soon as it sees one end; so this one waits to be stopped. It does
    not leave in order, since the interpreter would then wait for processes that are gone.
    """
    time.sleep(SECONDS_TO_SPEAK)
    os._exit(code)


def _is_of_another(error: Exception) -> bool:
    """Whether it only tells that another process no longer answers."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)
