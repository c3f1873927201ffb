"""Every exercise: its right answer, its misconceptions, and what is said to answers of any kind."""

import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch
from support.commands import imports

import olmo_explain as oe
from olmo_explain.course.answers import plain, same, show
from olmo_explain.course.checking import Feedback, all_exercises
from olmo_explain.course.exercise import Exercise, Wrong
from olmo_explain.course.slips import find_slip
from olmo_explain.errors import UsageError

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
EXERCISES = all_exercises()
CHECKED = re.compile(r'oe\.check\("([^"]*)"')


@pytest.fixture(params=EXERCISES)
def name(request) -> str:
    return request.param


# -- each exercise --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_asks_the_exercises_of_its_chapter(path):
    cells = nbformat.read(path, as_version=4).cells
    chapter = path.name[:2]
    written = [exercise for exercise in EXERCISES if exercise.startswith(f"{chapter}.")]
    asked = [found for cell in cells for found in CHECKED.findall(cell.source)]
    assert asked == [exercise for exercise in written for _ in ("solution", "question")]
    assert 3 <= len(written) <= 5


def test_the_right_answer_passes(name):
    feedback = oe.check(name, EXERCISES[name].right())
    assert feedback, feedback
    assert feedback.message.startswith(show(plain(EXERCISES[name].right())))


def test_each_misconception_is_named(name):
    """Its value is not the right one, and brings its own feedback and no other's."""
    misconceptions = EXERCISES[name].misconceptions
    assert len(misconceptions) >= 2
    for message, wrong in misconceptions.items():
        feedback = oe.check(name, wrong.value())
        assert not feedback.ok
        assert feedback == Feedback(name, "wrong", message)


def may_stand_in_a_sentence(right: object) -> bool:
    return isinstance(right, int | float) and abs(right) < 1000


def test_no_feedback_gives_the_answer_away():
    answers = {name: plain(exercise.right()) for name, exercise in EXERCISES.items()}
    telling = {n: right for n, right in answers.items() if not may_stand_in_a_sentence(right)}
    assert len(telling) > len(answers) / 2
    for name, right in telling.items():
        exercise = EXERCISES[name]
        answer = re.compile(rf"(?<!\w)({re.escape(str(right))}|{re.escape(show(right))})(?!\w)")
        said = [exercise.question, exercise.hint, *exercise.wrong]
        assert [sentence for sentence in said if answer.search(sentence)] == [], name


def test_what_is_said_is_said_well(name):
    exercise = EXERCISES[name]
    sentences = [exercise.hint, *exercise.wrong]
    sentences += [exercise.shows] if exercise.shows else []
    for sentence in sentences:
        assert sentence[0].isupper() or sentence[0] in "`√½[0123456789", sentence
        assert sentence[-1] in ".?", sentence
        assert sentence.count("`") % 2 == 0, sentence
        assert "\n" not in sentence and "  " not in sentence, sentence
    assert exercise.question[-1] not in ".?"


class Hostile:
    """Everything that one can ask of it raises."""

    __hash__ = None

    def __eq__(self, other):
        raise RuntimeError

    def __bool__(self):
        raise RuntimeError

    def __repr__(self):
        raise RuntimeError

    def __getattr__(self, name):
        raise ValueError


ENDLESS: list = []
ENDLESS.append(ENDLESS)

ODD = {
    "None": None,
    "text": "four",
    "no text": "",
    "nan": float("nan"),
    "infinity": float("inf"),
    "larger than any float": 10**400,
    "complex": 1 + 2j,
    "bytes": b"1",
    "function": print,
    "class": Exception,
    "module": torch.nn.Linear(2, 2),
    "hostile": Hostile(),
    "object": object(),
    "generator": (number for number in [1]),
    "endless list": ENDLESS,
    "ragged list": [[1, 2], [3]],
    "nothing": [],
    "dict": {"a": 1},
    "set": {1, "a"},
    "slice": slice(1, 2),
    "numpy text": np.array(["a", "b"]),
    "numpy objects": np.array([None, print]),
    "tensor": torch.zeros(3, 5),
    "tensor of no numbers": torch.zeros(0),
    "meta tensor": torch.zeros(128, device="meta"),
    "meta number": torch.zeros(1, device="meta"),
    "sparse": torch.zeros(3).to_sparse(),
    "complex tensor": torch.zeros(128, dtype=torch.complex64),
    "with a gradient": torch.zeros(128, requires_grad=True),
    "huge tensor": torch.zeros(1).expand(2**36),
    "huge array": np.broadcast_to(np.zeros(1), 2**36),
}


def test_an_odd_answer_gets_one_helpful_line(name):
    for kind, odd in ODD.items():
        feedback = oe.check(name, odd)
        assert not feedback, kind
        assert len(feedback.message) > 10 and "\n" not in repr(feedback), kind
        assert feedback._repr_html_()


def test_no_answer_is_not_a_wrong_one(name):
    feedback = oe.check(name, ...)
    assert (feedback.state, feedback.ok) == ("open", False)
    assert repr(feedback) == f"{name} Not answered yet: replace `...` by your answer."


