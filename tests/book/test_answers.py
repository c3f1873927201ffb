"""What a page says to an answer is what `oe.check` says, and it reads what a person types."""

import ast
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

import olmo_explain as oe
from olmo_explain.course.answers import is_array, plain, show
from olmo_explain.course.checking import all_exercises, computed, values_of
from olmo_explain.course.exported import exported_exercise, exported_words, written
from olmo_explain.course.slips import FACTORS, SAYS

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "book" / "_static"
RIGHT = {name: plain(computed(exercise.right)) for name, exercise in all_exercises().items()}
TYPED = [name for name, right in RIGHT.items() if not is_array(right)]  # the others stay cells


@pytest.fixture(scope="module")
def script(browser: Browser) -> Iterator[Page]:
    """A page with nothing but the script that answers, and all exercises."""
    page = browser.new_page()
    page.add_script_tag(path=STATIC / "answers.js")
    page.evaluate(
        "([all, data]) => Object.assign(globalThis, { all, data })",
        [{name: exported_exercise(name) for name in TYPED}, exported_words()],
    )
    yield page
    page.close()


def slightly_wrong(right: Any) -> list[Any]:
    """Answers near a right one, in each way that slips.py knows, and in some that it does not."""
    match right:
        case int() | float():
            digits = [float(f"{right:.{n}g}") for n in (1, 2, 3, 4)]
            off = [right * by for factors in FACTORS.values() for by, _ in factors]
            near = [right * (1 + by) for by in (1e-10, 5e-4, 4e-3, 0.03, 0.07)]
            other = [-right, right + 1, right - 1, 0, 1e300, math.inf, float(right)]
            return [*digits, *off, *near, *other, *([1 / right] if right else [])]
        case str():
            return [right.upper(), f" `{right}` ", f"{right}x", "nothing"]
        case tuple():
            changed = [(*right[:at], 99, *right[at + 1 :]) for at in range(len(right))]
            sizes = [right] if all(isinstance(size, int) for size in right) else []
            regrouped = [(math.prod(size), 1, 1) for size in sizes] + [
                (math.prod(s),) for s in sizes
            ]
            return [right[::-1], (1, *right), right[:1], (*right, 7), (), *changed, *regrouped,
                    ("a", None)]  # fmt: skip
        case frozenset():
            return [frozenset(list(right)[:1]), right | {"norm"}, frozenset({"norm"}),
                    frozenset({*list(right)[:1], "z", "a"}), frozenset()]  # fmt: skip
    raise TypeError(right)


def known_answers(name: str) -> list[Any]:
    """The right one, that of every misconception, and what may be typed in place of each."""
    wrong = [
        value
        for misconception in all_exercises()[name].misconceptions.values()
        for value in values_of(misconception)
    ]
    known = [RIGHT[name], *wrong]
    return [*known, *(near for value in known for near in slightly_wrong(value))]


def test_on_all_known_answers_the_page_says_what_python_says(script):
    said: dict[str, set[str]] = {"states": set(), "slips": set()}
    for name in TYPED:
        answers = known_answers(name)
        expected = [oe.check(name, answer) for answer in answers]
        found = script.evaluate(
            """([name, answers]) => answers.map((written) => {
                const answer = written === "inf" ? Infinity : oeAnswers.revived(written);
                return oeAnswers.check(all[name], answer, data);
            })""",
            [name, ["inf" if a == math.inf else written(plain(a)) for a in answers]],
        )
        for answer, python, page in zip(answers, expected, found, strict=True):
            assert page == {"state": python.state, "message": python.message}, (name, answer)
            said["states"].add(python.state)
            said["slips"] |= {slip for slip in SAYS if SAYS[slip].split("{")[0] in python.message}
        assert found[0]["state"] == "right"
    assert said["states"] == {"right", "wrong"}
    assert said["slips"] == set(SAYS)  # each slip was made


def has_float(value: Any) -> bool:
    return isinstance(value, float) or (
        isinstance(value, tuple) and any(isinstance(each, float) for each in value)
    )


def numbers_in(text: str) -> Any:
    """Of a float as it is shown: with fewer digits."""
    return ast.literal_eval(re.sub(r"(?<=\d),(?=\d{3})", "", text))


