"""The puzzle of chapter 6: what its table shows can come from one mistake only."""

import torch

from olmo_explain.by_hand import Form, known_faults
from olmo_explain.checkpoint import read_config
from olmo_explain.course import three_engines
from olmo_explain.course.bundled import tiny, tiny_ids
from olmo_explain.course.puzzle import ENGINES
from olmo_explain.live import shown_faults
from olmo_explain.running import FAR, NEAR

CONFIG = read_config("tiny")
PROMPTS = [tiny_ids(text) for text in (NEAR, FAR)]


def row(logits: list[torch.Tensor]) -> list[list[tuple[int, float]]]:
    """The two likeliest tokens behind each prompt, with per cent as they are printed."""
    shown = []
    for one in logits:
        shares, ids = one[0, -1].softmax(-1).topk(2)
        shown.append(
            [(id, round(100 * s, 1)) for s, id in zip(shares.tolist(), ids.tolist(), strict=True)]
        )
    return shown


def made_by(form: Form) -> list[torch.Tensor]:
    weights = tiny()[0].state_dict()
    with torch.no_grad():
        return [list(form.walk(weights, ids))[-1].tensor for ids in PROMPTS]


def test_each_engine_is_told_from_every_other_mistake_and_from_the_right_model():
    near, far = map(three_engines, PROMPTS)
    forms = [("right", Form(CONFIG))]
    forms += [(name, form) for name, every in known_faults(CONFIG).items() for form in every]
    rows = [(name, row(made_by(form))) for name, form in forms]
    for engine, fault in ENGINES.items():
        shown = row([near[engine], far[engine]])
        assert [name for name, other in rows if other == shown] == [fault]


def test_the_live_figure_can_be_broken_in_each_of_these_ways():
    offered, known = shown_faults(CONFIG), known_faults(CONFIG)
    for fault in ENGINES.values():
        assert offered[fault].config == known[fault][0].config