# -- the frame ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unknown", "near"),
    [
        ("05.9", "05.1, 05.2, 05.3"),
        ("5.x", "05.1, 05.2, 05.3"),
        ("99.1", "."),
        ("attention", "."),
        ("", "."),
        (None, "."),
        (5, "05.1, 05.2, 05.3"),
    ],
)
def test_an_unknown_exercise_is_one_line_with_near_ids(unknown, near):
    with pytest.raises(UsageError) as error:
        oe.check(unknown, 1)
    assert str(error.value).startswith(f"There is no exercise {unknown!r}. Choose ")
    assert near in error.value.todo and "\n" not in str(error.value)
    assert set(re.findall(r"\d\d\.\d", error.value.todo)) <= set(EXERCISES)
    assert re.search(r"\d\d\.\d", error.value.todo)


def test_the_id_may_be_written_short():
    assert oe.check("5.1", ...).exercise == oe.check(" 05.1 ", ...).exercise == "05.1"


@pytest.mark.parametrize(
    ("right", "answers"),
    [
        (
            128,
            [128.0, np.int64(128), np.array([128]), torch.tensor(128), [128], "not text" and 128],
        ),
        (0.25, [0.25, 0.2501, np.float32(0.25), torch.tensor(0.25, requires_grad=True)]),
        (0.25, [torch.tensor([[0.25]], dtype=torch.bfloat16)]),
        ((2, 3), [[2, 3], torch.Size([2, 3]), np.array([2, 3]), torch.tensor([2, 3]), range(2, 4)]),
        ((2,), [2, [2], torch.Size([2])]),
        ((3, "cos"), [[3, "cos"], (np.int64(3), "COS ")]),
        ("q_proj", ["q_proj", " Q_proj", "`q_proj`", ["q_proj"]]),
        ("bfloat16", [torch.bfloat16, "bfloat16"]),
        ("float32", [np.dtype("float32"), torch.float32]),
        ({"a", "b"}, [{"a", "b"}, ["b", "a"], ("a", "b", "b"), {"a": 1, "b": 2}.keys()]),
        (torch.arange(4.0), [np.arange(4), torch.arange(4), torch.arange(4).bfloat16()]),
        (np.eye(2), [torch.eye(2), np.eye(2, dtype=bool)]),
    ],
)
def test_one_answer_in_many_types(right, answers):
    for answer in answers:
        assert same(plain(right), plain(answer)), answer


@pytest.mark.parametrize(
    ("right", "answers"),
    [
        (1, [True, "1", 1.0000001, (1, 1), None]),
        (0, [False, 1e-9, ()]),
        (0.25, [0.2503, "0.25", float("nan")]),
        ((2, 3), [(3, 2), (2, 3, 1), {2, 3}, torch.zeros(2, 3)]),
        ("q_proj", ["q", "k_proj", {"q_proj": 1}]),
        ({"a"}, [{"a", "b"}, [], "b"]),
        (torch.arange(4.0), [torch.arange(4.0) + 1e-6, [0, 1, 2, 3], torch.arange(4.0)[None]]),
    ],
)
def test_what_is_not_the_same(right, answers):
    for answer in answers:
        assert not same(plain(right), plain(answer)), answer


def test_a_tolerance_of_an_array_is_a_share_of_its_largest_number():
    right = torch.tensor([0.0, 100.0])
    assert same(right, right + 0.9, tolerance=0.01)
    assert not same(right, right + 1.1, tolerance=0.01)


ROWS = torch.arange(6.0).view(2, 3)


