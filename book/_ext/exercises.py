"""An exercise on a page is a card: question, field, Check, hints, solution.

In a notebook it is a cell of Markdown, with hints and solution in `<details>`, and a cell with
`oe.check`, which a reader without a kernel cannot run. What `check` knows is written into the page,
in base64 lest answers be read by chance; book/_static/answers.js says what `check` says.
"""

import html
import json
import re
from base64 import b64encode
from importlib.resources import files
from pathlib import Path

from docutils import nodes
from launch_links import repository
from sphinx.application import Sphinx

from olmo_explain.course import exported_exercise, exported_words

CHECK = re.compile(r'oe\.check\("(\d\d\.\d)", answer\)')
NUMBER = re.compile(r"\d+\.\d")
BELOW = (
    " ▾"  # which says in JupyterLab, where jupyterlab-myst hides the triangle, that there is more
)
OPENED = {
    "Hint 1": '<details class="oe-hint"><summary>Hint 1</summary>',
    "Hint 2": '<details class="oe-hint"><summary>Hint 2</summary>',
    "Solution": '<details class="oe-solution"><summary>Solution</summary>'
    '<div class="oe-answered"></div>',
}
EXPECTED = {
    "count": "A whole number, such as 4,096.",
    "number": "A number, such as 0.25 or 2.5e3.",
    "name": "Choose one of them.",
    "values": "The values in their order, such as 3, 4 or 32 × 128.",
    "names": "Names, with a comma between two.",
    "names in order": "The names in their order, with a comma between two.",
}
NEEDS = {"live figure": "with the live figure", "explorer": "with the explorer"}
TEXT = 'name="answer" type="text" autocomplete="off" autocapitalize="off" spellcheck="false"'
RADIO = '<label><input type="radio" name="answer" value="{0}"><code>{0}</code></label>'
FEW = 4  # choices that are seen at once
SCRIPTS = ("answers.js", "exercises.js")
AFTER = """<div class="oe-progress"><span>0 of {count} right.</span>
<button type="button" disabled>Forget my answers</button></div>
<p class="oe-on-paper">Solutions: on the page.</p>
<script type="application/json" id="oe-exercises">{data}</script>"""
NO_SCRIPT = '<noscript><p class="oe-needs-script">Check needs JavaScript.</p></noscript>'


def make_cards(app: Sphinx, doctree: nodes.document) -> None:
    for raw in doctree.findall(nodes.raw):  # also of what is no exercise
        if BELOW in raw.astext():
            raw.children = [nodes.Text(raw.astext().replace(BELOW, ""))]
            raw.rawsource = raw.astext()
    cells = [cell for cell in doctree.findall(nodes.container) if _checked(cell)]
    if not cells:
        return
    section, exported = cells[0].parent, {}
    for cell in cells:
        name = _checked(cell)
        exercise = exported_exercise(name)
        if exercise["kind"] != "tensor":
            exported[name] = exercise
        _make_card(app, cell, name, exercise)
    written = json.dumps(exported, ensure_ascii=False, allow_nan=False)
    data = {"data": exported_words(), "exercises": b64encode(written.encode()).decode()}
    inside = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("</", r"<\/")
    last = max(at for at, node in enumerate(section) if node.astext() == "</section>")
    section.insert(last + 1, _raw(AFTER.format(count=len(exported), data=inside)))
    for part in files("olmo_explain.course.chapters").iterdir():
        app.env.note_dependency(str(Path(str(part))))


def _checked(node: nodes.Node) -> str | None:
    """The exercise that a cell checks, before a reader has put an answer in."""
    if getattr(node, "get", {}.get)("nb_element") != "cell_code":
        return None
    found = CHECK.search(node.astext())
    return found[1] if found else None


