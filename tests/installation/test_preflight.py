"""`doctor --workshop`: fast, with no network, and every fault that was planted is said."""

import json
import os
import shutil
import socket
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest
import torch
from support import cut_off
from support.commands import run, run_python

from olmo_explain import machine, running
from olmo_explain.checkpoint import LocalSource, preset
from olmo_explain.checkpoint import source as sources
from olmo_explain.installation import Check, preflight, run_checks
from olmo_explain.running import loading

KEYS = {"name", "ok", "required", "found", "needed", "remedy"}
SECONDS = 10


def checks() -> dict[str, Check]:
    return {check.name: check for check in run_checks()}


def said(*options: str) -> tuple[int, str]:
    ran = run("doctor", "--workshop", *options, code=None)
    return ran.code, " ".join(ran.stdout.split())  # a table breaks its lines anywhere


@pytest.fixture(scope="module")
def healthy() -> dict:
    """What the command says of this installation, with the network cut."""
    words = [sys.executable, "-m", "olmo_explain", "doctor", "--workshop", "--json"]
    before = os.times()
    ran = subprocess.run(cut_off.command(*words), capture_output=True, text=True)
    after = os.times()
    findings = json.loads(ran.stdout)
    assert ran.returncode == 0, findings["problems"]
    worked = after.children_user + after.children_system
    return findings | {"seconds": worked - before.children_user - before.children_system}


def test_a_healthy_installation_is_ready(healthy):
    assert healthy["ok"] and healthy["problems"] == []
    assert {"versions", "memory_bytes", "disk_bytes", "rope_regime"} < set(healthy)
    assert [check["name"] for check in healthy["checks"]] == list(preflight.CHECKS)
    for check in healthy["checks"]:
        assert set(check) == KEYS
        assert check["ok"] or not check["required"]
        assert bool(check["remedy"]) == (not check["ok"])


def test_it_is_fast(healthy):
    """In seconds of work: on a machine that does other things it takes longer to get them."""
    assert healthy["seconds"] < SECONDS


def test_the_bundled_model_is_verified_whole(healthy):
    (check,) = (c for c in healthy["checks"] if c["name"] == "bundled model")
    right, of = check["found"].split(" values")[0].split(" of ")
    assert right == of and int(of) > 200


# -- faults ---------------------------------------------------------------------------------------


def test_a_fault_is_exit_1_and_a_line_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr(preflight, "NEEDED_MEMORY", 10**15)
    code, text = said()
    assert code == 1
    assert "failed" in text and "needed: 1000000.0 GB" in text and "Binder or Colab" in text
    assert "Not ready: 1 to mend" in text
    code, answer = said("--json")
    findings = json.loads(answer)
    assert code == 1 and not findings["ok"]
    assert findings["problems"][0].startswith("memory: ")


def test_what_is_only_advised_is_a_warning(monkeypatch):
    def none(*_):
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", none)
    monkeypatch.setattr(preflight, "SPARE_MEMORY", 10**15)
    code, text = said()
    assert code == 0 and "warning" in text and "Ready for the workshop" in text
    found = checks()
    assert not found["browser"].ok and found["browser"].found == "none"
    assert not found["free memory"].ok and "Close other programs" in found["free memory"].remedy


def test_a_browser_in_a_terminal_is_none(monkeypatch):
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.GenericBrowser("/usr/bin/w3m"))
    assert not checks()["browser"].ok
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.GenericBrowser("firefox"))
    assert checks()["browser"].ok