@pytest.mark.parametrize(
    ("right", "answer", "said"),
    [
        (128, None, "That is None"),
        (128, print, "Call it"),
        (128, ROWS.numel, "Call it"),
        (128, "128", "text, in quotes. A whole number"),
        (128, True, "That is True. A whole number"),
        (128, (1, 2), "a list or tuple. A whole number"),
        (128, torch.zeros(3), "a whole tensor. A whole number"),
        (0.5, {1, 2}, "a set. A number"),
        ("q_norm", torch.nn.Identity(), "its name, in quotes"),
        ("q_proj", 3, "a whole number. A name, in quotes"),
        ((2, 3), torch.zeros(2, 3), "answer with its `.shape`"),
        ((2, 3), "2, 3", "That is text. A tuple"),
        (128, float("inf"), "no finite number"),
        (128, 256, "Too large, by a factor of 2. A number in bfloat16 has two bytes"),
        (128, 64, "Too small, by a factor of 2."),
        (128, 1024, "Too large, by a factor of 8. A byte has eight bits"),
        (0.128, 12.8, "by a factor of 100. A share"),
        (9.5, 9.5 * 2**30 / 1e9, "A GB is 1000³ bytes, a GiB is 1024³"),
        (9.5, 9.5 * 2**20 / 1e6, "A MB is 1000² bytes, a MiB is 1024²"),
        (9.5, 9.5 * 2**30, "Which unit is asked for"),
        (128, 129, "Off by one"),
        (7298011136, 7298011135, "Off by one"),
        (7298011136, 7.3e9, "Rounded, and this is a count"),
        (25_167_872, 25_165_824, "Which few are left out, or counted twice?"),
        (128, -128, "the sign is not"),
        (8.0, 0.125, "Upside down"),
        (0.1125, 0.11, "rounded too far"),
        (0.1125, 0.1117, "Near, but not it"),
        (0.75, 1.5, "Too large, by a factor of 2."),
        (128, 128_000, "or thousands, millions, billions of it?"),
        ((0.6, 0.8), torch.tensor([1.0, 0.8]), "not right yet: number 1"),
        ((2, 3), (3, 2), "in another order"),
        ((1, 32, 8), (32, 8), "an axis of size 1"),
        ((2, 8, 4), (2, 32), "As many numbers, on other axes"),
        ((2, 3), (2, 3, 7), "Not 3"),
        ((2, 3, 4), (2, 3, 5), "Of 3 values, not right yet: number 3."),
        ({"a", "b"}, {"a"}, "In part: there is more of it (1)"),
        ({"a", "b"}, ["a", "c"], "What does not belong to it: c"),
        (ROWS, (1, 2), "A tensor is asked for"),
        (ROWS, ROWS.T, "Transposed"),
        (ROWS, ROWS.flatten(), "The right numbers, but of shape (6,)"),
        (ROWS, ROWS.flatten() + 1, "has shape (6,), and another one"),
        (ROWS, torch.zeros(9), "has shape (9,), and another one"),
        (ROWS, ROWS.to("meta"), "on the meta device"),
        (ROWS, ROWS / 0, "infinite, or no numbers"),
        (ROWS, -ROWS, "the sign is not"),
        (ROWS, 2 * ROWS, "factor of two"),
        (ROWS, ROWS.clamp(max=4), "1 of 6 numbers are not right yet"),
        (torch.eye(2) + ROWS[:, :2], (torch.eye(2) + ROWS[:, :2]).T, "Transposed"),
    ],
)
def test_a_slip_is_named(right, answer, said):
    assert said in find_slip(plain(right), plain(answer), None, "bytes of a size")


def test_units_of_bytes_are_named_only_where_bytes_are_asked_for():
    ratio, near = 0.9, 0.9 * 1.0737
    assert "GiB" in find_slip(ratio, near, None, "GiB of it")
    assert "GiB" not in (find_slip(ratio, near, None, "the factor") or "")


def test_a_factor_of_two_is_of_bytes_or_of_flops():
    assert "bytes" not in find_slip(128, 256, None, "FLOPs of it")
    assert "FLOPs" in find_slip(128, 256, None, "FLOPs of it")


def test_another_head_is_told_nothing_of_the_right_one():
    said = {oe.check("11.4", place).message for place in [(0, 2), (2, 1), (7, 0), (0, 0)]}
    assert said == {"Another head is missed more. Take them all, and look for the largest loss."}


@pytest.mark.parametrize(("right", "answer"), [(128, 77), ((2, 3), (5, 7)), ({"a"}, {"b"})])
def test_what_is_no_slip_gets_the_hint(monkeypatch, right, answer):
    exercise = Exercise("a size", lambda: right, {}, "Count the rows.")
    module = SimpleNamespace(EXERCISES={"05.1": exercise})
    monkeypatch.setattr("olmo_explain.course.checking.import_module", lambda name: module)
    assert oe.check("05.1", answer) == Feedback("05.1", "wrong", "Count the rows.")


def test_a_misconception_may_have_many_values(monkeypatch):
    many = {"Even.": Wrong(lambda: 2, also=lambda: range(4, 50, 2))}
    module = SimpleNamespace(EXERCISES={"05.1": Exercise("odd", lambda: 7, many, "Odd.")})
    monkeypatch.setattr("olmo_explain.course.checking.import_module", lambda name: module)
    assert oe.check("05.1", 2).message == oe.check("05.1", 40).message == "Even."
    assert oe.check("05.1", 9).message == "Odd."
    assert "text" in oe.check("05.1", "40").message


def test_feedback_is_read_in_words_and_marks_alike():
    right, wrong = (
        Feedback("05.1", "right", "128."),
        Feedback("05.1", "wrong", "`a<b` is *not* it."),
    )
    assert (bool(right), bool(wrong)) == (True, False)
    assert repr(right) == "05.1 Right: 128."
    html = wrong._repr_html_()
    assert "<strong>05.1 Not yet:</strong> <code>a&lt;b</code> is <em>not</em> it." in html
    assert 'role="status"' in html and "currentColor" in html
    assert "✓" in right._repr_html_() and "✗" in html


def test_torch_is_loaded_only_where_it_is_needed():
    code = """if True:
        import olmo_explain as oe
        from olmo_explain.course.checking import all_exercises
        assert len(all_exercises()) > 30
        assert oe.check("01.1", 4 * oe.read_config("olmo3-7b").parameters)
        assert not oe.check("01.1", [None])
    """
    assert not {"torch", "transformers"} & imports(code)
