"""The history of a training: read as it was written, and one line where there is none."""

import json

import numpy as np
import pytest
from support.commands import imports

from olmo_explain.checkpoint import FileMissing, training_history
from olmo_explain.errors import CheckpointError

HEADS = np.arange(24).reshape(2, 3, 4) / 100  # (moment, layer, head)
NAMES = ("previous_token", "induction", "q_proj", "k_proj", "v_proj", "o_proj")
WRITTEN = {
    "seed": 0,
    "tokens_per_step": 4096,
    "period": 40,
    "sentences": {"near": "a b a", "far": "a b c a"},
    "answer": " b",
    "steps": [0, 25],
    **{name: [7.6, 0.2] for name in ("text_loss", "first_loss", "second_loss")},
    **{name: [0.0, 0.74] for name in ("near", "far")},
    **{name: (HEADS + number).tolist() for number, name in enumerate(NAMES)},
}


def write(directory, **changed):
    (directory / "history.json").write_text(json.dumps({**WRITTEN, **changed}))
    return str(directory)


def test_each_column_is_read_under_its_name(tmp_path):
    history = training_history(write(tmp_path))
    assert history.steps.tolist() == [0, 25] and history.far.tolist() == [0.0, 0.74]
    assert np.array_equal(history.induction, HEADS + 1)
    assert np.array_equal(history.norms["o_proj"], HEADS + 5)
    assert (history.period, history.answer) == (40, " b")


@pytest.mark.parametrize("name", ["olmo3-7b", "here"])
def test_a_model_without_a_history_is_one_line(tmp_path, name):
    with pytest.raises(FileMissing) as error:
        training_history(name if name == "olmo3-7b" else tmp_path)
    assert "has no history.json" in str(error.value) and "\n" not in str(error.value)
    assert "Choose tiny" in str(error.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"far": [0.1]}, "far has shape (1,), for 2 steps"),
        ({"induction": [[0.1], [0.2]]}, "induction has shape (2, 1), for 2 steps"),
        ({"near": ["a", "b"]}, "could not convert"),
        ({"sentences": 3}, "not iterable"),
    ],
)
def test_another_history_is_one_line(tmp_path, changed, said):
    with pytest.raises(CheckpointError) as error:
        training_history(write(tmp_path, **changed))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_no_torch_is_needed(tmp_path):
    code = f"""if True:
        from olmo_explain.checkpoint import training_history
        assert training_history({write(tmp_path)!r}).period == 40
    """
    assert not {"torch", "transformers"} & imports(code)


def test_tiny_has_its_history():
    history = training_history("tiny")
    assert history.steps[0] == 0 and np.all(np.diff(history.steps) > 0)
    assert history.induction.shape == (len(history.steps), 8, 4)
    assert history.second_loss[-1] < 1 < history.first_loss[-1]
