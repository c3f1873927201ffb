"""make fuzz: its cases hold, and what it finds is told so that it can be seen again."""

import random
import runpy
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from support.fuzz import commands

FUZZ = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "fuzz.py"))


@pytest.mark.parametrize("part", range(4))
def test_command_lines_at_random(part):
    said = Counter(commands.case(random.Random(f"{part} {number}")) for number in range(10))
    assert {code[-1] for code in said} <= set("012")


def test_a_command_that_breaks_its_word_is_found():
    for broken in (
        commands.Ran(1, "", "Traceback (most recent call last):"),
        commands.Ran(2, "a result", "olmo-explain: wrong"),
        commands.Ran(2, "", "wrong"),
        commands.Ran(0, '{"a": NaN}', ""),
        commands.Ran(3, "", ""),
        commands.Ran(0, "\x1b[31m", ""),
    ):
        with pytest.raises(AssertionError):
            commands.check(broken, as_json=True)


def a_fault(chance: random.Random) -> str:
    raise AssertionError("found")


def too_long(chance: random.Random) -> str:
    while True:
        time.sleep(0.01)


def too_much(chance: random.Random) -> str:
    bytearray(2**26)[::4096] = b"x" * 2**14
    return "too much"


@pytest.mark.parametrize(
    ("case", "says"),
    [(a_fault, "found"), (too_long, "not done after"), (too_much, "MemoryError")],
)
def test_a_fault_is_told_with_the_way_back_to_it(monkeypatch, case, says, capsys):
    is_fine, said = FUZZ["_is_fine"], Counter()
    monkeypatch.setitem(is_fine.__globals__, "CASE_SECONDS", 0.2)
    monkeypatch.setitem(is_fine.__globals__, "CASE_BYTES", -1 if case is too_much else 2**40)
    assert not is_fine("configs", case, 7, 1234, said)
    told = capsys.readouterr().err
    assert "make fuzz SEED=7 ONLY=configs CASE=1234" in told and says in told
    assert said == {("configs", "fault"): 1}


def test_a_kind_runs_for_as_long_as_one_likes(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fuzz", "--seconds", "0.1", "--only", "interrupts"])
    with pytest.raises(SystemExit) as ended:
        FUZZ["main"]()
    assert ended.value.code == 0
    assert "0 of them faults" in capsys.readouterr().out
