"""Curves of a training: cut where asked, and told by the steps at which they rise."""

import numpy as np

from olmo_explain.figures import plot_growth, plot_training
from olmo_explain.figures.training import first_above

STEPS = np.array([0, 25, 50, 75])
RISES, LATER = np.array([0.1, 0.6, 0.9, 0.9]), np.array([0.0, 0.1, 0.4, 0.8])
LOSS = np.array([8.0, 7.0, 4.0, 0.5])


def test_alt_text_says_what_rose_when():
    alt = plot_training(STEPS, RISES, LATER, LOSS, "tiny").alt
    assert "Three curves over 75 steps. The best previous-token score at step 25 passes 0.5." in alt
    assert "induction score at step 75 passes 0.5. The loss falls from 8.0 to 0.5 nats." in alt


def test_it_may_end_early():
    picture = plot_training(STEPS, RISES, LATER, LOSS, "tiny", until=60)
    assert "over 50 steps" in picture.alt and "from 8.0 to 4.0" in picture.alt
    assert "The best induction score stays below 0.5" in picture.alt


def test_a_level_is_passed_where_it_is_first_exceeded():
    assert first_above(STEPS, RISES) == 25
    assert first_above(STEPS, RISES, 0.6) == 50
    assert first_above(STEPS, RISES, 0.9) is None


def test_growth_is_told_beside_the_median():
    grown = {"v_proj": np.array([1.0, 1.2, 1.31, 1.2]), "q_proj": np.array([1.0, 0.9, 0.88, 0.9])}
    picture = plot_growth(STEPS, grown, "head 0 of layer 2", "tiny")
    assert "2 curves over 75 steps" in picture.alt
    assert picture.alt.endswith("v_proj 1.00 to 1.20, q_proj 1.00 to 0.90.")
    assert ">0.8<" in picture.svg and ">1.4<" in picture.svg
