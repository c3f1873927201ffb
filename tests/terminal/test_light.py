"""`pip install olmo-explain` alone: which commands and names work, and what the others say."""

import ast
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import Ran, run, run_python
from support.light import commands, hidden, without_extras
from support.servers import FileServer, HubServer, running

import olmo_explain as oe
from olmo_explain.checkpoint import preset
from olmo_explain.doors import EXTRAS, NotInstalled, is_installed

HOUSE = Path(oe.__file__).parent
HEAD = ("--layer", "1", "--head", "2")
INSTALL = 'This needs torch, which is not installed. Type: pip install "olmo-explain[torch]".'


def ran_light(*lines: tuple[str, ...], **environment: str) -> list[Ran]:
    said = run_python("-c", without_extras(commands(*lines)), **environment).stdout
    return [Ran(*json.loads(line)) for line in said.splitlines()]


def test_what_is_hidden_is_what_extras_bring():
    heavy = {"torch", "transformers", "jaxtyping", "IPython", "jupyter_core"}
    assert {module for module in heavy if is_installed(module)} <= hidden()
    assert not {"numpy", "rich", "requests", "huggingface_hub", "olmo_explain"} & hidden()


LIGHT = [
    ("config", "tiny"),
    ("config", "olmo3-32b", "--json"),
    ("flops", "olmo3-7b", "--seq", "4096"),
    ("weights", "tiny"),
    ("weights", "tiny", "model.norm.weight", "--json"),
    ("head", "tiny", *HEAD),
    ("head", "tiny", *HEAD, "--svd", "--json"),
    ("head", "tiny", "--all"),
    ("diff", "tiny", "tiny"),
    ("diff", "tiny", "tiny", *HEAD, "--json"),
]


def test_light_commands_say_what_they_say_with_torch():
    for words, ran in zip(LIGHT, ran_light(*LIGHT, COLUMNS="80"), strict=True):
        assert ran == run(*words), words


def test_they_read_a_directory_a_server_and_a_hub(tmp_path):
    copy, commit = tmp_path / "copy", "8" * 40
    shutil.copytree(preset("tiny").directory, copy)
    with (
        running(FileServer(copy)) as web,
        running(HubServer(copy, branches={"step1": commit, "step2": commit})) as hub,
    ):
        models = (str(copy), web.url, "someone/olmo")
        lines = [(name, model) for model in models for name in ("config", "weights", "flops")]
        lines += [("head", model, *HEAD) for model in models]
        lines += [("diff", models[0], model, *HEAD) for model in models[1:]]
        lines.append(("history", models[2], *HEAD, "--revisions", "step*", "--json"))
        kept = {"HF_ENDPOINT": hub.url, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        answers = ran_light(*lines, HF_HOME=str(tmp_path / "hub"), **kept)
    for words, ran in zip(lines, answers, strict=True):
        assert ran.code == 0 and ran.stdout, (words, ran.stderr)
    assert [it["commit"] for it in json.loads(answers[-1].stdout)["revisions"]] == [commit] * 2


def test_every_other_command_says_what_to_type(tmp_path):
    logits = tmp_path / "engine.json"
    logits.write_text('{"ids": [1, 2], "logits": [[0], [0]]}')
    golden = tmp_path / "golden.safetensors"
    lines = [
        ("trace", "tiny"),
        ("trace", "tiny", "--tp"),
        ("verify", "tiny", "--json"),
        ("golden", "tiny", "--output", str(golden)),
        ("diagnose", "tiny", str(logits)),
        ("report", "tiny", "--output", str(tmp_path / "report.md")),
        ("flops", "tiny", "--roofline"),
    ]
    for words, ran in zip(lines, ran_light(*lines), strict=True):
        assert ran == Ran(2, "", f"olmo-explain: {INSTALL}\n"), words
    assert list(tmp_path.iterdir()) == [logits]


def test_doctor_says_what_is_there_and_what_to_type():
    plain, workshop = ran_light(("doctor", "--json"), ("doctor", "--workshop", "--json"))
    found = json.loads(plain.stdout)
    assert plain.code == 0 and not plain.stderr and found["ok"] and found["problems"] == []
    assert found["rope_regime"] is None
    assert "head, diff and history work" in found["notes"][0]
    assert '"olmo-explain[torch]"' in found["notes"][0]
    found = json.loads(workshop.stdout)
    assert workshop.code == 2 and not workshop.stderr and not found["ok"]
    assert "rope: torch is missing" in " ".join(found["problems"])
    (shown,) = ran_light(("doctor", "--workshop"), COLUMNS="200")
    assert shown.stdout.count("Install again") == 1 and "as above" in shown.stdout
    assert "NotInstalled" not in shown.stdout and "ModuleNotFoundError" not in shown.stdout


LIGHT_NAMES = {
    "Checkpoint", "OlmoConfig", "check", "count_costs", "diff", "head_history", "head_norms",
    "head_slices", "head_spectra", "initial_norm", "plot_history", "read_config", "table",
    "where_we_are",
}  # fmt: skip


def test_a_name_loads_or_says_what_to_type():
    code = """
import olmo_explain as oe
from olmo_explain.costs import measure_roofline
for name in [*oe.__all__, "roofline"]:
    try: measure_roofline() if name == "roofline" else getattr(oe, name)
    except ImportError as error: print(name, error)
"""
    lines = run_python("-c", without_extras(code)).stdout.splitlines()
    said = dict(line.split(" ", 1) for line in lines)
    assert set(said) == {*oe.__all__, "roofline"} - LIGHT_NAMES
    assert set(said.values()) == {INSTALL}


@pytest.mark.skipif(not is_installed("torch"), reason="it is not there")
@pytest.mark.parametrize(("module", "extra"), [("jaxtyping", "torch"), ("jupyterlab", "lab")])
def test_where_torch_is_there_the_module_itself_is_named(module, extra):
    said = str(NotInstalled(module))
    assert f"needs {module}, which" in said and f'"olmo-explain[{extra}]"' in said


def test_a_broken_import_of_our_own_stays_what_it_is():
    code = "from olmo_explain.doors import saying_what_is_missing as s\nwith s(): import {}"
    for module, kind in (("nowhere", "ModuleNotFoundError"), ("torch", "NotInstalled")):
        ran = run_python("-c", without_extras(code.format(module)), code=1)
        assert re.search(rf"^(?:\w+\.)*{kind}: ", ran.stderr, re.MULTILINE)


def test_what_an_extra_is_said_to_bring_it_brings():
    """Each module that our code imports, and that is not there without extras, is known."""
    sources = (path.read_text(encoding="utf-8") for path in HOUSE.rglob("*.py"))
    taken = {name.partition(".")[0] for text in sources for name in imported(text)}
    known = {module for modules in EXTRAS.values() for module in modules}
    assert taken & hidden() <= known
    assert {"torch", "transformers", "jaxtyping", "anywidget", "jinja2"} <= taken & known


def imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
