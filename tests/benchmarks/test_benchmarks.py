"""The benchmarks run, their results are whole, and README and book quote nothing else.

No time is asserted: what a figure is worth shows on a quiet machine only.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import results
from benchmarks.frame import Plan, Times, exponent, take_turns

ROOT = Path(__file__).parents[2]
EVERY = {"what", "model", "value", "unit", "ratio", "against", "rounds", "note"}


@pytest.fixture(scope="module")
def quick(once) -> dict:
    """A quick run of what needs neither the built book nor other environments."""
    return json.loads((once("bench", run_quickly) / "results.json").read_text())


def run_quickly(folder: Path) -> None:
    names = ("cold", "forward", "verify", "head", "norms", "growth", "pages")
    only = [word for name in names for word in ("--only", name)]
    nowhere = ["--html", str(folder)]  # no book there
    where = ["--json", str(folder / "results.json")]
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", *where, *only, *nowhere],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"BENCH_WITHOUT_PEERS": "1"},
    )
    assert ran.returncode == 0, ran.stderr


def test_every_row_has_its_figure(quick):
    assert quick["quick"] and {s["name"] for s in quick["subjects"]} == set(results.HEADLINES)
    for subject in quick["subjects"]:
        assert subject["rows"] or subject["skipped"], subject["name"]
        for row in subject["rows"]:
            assert set(row) == EVERY
            assert math.isfinite(row["value"]), row
            assert row["unit"] == "exponent" or row["value"] >= 0, row
            assert (row["ratio"] is None) == (row["against"] is None), row
            named = {other["what"] for other in subject["rows"] if other["model"] == row["model"]}
            assert row["against"] is None or row["against"] in named, row


def test_it_says_where_and_when(quick):
    machine = quick["machine"]
    assert machine["cpu"] and machine["cores"] and machine["date"].count("-") == 2
    assert {"torch", "transformers", "python"} <= set(machine["versions"])


def test_what_is_sure_whatever_the_machine(quick):
    rows = {(s["name"], r["what"]): r for s in quick["subjects"] for r in s["rows"]}
    assert rows["growth", "numbers in tensors that a trace keeps"]["value"] == 0
    read = rows["head", "bytes that head reads"]["value"]
    assert 4 * 2**20 < read < 5 * 2**20  # four slices of 1 MiB, and the headers


def test_every_headline_is_a_row(quick):
    for subject in quick["subjects"]:
        if subject["name"] != "pages":
            named = {row["what"] for row in subject["rows"]}
            missing = set(results.HEADLINES[subject["name"]]) - named
            assert missing <= ({"head, over HTTP"} if subject["skipped"] else set())


def test_readme_quotes_only_what_was_measured():
    text = (ROOT / "README.md").read_text()
    quoted = text.partition(results.BEGIN)[2].partition(results.END)[0]
    assert quoted.strip() == results.section(results.stored()).strip()


def test_readme_has_at_most_eight_figures():
    assert 5 <= len(list(results.headlines(results.stored()))) <= 8


def test_book_quotes_only_what_was_measured():
    assert results.TABLES.read_text().strip() == results.tables(results.stored()).strip()
    page = (ROOT / "book" / "benchmarks.md").read_text()
    assert "{include} ../benchmarks/results/latest.md" in page


def test_stored_results_are_of_a_whole_run():
    stored = results.stored()
    assert not stored["quick"] and stored["rounds"] >= 7
    assert {subject["name"] for subject in stored["subjects"]} == set(results.HEADLINES)


def test_tables_show_every_row(quick):
    text = results.tables(quick)
    for subject in quick["subjects"]:
        for row in subject["rows"]:
            assert f"| {results.figure(row)} |" in text


def test_ways_take_turns():
    order = []
    ways = {name: lambda n=name: order.append(n) for name in "ABC"}
    plan = Plan(quick=True)
    times = take_turns(ways, plan)
    # A round that does not count, then A B C, B C A, …
    assert "".join(order[:9]) == "ABC" + "ABC" + "BCA"
    assert {len(seconds) for seconds in times.seconds.values()} == {len(order) // 3 - 1}


def test_a_ratio_is_of_one_round():
    # Both slow down threefold halfway: one stays twice as slow as the other.
    times = Times({"A": [1.0, 1.0, 3.0], "B": [2.0, 2.0, 6.0]})
    assert times.ratio("B", "A") == 2.0
    slow, fast = times.rows("tiny", "s")[::-1]
    assert (slow.ratio, slow.against, fast.ratio) == (2.0, "A", None)


@pytest.mark.parametrize("power", [0, 1, 2])
def test_exponent_of_a_power_law(power):
    sizes = [2, 4, 8, 16]
    assert exponent(sizes, [3 * size**power for size in sizes]) == pytest.approx(power, abs=1e-9)


@pytest.mark.parametrize(
    ("number", "written"),
    [(1.0349, "1.03"), (12.34, "12.3"), (0.01234, "0.0123"), (1234.5, "1,234"), (0, "0.00")],
)
def test_digits(number, written):
    assert results.digits(number) == written
