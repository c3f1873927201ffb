"""Rooflines: arithmetic on a machine of known speed, and a measurement of this one."""

from contextlib import contextmanager

import pytest

from olmo_explain.checkpoint import read_config
from olmo_explain.costs import (
    LINEAR,
    Operation,
    Roofline,
    Timed,
    count_costs,
    measure_roofline,
    time_products,
)

MACHINE = Roofline("bfloat16", threads=2, flops_per_second=1e12, bytes_per_second=1e10)
SEVEN = read_config("olmo3-7b")


def test_the_ridge_is_where_both_take_as_long():
    assert MACHINE.ridge == 100
    assert MACHINE.reachable(50) == 5e11 and MACHINE.reachable(200) == 1e12


@pytest.mark.parametrize(
    ("flops", "moved", "bound", "seconds"),
    [(2e12, 1e9, "compute", 2.0), (1e9, 3e10, "memory", 3.0), (1e12, 1e10, "compute", 1.0)],
)
def test_an_operation_takes_the_longer_of_the_two(flops, moved, bound, seconds):
    operation = Operation("one", macs=0, flops=flops, weight_bytes=moved, activation_bytes=0)
    place = MACHINE.place(operation)
    assert (place.name, place.bound, place.seconds) == ("one", bound, seconds)
    assert place.intensity == flops / moved


def test_prefill_computes_and_decoding_waits():
    for decode, bound in {False: "compute", True: "memory"}.items():
        layer = count_costs(SEVEN, 512, decode=decode).layer()
        assert {MACHINE.place(layer[name]).bound for name in LINEAR} == {bound}


def test_this_machine_is_measured(monkeypatch):
    monkeypatch.setattr("olmo_explain.costs.roofline.MATRIX", 256)
    monkeypatch.setattr("olmo_explain.costs.roofline.READ_BYTES", 2**24)
    said = []

    @contextmanager
    def listen(doing: str, total: int):
        yield lambda more: said.append((more, total))

    monkeypatch.setattr("olmo_explain.costs.roofline.progress", listen)
    machine = measure_roofline("float32")
    assert machine.dtype == "float32" and machine.threads >= 1
    assert 1e7 < machine.flops_per_second < 1e15
    assert 1e7 < machine.bytes_per_second < 1e14
    assert said == [(1, len(said))] * len(said) != []
    layer = count_costs(SEVEN, 4).layer()
    result = machine.to_dict(layer.values())
    assert [place["name"] for place in result["operations"]] == list(layer)
    assert set(result["operations"][0]) == {"name", "intensity", "bound", "seconds"}


def test_a_dtype_that_is_slow_here_is_measured_on_smaller_matrices(monkeypatch):
    """A product of 2048 rows takes a minute where float16 has no instructions."""
    monkeypatch.setattr("olmo_explain.costs.roofline.READ_BYTES", 2**24)
    sizes = []

    def slow(run):
        sizes.append(run.args[0].shape[0] if hasattr(run, "args") else 0)
        return max(1e-6, sizes[-1] ** 3 * 1e-8)

    monkeypatch.setattr("olmo_explain.costs.roofline._seconds", slow)
    machine = measure_roofline("float32")
    assert max(sizes) == 256 and machine.flops_per_second == pytest.approx(2e8)
    assert sum(size**3 for size in sizes) * 1e-8 < 10


def test_products_are_timed_each_with_another_weight(monkeypatch):
    """Rates of a clock of our own: nothing here depends on how fast this machine is."""
    monkeypatch.setattr("olmo_explain.costs.roofline.MATRIX", 64)
    monkeypatch.setattr("olmo_explain.costs.roofline.READ_BYTES", 4 * 64 * 64 * 3)
    weights = []

    def a_millisecond(run):
        weights.append(id(run.args[1]))
        return 1e-3

    monkeypatch.setattr("olmo_explain.costs.roofline._seconds", a_millisecond)
    one, many = time_products("float32", rows=(1, 64))
    assert (one.rows, many.rows) == (1, 64)
    assert one.flops_per_second == pytest.approx(2 * 64 * 64 / 1e-3)
    assert many.intensity == pytest.approx(2 * 64**3 / (4 * 3 * 64 * 64))
    assert len(set(weights)) == 3 and all(map(int.__ne__, weights, weights[1:]))


def test_a_slow_product_ends_the_timing(monkeypatch):
    monkeypatch.setattr("olmo_explain.costs.roofline.MATRIX", 64)
    monkeypatch.setattr("olmo_explain.costs.roofline._seconds", lambda run: 0.5)
    assert [timed.rows for timed in time_products("float32", rows=(1, 2, 8, 64))] == [1, 2]


def test_a_roof_is_no_lower_than_what_ran_under_it():
    timed = [Timed(1, 1.0, 2e10), Timed(64, 60.0, 5e11)]
    roof = MACHINE.reaching(timed)
    assert (roof.flops_per_second, roof.bytes_per_second) == (1e12, 2e10)
    assert MACHINE.reaching([]) == MACHINE