def test_what_a_person_types_is_read_as_what_python_is_given(script):
    """As a sentence shows it, and as Python writes it."""
    for name in TYPED:
        for value in (RIGHT[name], *list(slightly_wrong(RIGHT[name]))[:12]):
            python = set(value) if isinstance(value, frozenset) else value
            for text in (show(value), repr(python)):
                if value in ((), frozenset(), math.inf):
                    continue
                given = script.evaluate(
                    """([name, text]) => {
                        const answer = oeAnswers.read(text, all[name]);
                        return answer === null ? null : oeAnswers.check(all[name], answer, data);
                    }""",
                    [name, text],
                )
                shown = numbers_in(text) if has_float(value) else value
                said = oe.check(name, shown)
                assert given == {"state": said.state, "message": said.message}, (name, text)


READ = {
    "count": {
        "4,194,304": 4194304,
        "4 194 304": 4194304,
        "4\u202f194\u202f304": 4194304,
        "4_194_304": 4194304,
        " '3072' ": 3072,
        "+7": 7,
        "−3": -3,
        "2.5e3": 2500.0,
        "100,278": 100278,
        "0": 0,
        "": None,
        "many": None,
        "1 2": None,
        "1,2,3": None,
        "32 x 1024": None,
    },
    "number": {
        "0.25": 0.25,
        ".25": 0.25,
        "0,25": 0.25,
        "0,308": 0.308,
        "−0.5": -0.5,
        "1/4": 0.25,
        "-1 / 4": -0.25,
        "12 %": 0.12,
        "12%": 0.12,
        "2.5e-3": 0.0025,
        "-2.9 × 10^37": -2.9e37,
        "-2.9 · 10³⁷": -2.9e37,
        "1*10**-3": 0.001,
        "1/2/3": None,
        "a / b": None,
        "1e": None,
    },
    "values": {
        "(32, 128)": [32, 128],
        "[32, 128]": [32, 128],
        "torch.Size": ["torch.Size"],
        "32 × 128": [32, 128],
        "32x128": [32, 128],
        "32*128": [32, 128],
        "32 128": [32, 128],
        "32,128": [32, 128],
        "4,096 × 11,008": [4096, 11008],
        "4,096, 11,008": [4096, 11008],
        "(2,)": [2],
        "7.1": [7, 1],
        "layer 7, head 1": [7, 1],
        '(3, "cos")': [3, "cos"],
        "3 cos": [3, "cos"],
        "None, logits": [None, "logits"],
        "0,85; 1,13": [0.85, 1.13],
        "(0.85, 1.13)": [0.85, 1.13],
        "  ": None,
        "()": None,
    },
    "names": {
        "q_proj, k_proj": {"q_proj", "k_proj"},
        "{'q_proj', \"k_proj\"}": {"q_proj", "k_proj"},
        "q_proj k_proj": {"q_proj", "k_proj"},
        "`q_proj` and `k_proj`": {"q_proj", "k_proj"},
        "q_proj": {"q_proj"},
        ", ,": None,
    },
}


@pytest.mark.parametrize("kind", READ)
def test_how_a_text_is_read(script, kind):
    def typed(value: Any) -> Any:
        value = tuple(value) if isinstance(value, list) else value
        return written(frozenset(value) if isinstance(value, set) else value)

    found = script.evaluate(
        """([kind, texts]) => texts.map((text) => {
            const say = (value) => value instanceof Set ? { set: [...value].sort() }
                : Array.isArray(value) ? value.map(say)
                : typeof value === "bigint" ? { n: String(value) } : value;
            return say(oeAnswers.read(text, { kind, unit: "" }));
        })""",
        [kind, list(READ[kind])],
    )
    assert dict(zip(READ[kind], found, strict=True)) == {
        text: typed(value) for text, value in READ[kind].items()
    }


def test_a_unit_may_be_typed_after_a_number(script):
    for text in ("772 calls", "772calls", "772"):
        read = "([text]) => String(oeAnswers.read(text, { kind: 'count', unit: 'calls' }))"
        assert script.evaluate(read, [text]) == "772"
