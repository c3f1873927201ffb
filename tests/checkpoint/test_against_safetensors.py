"""Our reader beside the official library, over random files: both open the same ones, alike."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checkpoints import framed
from support.fuzz.headers import WHOLE, compare, compare_written, damaged, tensors


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data(), tensors(), st.integers(1, 3))
def test_what_the_library_writes_is_read_as_the_library_reads_it(data, stored, shards):
    compare_written(data.draw, stored, shards)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(damaged())
def test_any_file_is_read_as_the_library_reads_it_or_refused(data):
    compare(data)


def entry(text: str, numbers: int = 8) -> bytes:
    return framed(('{"a":{"dtype":"BF16",' + text + "}}").encode()) + bytes(numbers)


U8 = {"dtype": "U8", "shape": [4], "data_offsets": [3, 7]}
OVERLAP = framed(json.dumps({"a": U8 | {"data_offsets": [0, 4]}, "b": U8}).encode()) + bytes(7)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (WHOLE, ""),
        (WHOLE[:-1], "ends at byte"),
        (entry('"shape":[4],"data_offsets":[0,8]'), ""),
        (entry('"shape":[4],"data_offsets":[0,8],"else":[1,{}]'), ""),
        (entry('"shape":[4],"data_offsets":[0,8],"else":NaN'), "not JSON"),
        (entry('"shape":[4],"data_offsets":[-0,8]'), "two offsets for tensor 'a'"),
        (entry('"shape":[4.0],"data_offsets":[0,8]'), "two offsets for tensor 'a'"),
        (entry('"shape":[4],"data_offsets":[0,8],"else":"\\ud800"'), "not JSON"),
        (entry('"shape":[4],"data_offsets":[0,8],"else":"\\ud83d\\ude00"'), ""),
        (entry('"shape":[0,8],"data_offsets":[0,0]', 0), ""),
        (OVERLAP, "'a' and 'b', which overlap"),
        (framed(b'{"__metadata__":null}'), ""),
        (framed(b'{"__metadata__":{"a":"b"}}'), ""),
        (framed(b'{"__metadata__":{"a":1}}'), "no JSON object of texts"),
        (framed(b'{"__metadata__":[]}'), "no JSON object of texts"),
        (framed(b'{"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}}') + b"12", ""),
        (framed(b'{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}') + b"12", "needs 1.5"),
        (framed(b'{"a":{"dtype":"F5","shape":[3],"data_offsets":[0,2]}}') + b"12", "dtype 'F5'"),
    ],
)
def test_both_say_the_same_of_a_header(data, says):
    said = compare(data)
    assert said if says else not said, said
    assert says in said
