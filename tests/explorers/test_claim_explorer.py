"""The ledger in Chromium: it filters as Python does, and its lines lead to chapters that exist."""

import re
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest
import traitlets
from playwright.sync_api import Locator, expect

import olmo_explain as oe
from olmo_explain.explorers import explore_claims
from olmo_explain.explorers.claims import ALL, ClaimExplorer
from olmo_explain.report import ALL_CLAIMS, SECTIONS, SLIPS, VERDICTS, CheckedClaim, Report
from olmo_explain.report.sections.scripts import SUCCESSORS
from olmo_explain.words import text as written

ROOT = Path(__file__).parents[2]
AXE = files("axe_playwright_python") / "axe.min.js"
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture(scope="module")
def report() -> Report:
    return oe.remeasure("olmo3-7b")


@pytest.fixture
def explorer(report) -> ClaimExplorer:
    return explore_claims(report)


@pytest.fixture
def ledger(page, explorer, publish) -> Locator:
    page.goto(publish(explorer).as_uri())
    return page.locator(".oe-claims")


def shown(ledger: Locator) -> list[str]:
    """The ids of the claims in sight, in order."""
    ledger.page.evaluate(DRAWN)
    return ledger.locator(".oe-claims-about code").all_text_contents()


def groups(ledger: Locator) -> dict[str, int]:
    """The headings, and the numbers beside them."""
    texts = ledger.locator(".oe-claims-group h3").all_text_contents()
    return {name: int(number) for name, number in (text.rsplit(" ", 1) for text in texts)}


def counts(ledger: Locator) -> dict[str, int]:
    """What stands beside the radio buttons."""
    fieldset = ledger.get_by_role("group", name="Verdict")
    values = fieldset.get_by_role("radio").evaluate_all("all => all.map((one) => one.value)")
    numbers = fieldset.locator("b").all_inner_texts()
    return dict(zip(values, map(int, numbers), strict=True))


CHOICES = [
    (ALL, ALL, ""),
    *((verdict, ALL, "") for verdict in VERDICTS),
    *((ALL, section, "") for section in SECTIONS),
    (ALL, ALL, "NORM"),
    (ALL, ALL, "16777216"),
    (ALL, ALL, "16,777,216"),
    ("corrected", ALL, "rotary yarn"),
    ("corrected", SECTIONS[4], "once flops"),
    ("recorded", SECTIONS[3], "  time "),
    ("reproduced", SECTIONS[2], "rmsnorm"),  # there is none
    (ALL, ALL, "no claim says this"),
]


@pytest.mark.parametrize(("verdict", "section", "search"), CHOICES)
def test_the_page_shows_what_python_shows(ledger, explorer, verdict, section, search):
    ledger.locator(f"input[value={verdict}]").check(force=True)
    ledger.get_by_label("Section", exact=True).select_option(section)
    ledger.get_by_label("Search", exact=True).fill(search)
    explorer.section, explorer.search = section, search
    found = Counter(claim.verdict for claim in explorer.shown)
    explorer.verdict = verdict

    assert shown(ledger) == [claim.id for claim in explorer.shown]
    assert counts(ledger) == {ALL: found.total()} | {v: found[v] for v in VERDICTS}
    number = f"{len(explorer.shown)} of {len(ALL_CLAIMS)} claims"
    expect(ledger.locator(".oe-label")).to_have_text(f"{number} shown")
    corrected = {slip: sum(c.id in ids for c in explorer.shown) for slip, ids in SLIPS.items()}
    expected = {slip: number for slip, number in corrected.items() if number}
    assert dict(list(groups(ledger).items())[: len(expected)]) == expected

    ledger.get_by_role("radio", name="section").check(force=True)
    explorer.group = "section"
    assert shown(ledger) == [claim.id for claim in explorer.shown]
    assert list(groups(ledger).items()) == list(Counter(c.section for c in explorer.shown).items())


