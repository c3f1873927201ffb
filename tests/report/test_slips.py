"""What went wrong, by statement: those that need correcting, each once."""

from olmo_explain.report import SLIPS, remeasure


def test_each_correction_has_one_slip():
    corrected = sorted(c.id for c in remeasure("olmo3-7b").claims if c.verdict == "corrected")
    assert sorted(id for ids in SLIPS.values() for id in ids) == corrected
