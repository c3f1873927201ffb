"""Tables as HTML and as text."""

import time

from olmo_explain.figures import table


def test_html_aligns_numbers_and_escapes_text():
    page = table([("<q>", 4096, True), ("k", None, False)], ["a & b", "n", "ok"], "C")._repr_html_()
    assert '<th scope="row">&lt;q&gt;</th>' in page and "a &amp; b" in page
    assert "<td>yes</td>" in page
    assert "<caption>C</caption>" in page


def test_whole_columns_of_numbers_are_aligned_right():
    page = table([("a", 1), ("b", 20_000)], ["x", "n"], "C")._repr_html_()
    assert '<th scope="col" class="oe-number">n</th>' in page and ">20,000</td>" in page


def test_a_gap_stands_where_the_numbers_stand():
    page = table([("a", 1), ("b", None)], ["x", "n"], "C")._repr_html_()
    assert '<td class="oe-number">–</td>' in page


def test_text_is_aligned():
    rows = [("q_proj", (4096, 128), 1.5), ("o", (1,), 14.5625)]
    assert table(rows, ["w", "s", "v"], "C").to_text().splitlines() == [
        "w       s                 v",
        "q_proj  4096 × 128   1.5000",
        "o       1           14.5625",
    ]


def test_numbers_of_a_column_stand_point_under_point():
    rows = [(0.97123456, -1.5, 1e-7, 3.3684210526315788), (0.0034, None, 102.4, 40.0)]
    first, second = (
        table(rows, ["share", "change", "apart", "time"], "C").to_text().splitlines()[1:]
    )
    assert first.split() == ["0.9712", "\u22121.5", "1e\u221207", "3.37"]
    assert second.split() == ["0.0034", "–", "102.4", "40.00"]


def test_a_number_that_has_few_digits_keeps_them():
    assert "14.5625" in table([(14.5625,), (113.77777,)], ["n"], "C").to_text()


def test_what_is_no_number_keeps_its_hyphen():
    assert "yarn-lost" in table([("yarn-lost",), (None,)], ["regime"], "C").to_text()


def test_as_many_rows_as_the_7b_has_operators_take_no_time():
    rows = [(number, "aten.mm.default", (1, 64, 4096), None) for number in range(3732)]
    started = time.process_time()
    table(rows, ["at", "operator", "output", "weights"], "Operators").to_text()
    table(rows, ["at", "operator", "output", "weights"], "Operators")._repr_html_()
    assert time.process_time() - started < 0.5


def test_no_rows_is_an_empty_table():
    assert table([], ["a"], "Nothing").to_text() == "a"
