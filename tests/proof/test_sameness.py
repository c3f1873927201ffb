"""oe.same: equal bit for bit, or where two values first differ."""

import pytest
import torch

import olmo_explain as oe
from olmo_explain.errors import UsageError

VALUE = torch.arange(6.0).view(2, 3)


def test_equal_values_say_so_and_their_shape():
    found = oe.same(VALUE, VALUE.clone())
    assert found and found.equal
    assert repr(found) == "✓ equal, bit for bit · 2 × 3"


def test_where_they_first_differ():
    other = VALUE.clone()
    other[1, 0] += 1
    other[1, 2] += 1
    found = oe.same(VALUE, other)
    assert not found
    assert "✗ 2 of 6 numbers differ, first at [1, 0]: 3, not 4 · 2 × 3" in repr(found)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (VALUE.view(3, 2), "another shape: 2 × 3, not 3 × 2"),
        (VALUE.bfloat16(), "another dtype: torch.float32, not torch.bfloat16"),
        (torch.tensor([[-0.0, 1, 2], [3, 4, 5]]), "first at [0, 0]: 0, not -0"),
    ],
)
def test_another_shape_dtype_or_sign_of_zero_is_a_difference(other, said):
    assert said in repr(oe.same(VALUE, other))


def test_a_nan_is_itself():
    nans = torch.full((2,), torch.nan)
    assert oe.same(nans, nans.clone())


def test_values_by_name_are_compared_with_theirs():
    found = oe.same({"q": VALUE, "k": VALUE + 1}, {"k": VALUE, "q": VALUE, "v": VALUE})
    assert [(value.name, value.equal) for value in found.values] == [("q", True), ("k", False)]
    page = found._repr_html_()
    assert page.count('class="oe-same"') == page.count('class="oe-differs"') == 1
    assert "<code>q</code>" in page and "✓" in page and "✗" in page


def test_those_of_a_layer_can_be_had_by_its_number():
    model, _ = oe.load("tiny", "float32")
    values = oe.run_by_hand(model, [[5, 6]])
    assert oe.same({"q": values[3, "q"]}, values[3])
    assert not oe.same({"q": values[3, "q"]}, values[2])


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ({"q": VALUE}, VALUE, "Tensor has no values by name"),
        ({"q": VALUE}, {"k": VALUE}, "There is no 'q' to compare with"),
        (VALUE, [1, 2], r"\[1, 2\] is no tensor"),
        ("q", VALUE, "'q' is no tensor"),
    ],
)
def test_what_cannot_be_compared_is_one_line(ours, theirs, said):
    with pytest.raises(UsageError, match=said):
        oe.same(ours, theirs)
