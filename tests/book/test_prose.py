"""No number is typed that no cell prints; and the chapters are one story in one form."""

import re
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup, Tag

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "src/olmo_explain/checkpoint/presets").glob("*/config.json"))
CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
LONGEST_QUESTION = 260  # letters, so that the picture stands in a phone's first screen

# What others measured or wrote, with the page that was opened: book/sources.md.
SOURCED = {"06_positions": {"60.5", "64.2"}}  # MMLU, by a commenter on vLLM #43419

NUMBER = re.compile(r"(?<![\w.#/^])[-−]?\d+(?:,\d{3})*(?:\.\d+)?(?: ?%)?(?![\w/])")
ANY = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[-+−]?\d+)?")
RELEASE = r"\d+\.\d+(?:\.\d+)?"
NOT_MEASURED = re.compile(
    rf"[Cc]hapters? \d+|\d+ minutes|{RELEASE} (?:to|and|–) {RELEASE}|section [\d.]+"
    rf"|(?:transformers|Release|releases?)(?: from)? {RELEASE}(?: (?:to|and|–) {RELEASE})?"
    r"|exercise \d+\.\d|\d{1,2} (?:January|February|November) 20\d\d|\b20\d\d\b|#\d+|arXiv [\d.]+"
)


SOLUTION = re.compile(r"<details><summary>Solution .*?</details>", re.DOTALL)


def values(text: str) -> set[float]:
    return {float(found.replace(",", "").replace("−", "-")) for found in ANY.findall(text)}


def shown(page: BeautifulSoup) -> set[float]:
    """Every number in code, in what cells printed, and in the alt text of their pictures.

    Those of the bundled config.json files are known, too: chapter 1 prints them.
    """
    seen = set().union(*(values(path.read_text(encoding="utf-8")) for path in CONFIGS))
    for cell in page.select("div.cell, .oe-solution"):
        seen |= values(cell.get_text(" "))
        for part in cell.find_all(["svg", "img", "nav", "canvas"]):
            seen |= values(f"{part.get('aria-label', '')} {part.get('alt', '')}")
    return seen


def told(page: BeautifulSoup) -> list[tuple[str, str]]:
    """Each number of the prose that a reader may take for a result, with its sentence."""
    numbers = []
    for paragraph in page.select("article p, article li"):
        if paragraph.find_parent(class_="cell") or paragraph.find("p"):
            continue
        for part in paragraph.select("code, .math, .reference.internal, strong, .headerlink"):
            if part.name != "strong" or re.fullmatch(r"\d+\.\d", part.get_text()):
                part.replace_with(" ")
        text = NOT_MEASURED.sub(" ", paragraph.get_text())
        numbers += [(number, text) for number in NUMBER.findall(text) if is_result(number)]
    return numbers


def is_result(number: str) -> bool:
    return "%" in number or "." in number or abs(value(number)) >= 100


def value(number: str) -> float:
    return float(re.sub("[ ,%−-]", "", number))


def is_shown(number: str, seen: set[float]) -> bool:
    """Whether one of the numbers seen is this one, rounded as it is written."""
    digits = len(number.strip(" %").partition(".")[2])
    scales = (1, 100) if "%" in number else (1,)
    close = 10.0**-digits * 1e-6
    return any(
        abs(round(one * by, digits) - value(number)) < close for one in seen for by in scales
    )


@pytest.fixture(scope="module", params=CHAPTERS)
def chapter(request, book) -> tuple[str, BeautifulSoup]:
    path = book.html / "notebooks" / f"{request.param}.html"
    return request.param, BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def test_every_number_in_prose_is_one_that_a_cell_shows(chapter):
    name, page = chapter
    seen = shown(page)
    allowed = SOURCED.get(name, set())
    typed = [
        f"{number} in: {sentence.strip()}"
        for number, sentence in told(page)
        if number.strip(" %") not in allowed and not is_shown(number, seen)
    ]
    assert not typed, "\n".join(typed)


