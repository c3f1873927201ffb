"""What the tests of web and hub share: a small checkpoint, and a server that has it."""

from pathlib import Path

import numpy as np
import pytest
from support.checkpoints import write_random
from support.servers import FileServer, running


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Path:
    """A random checkpoint in two shards, beside a file of 200,000 different bytes."""
    directory = tmp_path_factory.mktemp("small")
    write_random(directory, shards=2)
    (directory / "bytes.bin").write_bytes(np.arange(100_000, dtype="<u2").tobytes())
    return directory


@pytest.fixture
def server(small):
    with running(FileServer(small)) as server:
        yield server
