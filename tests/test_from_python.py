"""The API, given what is near to what it takes: an ExplainError, in a line that says what to do."""

import re

import numpy as np
import pytest
from support.checkpoints import safetensors_header

import olmo_explain as oe
from olmo_explain.checkpoint import Checkpoint, read_config
from olmo_explain.costs import crossover_seq, measure_roofline
from olmo_explain.errors import ExplainError, OutOfRange

Q_PROJ = "model.layers.0.self_attn.q_proj.weight"
SLICE = "Give slice(a, b), of whole numbers"
CONFIG = "Give what read_config(MODEL) gives"


def tiny():
    return read_config("tiny")


def read(**chosen):
    return Checkpoint("tiny").read(Q_PROJ, **chosen)


def by_hand():
    return oe.run_by_hand(oe.load("tiny")[0], [5, 6])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: read(rows=(5, 2)), SLICE),
        (lambda: read(rows=3), SLICE),
        (lambda: read(cols=slice(0.5, 2.0)), SLICE),
        (lambda: read(cols=slice("a", "b")), SLICE),
        (lambda: read(rows=slice(-3, -1)), "choose a:b with 0 <= a < b <= 128"),
        (lambda: read(rows=slice(0, 10**400)), "has no rows 0:1000"),
        (lambda: Checkpoint("tiny").tensor(["a"]), "has no tensor ['a']. It has 91, from"),
        (lambda: oe.diff(5, "tiny"), "5 names no model. Choose tiny"),
        (lambda: oe.diff("tiny", "tiny", layer=0), "Give both layer and head, or neither"),
        (
            lambda: oe.diff("tiny", "tiny", layer="a", head=0),
            "A layer is a whole number",
        ),
        (lambda: oe.head_spectra("tiny", 0, None), "A head is a whole number, and None is none"),
        (lambda: oe.head_history("tiny", 0, 0, "main"), "tiny has no revisions to choose from"),
        (lambda: oe.head_history("a/b", 0, 0, 5), "5 names no revision. Give names"),
        (lambda: oe.head_history("a/b", 0, 0, []), "[] names no revision"),
        (lambda: oe.head_history("a/b", 0, 0, ["main", None]), "names no revision"),
        (lambda: oe.head_history("a/b", 0, 0, "main", every=0), "every is 0"),
        (lambda: oe.head_history("a/b", 0, 0, "m", projections=["q"]), "'q' is no projection"),
        (lambda: oe.head_history("a/b", 0, 0, "m", projections=3), "3 is no projection. Choose"),
        (lambda: oe.head_slices("tiny", 0, 0), CONFIG),
        (lambda: oe.initial_norm("tiny"), CONFIG),
        (lambda: oe.count_costs("tiny", 64), CONFIG),
        (lambda: crossover_seq("tiny"), CONFIG),
        (lambda: oe.count_costs(tiny(), True), "seq is True. Give a whole number"),
        (lambda: oe.count_costs(tiny(), 64.5), "seq is 64.5"),
        (lambda: crossover_seq(tiny(), convention="half"), "Choose full, causal, windowed"),
        (lambda: crossover_seq(tiny(), against="all"), "Choose linear, attention_projections"),
        (lambda: measure_roofline("int9"), "Choose bfloat16, float16, float32, float64"),
        (lambda: by_hand()[99, "pattern"], "There is no value (99, 'pattern')"),
        (lambda: by_hand()["nope"], "Their names are embedding, resid_pre, q_proj"),
        (lambda: oe.table([(1, 2), (3,)], ["a", "b"], "c"), "Row 1 has 1 values, for 2 columns"),
        (lambda: oe.table([(1, 2)], ["a"], "c"), "Row 0 has 2 values"),
        (lambda: oe.table([5], ["a"], "c"), "Give a list of tuples"),
    ],
)
def test_what_is_near_to_it(call, says):
    with pytest.raises(ExplainError) as caught:
        call()
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_whole_numbers_of_numpy_are_whole_numbers():
    assert read(rows=slice(np.int64(3), np.uint8(5))).shape == (2, 128)


def test_a_table_without_rows_and_of_other_names_than_text():
    assert repr(oe.table([], ["a"], "none")) == "a"
    assert "<th scope=" in oe.table([(1,)], [5], 7)._repr_html_()


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ("norm", "model.norm.weight"),
        ("layers.3.q_proj", "model.layers.3.self_attn.q_proj.weight"),
        ("layers.3.self_attn.q_porj", "model.layers.3.self_attn.q_proj.weight"),
        ("embed", "model.embed_tokens.weight"),
        ("lm_head", "lm_head.weight"),
        ("x" * 10**6, "from lm_head.weight to model.norm.weight"),
    ],
)
def test_the_nearest_tensors(asked, nearest):
    with pytest.raises(ExplainError) as caught:
        Checkpoint("tiny").tensor(asked)
    assert re.search(rf"(Nearest:|has 91,) {re.escape(nearest)}\b", str(caught.value))


def test_columns_of_a_million_rows_and_of_more(tmp_path):
    """Each row is a range of its own; a file with holes takes no room."""
    header = safetensors_header({"tall": (2**27, 4)})
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(header)
        file.truncate(len(header) + 2**30)
    checkpoint = Checkpoint(tmp_path)
    with pytest.raises(OutOfRange, match=r"134,217,728 ranges.*Choose up to 1,048,576 rows"):
        checkpoint.locate("tall", cols=slice(0, 1))
    assert checkpoint.locate("tall").bytes_needed == 2**30
    assert len(checkpoint.locate("tall", slice(5, 9), slice(0, 1)).byte_ranges) == 4


class Secretive:
    def __repr__(self):
        return "<client of https://me:" + "secret" * 20 + "@example.org/ and more>"


@pytest.mark.parametrize("given", [Secretive(), repr(Secretive()), [Secretive()], Secretive])
def test_half_of_a_key_is_not_quoted(given):
    with pytest.raises(ExplainError) as caught:
        oe.head_slices(tiny(), [given], 0)
    assert "secret" not in str(caught.value)