def test_what_is_compared_is_equal_but_where_the_text_is_about_the_difference(chapter):
    name, page = chapter
    differ = [row.get_text(" ") for row in page.select(".oe-sameness .oe-differs")]
    assert len(differ) == (2 if name == "07_rmsnorm" else 0), differ


@pytest.mark.parametrize(
    ("number", "seen", "found"),
    [
        ("74 %", {0.7398}, True),
        ("74.0 %", {73.98}, True),
        ("74 %", {0.7451}, False),
        ("7,298,011,136", {7298011136.0}, True),
        ("1.459", {1.4591290}, True),
        ("1.46", {1.4591290}, True),
        ("1.45", {1.4591290}, False),
        ("−0.15", {0.1504}, True),
    ],
)
def test_a_number_is_recognised_as_it_is_rounded(number, seen, found):
    assert is_shown(number, seen) == found


def test_a_typed_number_is_found():
    page = BeautifulSoup(
        "<article><p>It gives 97 %, and in <code>0.5</code> chapter 7 of 2,049 rows.</p>"
        '<div class="cell"><pre>0.9712</pre></div></article>',
        "html.parser",
    )
    numbers = [number for number, _ in told(page)]
    assert numbers == ["97 %", "2,049"]
    assert [is_shown(number, shown(page)) for number in numbers] == [True, False]


@pytest.fixture(params=CHAPTERS)
def notebook(request) -> nbformat.NotebookNode:
    return nbformat.read(ROOT / "notebooks" / f"{request.param}.ipynb", as_version=4)


def minutes_of(notebook: nbformat.NotebookNode) -> float:
    """A reader's time: 220 words or six lines of code a minute, two for a figure or an exercise."""
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    words = sum(len(SOLUTION.sub("", text).replace("▾", "").split()) for text in prose)
    lines = figures = exercises = 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            tags = set(cell.metadata.get("tags", []))
            figures += cell.source.count("oe.explore_")
            exercises += cell.source.startswith("answer = ...")
            folded = tags & {"hide-input", "hide-cell", "remove-cell", "remove-input"}
            lines += 0 if folded else len(cell.source.splitlines())
    return words / 220 + lines / 6 + 2 * (figures + exercises)


def test_it_opens_with_a_question_its_minutes_and_its_picture(notebook):
    first, colab, *_ = notebook.cells
    title, question, minutes = first.source.split("\n\n")
    assert re.fullmatch(r"# \d+\. .+", title)
    assert "?" in question and len(question) <= LONGEST_QUESTION, len(question)
    found = re.match(r"\*(\d+) minutes · ", minutes)
    assert found and max(25, minutes_of(notebook)) <= int(found[1]) <= 45, minutes_of(notebook)
    assert "colab-install" in colab.metadata.tags
    picture = notebook.cells[2]
    assert picture.cell_type == "code"
    assert "hide-input" in picture.metadata.tags, "its code is folded"


def test_what_only_draws_is_folded_and_says_what_it_draws(notebook):
    for cell in notebook.cells:
        if "hide-input" in cell.metadata.get("tags", []):
            words = cell.metadata.mystnb
            assert words.code_prompt_show == words.code_prompt_hide != "", cell.source


def test_a_page_shows_its_picture_before_any_section(chapter):
    _, page = chapter
    first = page.select_one("article :is(h2, figure.oe-figure svg)")
    picture = page.select_one("article figure.oe-figure svg")
    assert isinstance(picture, Tag) and first is picture
    assert len(str(picture["aria-label"])) > 60, "alt text says what one should see"


def test_the_front_page_says_how_many_chapters_and_hours():
    opened = [
        nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4) for name in CHAPTERS
    ]
    minutes = [int(re.search(r"\*(\d+) minutes", book.cells[0].source)[1]) for book in opened]
    front = " ".join((ROOT / "book" / "index.md").read_text(encoding="utf-8").split())
    assert len(minutes) == 13 and "Thirteen chapters" in front
    hours = {5: "five", 6: "six", 7: "seven"}
    whole, half = divmod(round(sum(minutes) / 30), 2)
    assert f"{hours[whole]} {'and a half ' * half}hours" in front
