"""What the checks of claims are run on."""

import pytest
from support.checkpoints import RECORDED_NORMS, plant_norms, write_sparse_7b
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from olmo_explain.report import Evidence


@pytest.fixture(scope="session")
def published() -> Evidence:
    """What anyone has: the bundled config of the 7B, and tiny."""
    return Evidence("olmo3-7b")


@pytest.fixture(scope="session")
def planted(tmp_path_factory) -> Evidence:
    """A directory of the 7B's shape, with the recorded norms and a tokenizer of two words."""
    directory = write_sparse_7b(tmp_path_factory.mktemp("planted"))
    plant_norms(directory, {(name, 17, 27): norm for name, norm in RECORDED_NORMS.items()})
    words = Tokenizer(WordLevel({"Hello": 0, "world": 1}))
    words.pre_tokenizer = Whitespace()
    words.save(str(directory / "tokenizer.json"))
    found = Evidence(str(directory))
    found.asked.too_large = "it is 14.6 GB of zeros"  # and this machine may be small
    return found