def test_a_container_of_little_memory(monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    limit.write_text(f"{10**9}\n")
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    memory = checks()["memory"]
    assert not memory.ok and memory.found == "1.0 GB"
    limit.write_text("max\n")
    assert checks()["memory"].ok


@pytest.mark.parametrize("version", [1, 2])
def test_what_a_container_uses_is_not_free(monkeypatch, tmp_path, version):
    """Its use counts pages of files that it may drop: those are free."""
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    (tmp_path / "memory").mkdir()
    limit, used, account = (tmp_path / name for name in machine.CGROUP_FILES[2 - version])
    limit.write_text("1000000\n")
    used.write_text("900000\n")
    account.write_text(f"anon 5\n{'total_' * (version == 1)}inactive_file 250000\n")
    assert machine.free_memory_bytes() == 350_000
    limit.write_text("max\n")
    assert machine.free_memory_bytes() > 1_000_000


def test_a_full_disk(monkeypatch):
    monkeypatch.setattr(preflight, "DISK", 10**18)
    assert not checks()["disk"].ok


class Ports(tuple):
    """What `PORTS` is, a range, of ports that need not follow one another."""

    start, stop = property(min), property(lambda ports: max(ports) + 1)


def test_ports_that_are_taken(monkeypatch):
    with socket.socket() as first, socket.socket() as second:
        for taken in (first, second):
            taken.bind(("127.0.0.1", 0))
        ports = Ports((first.getsockname()[1], second.getsockname()[1]))
        monkeypatch.setattr(preflight, "PORTS", ports)
        found = checks()["port"]
        assert not found.ok and "jupyter server stop" in found.remedy
        second.close()  # one that is free is enough
        assert checks()["port"].found == f"{ports[1]} is free"


def test_a_firewall_between_jupyterlab_and_the_browser(monkeypatch):
    def blocked(*_, **__):
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", blocked)
    port = checks()["port"]
    assert not port.ok and "firewall" in port.remedy


def test_a_package_that_is_missing_or_old(monkeypatch):
    real = preflight.version

    def version(name: str) -> str:
        if name == "jupyterlab":
            raise preflight.PackageNotFoundError(name)
        return "4.40.0" if name == "transformers" else real(name)

    monkeypatch.setattr(preflight, "version", version)
    found = checks()
    assert found["lab"].found == "jupyterlab is missing"
    assert found["packages"].found == "transformers is 4.40.0"
    assert "transformers >=" in found["packages"].needed
    assert "pip install" in found["packages"].remedy and not found["packages"].ok


def test_a_python_that_is_too_old(monkeypatch):
    monkeypatch.setattr(sys, "version", "3.9.2 (main)")
    assert not checks()["python"].ok


def test_a_front_end_that_is_not_where_jupyterlab_looks(monkeypatch, tmp_path):
    import jupyter_core.paths

    (tmp_path / "jupyterlab-myst").mkdir()
    monkeypatch.setattr(jupyter_core.paths, "jupyter_path", lambda *_: [str(tmp_path)])
    found = checks()["front ends"]
    assert not found.ok and "anywidget is missing" in found.found
    assert "myst" not in found.found and "anywidget jupyterlab_widgets" in found.remedy


def test_a_kernel_of_another_python(monkeypatch, tmp_path):
    kernel = tmp_path / "kernels" / "python3"
    kernel.mkdir(parents=True)
    other = tmp_path / "python"
    other.touch()
    spec = {"argv": [str(other), "-m", "ipykernel_launcher"], "display_name": "P", "language": "p"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    found = checks()["kernel"]
    assert not found.ok and str(other) in found.found and str(kernel) in found.remedy


def test_a_folder_that_cannot_be_written(monkeypatch, tmp_path):
    monkeypatch.setattr(preflight, "_writable", lambda folder: folder != Path.cwd())
    found = checks()["writing"]
    assert not found.ok and str(Path.cwd()) in found.found
    monkeypatch.undo()
    (tmp_path / "file").touch()
    assert not preflight._writable(tmp_path / "file" / "below")


def test_where_the_notebooks_are(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    none = checks()["notebooks"]
    assert not none.ok and not none.required and "offline zip" in none.remedy
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_config.ipynb").touch()
    assert checks()["notebooks"].found == f"1 in {tmp_path / 'notebooks'}"


def test_a_bundled_model_that_is_cut_short(monkeypatch, tmp_path):
    broken = tmp_path / "tiny"
    shutil.copytree(preset("tiny").directory, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    local = LocalSource(broken, "tiny")
    monkeypatch.setattr(sources, "preset", lambda name: local if name == "tiny" else preset(name))
    found = checks()["bundled model"]
    assert not found.ok and "CheckpointError" in found.found


def test_an_implementation_that_computes_something_else(monkeypatch):
    def changed(*arguments):
        model, tokenizer = loading.load(*arguments)
        with torch.no_grad():
            model.model.norm.weight.mul_(2)
        return model, tokenizer

    monkeypatch.setattr(running, "load", changed)
    found = checks()["bundled model"]
    assert not found.ok and " of 211 values are right" in found.found


def test_the_wrong_rope(monkeypatch):
    wrong = ("yarn-everywhere", "transformers stretches every layer: install another.")
    monkeypatch.setattr(preflight, "measured_rope", lambda: wrong)
    found = checks()["rope"]
    assert not found.ok and found.required and found.found == "yarn-everywhere"
    assert said()[0] == 1


def test_of_a_broken_torch_doctor_still_speaks(tmp_path):
    """In a Python of its own, where importing torch fails as without the libraries it links."""
    (tmp_path / "torch.py").write_text("raise OSError('libtorch.so: cannot open shared object')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "sys.argv = ['olmo-explain', 'doctor', *sys.argv[1:], '--json']\n"
        "from olmo_explain.terminal import main; main()"
    )
    for options in ([], ["--workshop"]):
        findings = json.loads(run_python("-c", code, *options, code=1).stdout)
        assert findings["rope_regime"] is None
        assert any("cannot be imported" in problem for problem in findings["problems"])


def test_a_check_that_breaks_has_failed(monkeypatch):
    def broken(name: str) -> Check:
        raise RuntimeError("no luck\nat all")

    monkeypatch.setitem(preflight.CHECKS, "disk", broken)
    found = checks()["disk"]
    assert not found.ok and found.found == "RuntimeError: no luck"
