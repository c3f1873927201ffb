"""The θ that a config.json asks for, and the one that each layer type gets."""

import copy
import logging
import warnings

import pytest
import torch
from support import old_configs
from support.commands import answer, run
from support.random_olmo import FULL, SLIDING, build, default_rope, olmo2, olmo3, yarn

import olmo_explain as oe
from olmo_explain.running import (
    REMEDIES,
    installed_rope_regime,
    measure_rope,
    old_config_rope_regime,
    rope_regime,
)

IDS = [[1, 2, 3, 4, 5, 6, 7, 8]]


@pytest.fixture
def old(tmp_path):
    """`tiny`, its config.json in the old form: θ is 10,000, and transformers' default 500,000."""
    return old_configs.tiny_with(tmp_path / "old", old_configs.without_rope_parameters)


@pytest.fixture
def transformers_says():
    """What transformers logs as a warning, in whatever way its user has set it to."""
    said = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = said.append
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    yield said
    logger.setLevel(level)
    logger.removeHandler(handler)


def loaded(directory, dtype="float32"):
    """A model, and what was said while it was loaded."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model, _ = oe.load(directory, dtype)
    return model, [str(warning.message) for warning in said]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_load_warns_in_one_line_and_the_proof_fails(old, dtype):
    model, said = loaded(old, dtype)
    assert said == [REMEDIES["theta-lost"]] and "\n" not in said[0]
    assert "olmo-explain config MODEL --json" in said[0]
    checked = oe.verify(model, IDS)
    assert not checked.ok
    assert checked.rope.regime == "theta-lost"
    assert (checked.rope.sliding_theta, checked.rope.full_theta) == (500_000, 10_000)
    assert checked.first_difference.name in ("cos", "sin")
    assert "500,000" in checked.cause and "10,000" in checked.cause


def test_a_copy_of_the_model_is_known_too(old):
    model, _ = loaded(old)
    assert rope_regime(copy.deepcopy(model)) == "theta-lost"


def test_rounded_frequencies_are_no_other_theta(old):
    model, _ = loaded(old)
    assert rope_regime(model.to(torch.bfloat16)) == "theta-lost"
    right, _ = oe.load("tiny", "float32")
    assert rope_regime(right.to(torch.bfloat16)) == "per-layer"


def test_verify_names_it_and_says_what_to_do(old):
    found = answer("verify", old, code=1)
    assert found["rope"]["regime"] == "theta-lost" and found["remedy"] == REMEDIES["theta-lost"]
    assert REMEDIES["theta-lost"].split(":")[0] in " ".join(
        run("verify", old, code=1).stdout.split()
    )


def test_doctor_tells_what_becomes_of_an_old_config():
    assert installed_rope_regime() == "per-layer"
    assert old_config_rope_regime() == "theta-lost"
    found = answer("doctor")
    assert found["ok"] and not found["problems"]
    assert found["old_config_rope_regime"] == "theta-lost"
    (note,) = found["notes"]
    assert note.startswith("theta-lost, for a config.json") and REMEDIES["theta-lost"] in note
    assert "theta-lost" in run("doctor").stdout


def test_what_the_remedy_says_mends_it(old, tmp_path, transformers_says):
    assert "prints as rope_parameters" in REMEDIES["theta-lost"]
    pasted = answer("config", old)["rope_parameters"]
    mended = old_configs.tiny_with(
        tmp_path / "mended",
        lambda fields: [
            old_configs.without_rope_parameters(fields),
            fields.update(rope_parameters=pasted),
        ],
    )
    model, said = loaded(mended)
    assert not said and not transformers_says
    assert oe.verify(model, IDS).ok
    assert answer("config", mended)["rope_parameters"] == pasted


def test_an_old_olmo_2_is_written_as_one_flat_object(transformers_says):
    fields = olmo2(rope_theta=7_000.0) | {"rope_scaling": yarn(7_000.0, truncate=False)}
    del fields["rope_parameters"]
    rope = oe.OlmoConfig.from_dict(fields)
    flat = olmo2() | {"rope_parameters": rope.rope_parameters}
    assert flat["rope_parameters"]["truncate"] is False
    assert oe.OlmoConfig.from_dict(flat).rope == rope.rope
    assert rope_regime(build(flat, torch.float32)) == "per-layer" and not transformers_says


def test_the_published_config_loses_nothing():
    model, said = loaded("olmo3-7b")  # its θ is the default
    assert not said
    assert measure_rope(model).sliding_theta == 500_000


@pytest.mark.parametrize("theta", [100.0, 2_500.0, 10_000.0, 500_000.0, 8e6])
@pytest.mark.parametrize("factor", [1.0, 1.2079441541679836])
def test_theta_is_measured_for_each_layer_type(theta, factor):
    ropes = {SLIDING: default_rope(10_000.0), FULL: yarn(theta, attention_factor=factor)}
    model = build(olmo3(head_dim=16, rope_parameters=ropes), torch.float32)
    measured = measure_rope(model)
    assert measured.regime == "per-layer"
    assert measured.sliding_theta == 10_000
    assert measured.full_theta == pytest.approx(theta, rel=1e-2)


def test_a_theta_for_each_layer_type_is_right_where_the_config_says_so(tmp_path):
    model, said = loaded(old_configs.tiny_with(tmp_path / "two", old_configs.with_two_thetas))
    assert not said
    assert oe.verify(model, IDS).ok


def test_a_head_with_one_pair_tells_no_theta():
    measured = measure_rope(build(olmo3(head_dim=2), torch.float32))
    assert measured.regime == "per-layer"
    assert measured.sliding_theta is measured.full_theta is None


def test_the_old_key_is_not_blamed_on_releases_that_did_not_write_it(tmp_path):
    directory = old_configs.tiny_with(tmp_path / "older", old_configs.with_the_old_key)
    model, said = loaded(directory)
    assert rope_regime(model) == "yarn-lost"
    assert said == [REMEDIES["yarn-lost"]] and "old key `type`" in said[0]


def test_yarn_by_mscale_is_what_transformers_applies(tmp_path):
    directory = old_configs.tiny_with(tmp_path / "mscale", old_configs.with_mscale)
    expected = (0.15 * torch.log(torch.tensor(8.0)) + 1) / (0.05 * torch.log(torch.tensor(8.0)) + 1)
    said = oe.read_config(directory).rope["full_attention"].attention_factor
    assert said == pytest.approx(expected.item(), rel=1e-6)
    model, warned = loaded(directory)
    assert not warned
    assert oe.verify(model, IDS).ok


def test_angles_with_two_readings_are_those_of_the_theta_that_was_meant():
    """A single pair that turns slower: YaRN's work, or another θ's."""
    slower = yarn(100.0, factor=1.5, attention_factor=1.0, original_max_position_embeddings=8)
    ropes = {SLIDING: default_rope(100.0), FULL: slower | {"beta_fast": 4}}
    measured = measure_rope(build(olmo3(head_dim=4, rope_parameters=ropes), torch.float32))
    assert measured.regime == "per-layer"
    assert measured.sliding_theta == measured.full_theta == 100