def _make_card(app: Sphinx, cell: nodes.container, name: str, exercise: dict) -> None:
    section = cell.parent
    end = section.index(cell)
    begin = max(at for at in range(end) if _number(section[at]))
    number = _number(section[begin])
    question = section[begin]
    question.remove(next(question.findall(nodes.strong)))
    parts = section[begin:end]
    first = next(at for at, part in enumerate(parts) if part.astext().startswith("<details"))
    asked, folds = parts[:first], parts[first:]
    for fold in folds:
        summary = re.match(r"<details><summary>(.*)</summary>", fold.astext())
        if isinstance(fold, nodes.raw) and summary:
            fold.children = [nodes.Text(OPENED[summary[1]])]
    if exercise["kind"] == "tensor":
        field = [_raw(_in_lab(app, app.env.docname)), _without_output(cell)]
    else:
        field = [_raw(_field(name, exercise))]
    needs = next((said for word, said in NEEDS.items() if word in asked[0].astext()), "")
    card = [_raw(_head(name, number, needs)), *asked, *field, *folds, _raw("</section>")]
    if not any(part.astext() == NO_SCRIPT for part in section[:begin]):
        card.insert(0, _raw(NO_SCRIPT))
    section[begin : end + 1] = card


def _number(node: nodes.Node) -> str | None:
    """Of the exercise that a paragraph begins: 5.1."""
    if not isinstance(node, nodes.paragraph):
        return None
    first = next((part for part in node if part.astext()), None)
    is_number = isinstance(first, nodes.strong) and NUMBER.fullmatch(first.astext())
    return first.astext() if is_number else None


def _without_output(cell: nodes.container) -> nodes.container:
    for part in list(cell.children):
        if part.get("nb_element") == "cell_code_output":
            cell.remove(part)
    return cell


def _raw(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


def _head(name: str, number: str, needs: str) -> str:
    id = f"exercise-{name.replace('.', '-')}"
    return (
        f'<section class="oe-exercise" data-exercise="{name}" aria-labelledby="{id}">'
        f'<div class="oe-exercise-head"><h3 id="{id}">Exercise {number}</h3>'
        f"<span>{needs}</span></div>"
    )


def _field(name: str, exercise: dict) -> str:
    kind, id = exercise["kind"], f"answer-{name.replace('.', '-')}"
    has_names = kind == "values" and all(isinstance(each, str) for each in exercise["right"])
    width, expected = ("names", "names in order") if has_names else (kind, kind)
    choices = [html.escape(choice) for choice in exercise["choices"]]
    label = f'<label for="{id}">Your answer</label>'
    if 0 < len(choices) <= FEW:
        radios = "".join(RADIO.format(choice) for choice in choices)
        field = f'<fieldset><legend>Your answer</legend><div class="oe-choices">{radios}</div>'
        field += "</fieldset>"
    elif choices:
        options = "".join(f"<option>{choice}</option>" for choice in choices)
        field = f'{label}<select id="{id}" name="answer"><option value="">…</option>{options}'
        field += "</select>"
    else:
        keys = ' inputmode="numeric"' if kind == "count" else ""
        field = f'{label}<span class="oe-{width}"><input id="{id}"{keys} {TEXT}>{exercise["unit"]}'
        field += "</span>"
    return (
        f'<form class="oe-answer"><div class="oe-field">{field}</div>'
        '<button type="submit">Check</button></form>'
        f'<div class="oe-said" role="status">{EXPECTED[expected]}</div>'
    )


def _in_lab(app: Sphinx, docname: str) -> str:
    source, services = repository(app), app.config.html_theme_options["launch_buttons"]
    binder = html.escape(source.binder(docname, services["binderhub_url"]))
    colab = html.escape(source.colab(docname, services["colab_url"]))
    return (
        '<p class="oe-in-lab">Its answer is a tensor. Answer it in JupyterLab: '
        f'<a href="{binder}">on Binder</a>, <a href="{colab}">in Colab</a>, '
        "or on your own machine.</p>"
    )


def add_scripts(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    if 'id="oe-exercises"' in context.get("body", ""):
        for script in SCRIPTS:
            app.add_js_file(script, defer="defer")
        app.add_css_file("exercises.css", priority=600)  # after book.css


def setup(app: Sphinx) -> dict:
    app.connect("doctree-read", make_cards)
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
