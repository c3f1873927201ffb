"""Passes beside each other: the same values as alone, weights read once, no file half written."""

from collections import Counter
from collections.abc import Mapping

import pytest
import torch
from safetensors.torch import load
from support.random_olmo import build, olmo3

from olmo_explain.by_hand import Form, known_faults, run_by_hand
from olmo_explain.checkpoint import Checkpoint, config_of, read_config
from olmo_explain.proof import golden_bytes
from olmo_explain.proof.side_by_side import nudged, run_side_by_side
from olmo_explain.terminal.output import Document

IDS = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8, 9]])


class Counted(Mapping):
    """Weights that count how often each was asked for."""

    def __init__(self, state):
        self.state, self.asked = state, Counter()

    def __getitem__(self, name):
        self.asked[name] += 1
        return self.state[name]

    def __iter__(self):
        return iter(self.state)

    def __len__(self):
        return len(self.state)


@pytest.fixture
def model():
    return build(olmo3(), torch.float32)


def test_every_weight_is_read_once_by_all_of_them(model):
    config, weights = config_of(model), Counted(model.state_dict())
    forms = [form for forms in known_faults(config).values() for form in forms]
    steps = []
    run_side_by_side([Form(config), *forms], weights, IDS, None, lambda *_: None, steps.append)
    assert set(weights.asked) == set(weights)
    again = {name for name, times in weights.asked.items() if times > 1}
    assert again == {"model.embed_tokens.weight"}  # at the end, where it stands for lm_head
    assert len(steps) == (len(forms) + 1) * (config.num_hidden_layers + 1)


def test_the_right_form_is_the_reference_bit_for_bit(model):
    config, found = config_of(model), {}

    def keep(number, value):
        found[number, value.layer, value.name] = value.tensor

    run_side_by_side([Form(config), nudged(config)], model.state_dict(), IDS, None, keep, ignore)
    for (layer, name), value in run_by_hand(model, IDS).items():
        assert torch.equal(found[0, layer, name], value)
    apart = (found[0, None, "logits"] - found[1, None, "logits"]).abs().max()
    assert 0 < apart < 1e-3


def ignore(*_):
    return None


def test_two_forms_together_are_the_one_and_then_the_other(model):
    config = config_of(model)
    known = known_faults(config)
    (window,), (norm,) = known["window-minus-one"], known["no-qk-norm"]
    (after,) = known_faults(window.config)["no-qk-norm"]
    both = window.and_then(after)
    assert both.config == window.config != norm.config
    assert both.steps().qk_norm is not Form(config).steps().qk_norm


def test_a_fault_leaves_the_reference_as_it_was(model):
    config = config_of(model)
    before = run_by_hand(model, IDS)["logits"]
    for forms in known_faults(config).values():
        for form in forms:
            list(form.walk(model.state_dict(), IDS))
    assert torch.equal(run_by_hand(model, IDS)["logits"], before)


def test_a_golden_file_is_made_piece_by_piece():
    parts = golden_bytes(Checkpoint("tiny"), read_config("tiny"), IDS, torch.bfloat16, {})
    pieces = list(parts)
    assert len(pieces) == 1 + 1 + 211
    assert load(b"".join(pieces))["logits"].dtype == torch.bfloat16


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_is_interrupted_leaves_no_file(tmp_path, error):
    def parts():
        yield b"half"
        raise error

    document = Document(tmp_path / "a.safetensors", (".safetensors",))
    with pytest.raises(error):
        document.write_parts(parts())
    assert list(tmp_path.iterdir()) == []