def test_a_claim_is_one_line_and_opens(ledger, report):
    """Its verdict as a mark that is heard as a word; what it takes to believe it, when opened."""
    lines = ledger.locator(".oe-claims-group li")
    expect(lines).to_have_count(len(report.claims))
    marks = {"reproduced": "✓", "corrected": "≠", "recorded": "○"}
    by_id = {claim.id: claim for claim in report.claims}
    for id, texts in zip(shown(ledger), lines.evaluate_all(PARTS), strict=True):
        claim, (summary, about) = by_id[id], texts
        assert summary.startswith(f"{marks[claim.verdict]}{claim.verdict}: {claim.statement}")
        assert summary.endswith(value(claim))
        for part in (claim.how, claim.why):
            assert " ".join(part.split()) in about, (id, part)
        assert claim.how not in summary
    first = lines.first
    expect(first.locator("dl")).to_be_hidden()
    first.locator("summary").click()
    expect(first.get_by_text(by_id[shown(ledger)[0]].how, exact=True)).to_be_visible()


PARTS = """all => all.map((line) => [...line.firstChild.children].map(
    (part) => part.textContent.replace(/\\s+/g, " ")))"""


def value(claim: CheckedClaim) -> str:
    """What is measured, or from the report's value to that; the very long when it is opened."""
    claimed, measured = written(claim.claimed, digits=10), written(claim.measured, digits=10)
    if claim.verdict == "recorded":
        return "not measured here"
    if claim.verdict == "corrected":
        return f"{claimed} → {measured}" if len(claimed + measured) <= 64 else "another value"
    return measured if len(measured) <= 64 else "as reported"


def test_by_keyboard_alone(ledger, page, explorer):
    ledger.get_by_role("radio", name="all").focus()
    page.keyboard.press("ArrowRight")
    explorer.verdict = "reproduced"
    assert shown(ledger) == [claim.id for claim in explorer.shown]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    expect(ledger.get_by_role("radio", name="what went wrong")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("4")  # the section that begins with it
    page.keyboard.press("Tab")
    page.keyboard.type("mlp")
    explorer.verdict, explorer.section, explorer.search = "corrected", SECTIONS[4], "mlp"
    assert shown(ledger) == [claim.id for claim in explorer.shown] != []
    page.keyboard.press("Tab")
    expect(ledger.get_by_role("region", name="The ledger")).to_be_focused()
    page.keyboard.press("Tab")
    lines = ledger.locator("summary")
    expect(lines.first).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(lines.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(ledger.get_by_role("link").locator("visible=true")).to_be_focused()


def test_an_opened_line_stays_open_while_others_come_and_go(ledger):
    line = ledger.locator("details").first
    line.locator("summary").click()
    for words in ("param", ""):
        ledger.get_by_label("Search", exact=True).fill(words)
        ledger.page.evaluate(DRAWN)
        expect(line).to_have_attribute("open", "")


def test_nothing_found_is_said_and_can_be_undone(ledger, page):
    button = ledger.get_by_role("button", name="Clear the filters")
    expect(button).to_be_hidden()
    ledger.locator("input[value=recorded]").check(force=True)
    ledger.get_by_label("Section", exact=True).select_option(SECTIONS[2])
    search = ledger.get_by_label("Search", exact=True)
    search.fill("<b>nothing</b>")
    said = f"No claim in “{SECTIONS[2]}” is recorded and holds “<b>nothing</b>”."
    expect(ledger.locator(".oe-claims-nothing")).to_contain_text(said)
    expect(ledger.locator(".oe-claims-list")).to_be_hidden()
    button.press("Enter")
    assert len(shown(ledger)) == len(ALL_CLAIMS)
    expect(search).to_be_focused()
    expect(search).to_have_value("")
    expect(button).to_be_hidden()


def test_the_count_is_spoken_once_the_reader_pauses(ledger):
    spoken = ledger.get_by_role("status")
    ledger.locator("input[value=recorded]").check(force=True)
    recorded = len(shown(ledger))
    expect(spoken).to_have_text(f"{recorded} of {len(ALL_CLAIMS)} claims shown.")
    ledger.get_by_label("Search", exact=True).fill("no claim says this")
    expect(spoken).to_have_text("No claim is left.")


def test_every_claim_leads_to_a_chapter(ledger, explorer, report):
    links = ledger.locator("dl a").evaluate_all("all => all.map((a) => a.getAttribute('href'))")
    assert links == [f"{claim.chapter}.html" for claim in explorer.shown]
    for claim in report.claims:
        assert (ROOT / "notebooks" / f"{claim.chapter}.ipynb").exists(), claim.id


@pytest.mark.parametrize(
    ("address", "href"),
    [
        ("lab/tree/notebooks/13_the_report.ipynb", "10_forward_trace.ipynb"),
        ("lab/tree/own.ipynb", "10_forward_trace.ipynb"),
        ("an/editor/frame", None),
    ],
)
def test_links_where_the_notebook_lives(page, explorer, publish, address, href):
    """In JupyterLab a line leads to the notebook, in a tab of its own; elsewhere to nothing."""
    # A live notebook holds no saved state: gone before the widget is drawn.
    gone = "<script>document.querySelector('[type$=\"state+json\"]').remove()</script>"
    html = publish(explorer).read_text(encoding="utf-8").replace("</html>", gone)
    page.route("http://lab.test/**", lambda r: r.fulfill(body=html, content_type="text/html"))
    page.goto(f"http://lab.test/{address}")
    line = page.locator(".oe-claims li", has=page.get_by_text("calls.total", exact=True))
    line.locator("summary").click()
    if href is None:
        expect(line.locator("dd", has_text="chapter 10")).to_be_visible()
        expect(page.get_by_role("link")).to_have_count(0)
    else:
        expect(line.get_by_role("link", name="chapter 10")).to_have_attribute("href", href)
        expect(line.get_by_role("link")).to_have_attribute("target", "_blank")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [280, 390, 616, 640, 780])
def test_it_is_accessible_and_fits(page, explorer, publish, width, theme):
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(publish(explorer, theme=theme).as_uri())
    ledger = page.locator(".oe-claims")
    ledger.locator("summary").nth(9).click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    inside = page.locator(".oe-claims-list").evaluate("n => n.scrollWidth - n.clientWidth")
    assert inside <= 0
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run('.oe-claims', { resultTypes: ['violations'] })")
    assert not [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]]
    targets = ledger.locator("summary, .oe-whole, input[type=search]")
    for height in targets.evaluate_all("all => all.map((one) => one.offsetHeight)"):
        assert height >= 44
    # Nothing is shredded: the shortest word is not in a column of letters.
    for part in (".oe-claims-says", ".oe-claims-values"):
        boxes = ledger.locator(part).evaluate_all(
            "all => all.map((one) => [one.offsetHeight, one.textContent.length])"
        )
        assert all(height <= 24 * (2 + length / 14) for height, length in boxes)


