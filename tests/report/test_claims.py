"""The report's claims: the verdicts that are expected, and that every check can fail.

`verdicts.json` is the ledger: a claim that comes to another verdict fails here by its name. Every
check is then run against a wrong value; test_wrong_models.py has models that are wrong where the
claim looks.
"""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from olmo_explain.report import ALL_CLAIMS, SECTIONS, VERDICTS
from olmo_explain.report.sections.configuration import RECORDED_NORMS
from olmo_explain.terminal.commands import app

ROOT = Path(__file__).parents[2]
LEDGER: dict[str, str] = json.loads(Path(__file__).with_name("verdicts.json").read_text())
CLAIMS = {claim.id: claim for claim in ALL_CLAIMS}
CORRECTED = [name for name, verdict in LEDGER.items() if verdict == "corrected"]

claim_by_claim = pytest.mark.parametrize("name", CLAIMS)


# -- the ledger -----------------------------------------------------------------------------------


@claim_by_claim
def test_the_verdict_is_the_expected_one(name, published):
    checked = CLAIMS[name].check(published)
    assert checked.verdict == LEDGER[name], (
        f"{name}: {checked.verdict}, measured {checked.measured}"
    )


def test_every_claim_is_in_the_ledger_and_no_other():
    assert [claim.id for claim in ALL_CLAIMS] == list(LEDGER)
    assert len(LEDGER) == len(ALL_CLAIMS) > 100
    assert set(LEDGER.values()) == set(VERDICTS)


@claim_by_claim
def test_a_claim_says_all_that_a_reader_needs(name, published):
    claim, checked = CLAIMS[name], CLAIMS[name].check(published)
    assert callable(claim.measure) and callable(claim.judge)
    assert json.loads(json.dumps(asdict(checked))) == asdict(checked)
    assert checked.section in SECTIONS and checked.statement and checked.how
    assert (ROOT / "notebooks" / f"{checked.chapter}.ipynb").is_file()
    assert checked.claimed is not None
    assert checked.verdict == "recorded" or checked.measured is not None
    assert checked.verdict == "reproduced" or checked.why.endswith((".", ")"))
    assert "{" not in checked.how + checked.why.replace("model.layers.{layer}", "")
    assert checked.skipped == ""


def test_the_commands_that_claims_name_are_there(published, planted):
    known = {command.callback.__name__ for command in app.registered_commands}
    for found in (published, planted):
        for claim in ALL_CLAIMS:
            checked = claim.check(found)
            named = re.findall(r"olmo-explain (\w+)", f"{checked.how} {checked.why}")
            assert set(named) <= known, checked


# -- a wrong value is never reproduced ------------------------------------------------------------


def wrong(value):
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return 2 * value + 1
        case float():
            return value * 1.25
        case list():
            return [*value, value[-1]]
        case dict():
            return {key: wrong(item) for key, item in value.items()}
        case str() if re.fullmatch(r"[\d.]+[MB]", value):
            return "9.9" + value[-1]
        case "2026-02-02":
            return "2025-02-02"
    return f"{value}, twice"


WRONG_ANYWAY = {"forward.time": 1.848}  # milliseconds: 7 terabytes a second


@claim_by_claim
def test_a_wrong_value_is_corrected(name, planted):
    claim = CLAIMS[name]
    right = claim.check(planted)
    assert right.verdict == (
        "reproduced" if name in (*RECORDED_NORMS, "forward.prompt") else LEDGER[name]
    )
    claimed = WRONG_ANYWAY.get(name, wrong(claim.claimed))
    assert replace(claim, claimed=claimed).check(planted).verdict == "corrected"


@pytest.mark.parametrize("name", CORRECTED)
def test_what_was_measured_would_have_been_reproduced(name, published):
    claim = CLAIMS[name]
    assert replace(claim, claimed=claim.measure(published)).check(published).verdict == "reproduced"
