"""`flops` and `trace --ops` as their users call them."""

import re

import pytest
from support.commands import answer, as_code, imports, refused, run


def test_the_reports_rows_as_macs_with_flops_beside():
    costs = answer("flops", "olmo3-7b", "--seq", "64")
    operations = {operation["name"]: operation for operation in costs["operations"]}
    assert {"name", "macs", "flops", "weight_bytes"} <= set(operations["q_proj"])
    assert operations["scores"]["macs"] == operations["apply"]["macs"] == 16_777_216
    assert operations["o_proj"]["flops"] == 2 * operations["o_proj"]["macs"] == 2 * 1_073_741_824
    assert operations["gate_proj"]["weight_bytes"] == 2 * 4096 * 11_008
    assert costs["model"]["matmul_flops"] == 2 * costs["model"]["matmul_macs"]
    layer = sum(o["macs"] for o in operations.values()) - operations["lm_head"]["macs"]
    assert costs["layer"]["matmul_macs"] == layer
    assert costs["model"]["matmul_macs"] == 32 * layer + operations["lm_head"]["macs"]
    assert set(costs["attention"]) == {"full", "causal", "windowed"}
    assert costs["crossover_seq"]["full_attention"]["full"] == 24_704
    assert costs["crossover_seq"]["sliding_attention"]["windowed"] is None


def test_decoding_and_batches():
    step = answer("flops", "olmo3-7b", "--seq", "65536", "--batch", "2", "--decode")
    assert (step["seq"], step["batch"], step["phase"]) == (65_536, 2, "decode")
    assert step["kv_cache_bytes"]["capped"] == 2 * 9.5 * 2**30
    assert step["operations"][0]["macs"] == 2 * 4096**2


def test_flops_imports_neither_torch_nor_transformers():
    assert imports(as_code("flops", "olmo3-7b", "--seq", "64")) == set()


def test_roofline_places_every_operation(monkeypatch):
    monkeypatch.setattr("olmo_explain.costs.roofline.MATRIX", 256)
    monkeypatch.setattr("olmo_explain.costs.roofline.READ_BYTES", 2**24)
    costs = answer("flops", "tiny", "--roofline")
    roofline = costs["roofline"]
    assert [place["name"] for place in roofline["operations"]] == [
        operation["name"] for operation in costs["operations"]
    ]
    assert {place["bound"] for place in roofline["operations"]} <= {"compute", "memory"}
    assert roofline["ridge"] == roofline["flops_per_second"] / roofline["bytes_per_second"]


def test_operators_and_the_sequence_that_they_make():
    ran = answer("trace", "tiny", "--ops", "--prompt", "Hello world")
    assert [operator["index"] for operator in ran["operators"]] == list(
        range(len(ran["operators"]))
    )
    product = next(o for o in ran["operators"] if o["op"] == "aten.mm.default")
    assert product["path"] == "model.layers.0.self_attn.q_proj"
    assert product["weights"] == ["model.layers.0.self_attn.q_proj.weight"]
    for layer in range(8):
        steps = {step["step"] for step in ran["sequence"] if step["layer"] == layer}
        assert steps == set(range(1, 16))
    assert "operators" not in answer("trace", "tiny")


def test_tables_for_people():
    text = run("flops", "olmo3-7b", "--seq", 64, columns=160).stdout
    for number in ("26.3 G", "windowed", "24,704", "never", "6·N·D"):
        assert number in text
    for width in (80, 160):
        text = run("trace", "tiny", "--ops", columns=width).stdout
        assert re.search(r"^ *\d+ +mm +mlp\.down_proj +weight *$", text, re.MULTILINE), text
        assert "…" not in text and "k_norm (4) →" in text


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("flops", "olmo3-8b"), "No model named 'olmo3-8b'"),
        (("flops", "tiny", "--seq", "0"), "--seq"),
        (("flops", "tiny", "--batch", "x"), "--batch"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words, complaint):
    assert complaint in refused(*words)


@pytest.mark.parametrize("seq", [1024, 1025])
def test_more_positions_than_the_model_is_made_for_are_noted(seq):
    shown = " ".join(run("flops", "tiny", "--seq", seq).stdout.split())
    assert ("made for up to 1,024 positions" in shown) == (seq > 1024)