def test_python_refuses_what_the_page_cannot_show(explorer):
    refused = {"verdict": "doubtful", "section": "7. Outlook", "group": "verdict"}
    for trait, value in refused.items():
        with pytest.raises(traitlets.TraitError):
            setattr(explorer, trait, value)
    assert len(explorer.shown) == len(ALL_CLAIMS)


def test_it_measures_a_model_by_name():
    explorer = oe.explore_claims("tiny", verdict="recorded", search="norm")
    assert explorer.name == "tiny (trained, bundled)"
    assert {claim.verdict for claim in explorer.shown} == {"recorded"}


def test_the_scripts_successors_are_named():
    """The report's three scripts, each beside the commands and chapters that do its work now."""
    lines = (ROOT / "book" / "sources.md").read_text(encoding="utf-8").splitlines()
    for successor in SUCCESSORS:
        (row,) = (line for line in lines if f"| `{successor.script}`" in line)
        for command in successor.commands:
            assert f"`{command}`" in row or f"`olmo-explain {command}`" in row, command
        chapters = re.findall(r"(\w+)\.ipynb", row)
        assert chapters == list(successor.chapters)


def test_the_chapter_shows_every_claim(book, browser, report):
    """In the explorer, and in a table that needs no script."""
    page = browser.new_page(java_script_enabled=False)
    page.goto((book.html / "notebooks" / "13_the_report.html").as_uri())
    rows = page.locator(".oe-table tr").evaluate_all("all => all.map((row) => row.textContent)")
    for claim in report.claims:
        assert any(claim.statement in row and claim.verdict in row for row in rows), claim.id
    page.close()

    page = browser.new_page()
    page.goto((book.html / "notebooks" / "13_the_report.html").as_uri())
    ledger = page.locator(".oe-claims")
    assert shown(ledger) == [claim.id for claim in oe.explore_claims(report).shown]
    for href in ledger.locator("dl a").evaluate_all("all => all.map((a) => a.href)"):
        assert Path(href.removeprefix("file://")).exists(), href
    page.close()
