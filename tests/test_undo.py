"""What is put in place comes off: at an interrupt before any bytecode, in any order, when freed."""

import pytest
from support.fuzz.interrupts import interrupted_at

from olmo_explain import undo as room
from olmo_explain.undo import Undo


class Place:
    """What things are put in: a dict, and one that several share."""

    def __init__(self):
        self.own, self.shared = {"colour": "green"}, {}

    @property
    def is_clean(self) -> bool:
        clean = self.own == {"colour": "green"} and not self.shared
        return clean and not room.LOCK.locked() and not room._shared

    def begin(self, undo: Undo) -> dict:
        undo.put(self.own, "colour", "red")
        undo.put(self.own, object(), "new")
        return self.share(undo)

    def share(self, undo: Undo) -> dict:
        return undo.hold("shared", self.begin_shared)

    def begin_shared(self, undo: Undo) -> dict:
        undo.put(self.shared, "all", True)
        return self.shared


def test_an_interrupt_before_any_bytecode_leaves_nothing():
    place = Place()

    def use() -> None:
        with Undo(place.begin), Undo(place.share):
            assert place.own["colour"] == "red" and place.shared

    bytecode = 0
    while interrupted_at(bytecode, use):
        assert place.is_clean, bytecode
        bytecode += 1
    assert place.is_clean
    assert bytecode > 300  # how many there are depends on the release of Python


def test_what_several_hold_stays_for_the_last():
    place = Place()
    first, second = Undo(place.share), Undo(place.share)
    assert first.__enter__() is second.__enter__()
    first.close()
    assert place.shared == {"all": True}
    second.close()
    assert place.is_clean


def test_an_error_on_the_way_in_takes_off_what_was_put_on():
    place = Place()

    def fail(undo: Undo) -> None:
        place.begin(undo)
        raise ValueError

    with pytest.raises(ValueError), Undo(fail):
        pytest.fail("the block began")
    assert place.is_clean


def test_what_is_freed_is_closed_and_what_is_closed_twice_is_closed_once():
    place = Place()
    forgotten = Undo(place.begin)
    forgotten.__enter__()
    del forgotten
    assert place.is_clean
    closed: list[int] = []
    twice = Undo(lambda undo: undo.later(closed.append, 1))
    twice.__enter__()
    twice.close()
    twice.close()
    assert closed == [1]
