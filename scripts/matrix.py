"""Verifies OLMo 3 on five releases of transformers, then on OLMo-core, AI2's own code.

Releases 5.0 to 5.12 scale every layer's RoPE. Newer ones apply the rope_theta of a config.json in
the old form, as 4.57 and OLMo-core write it, in full-attention layers only.

Each release is installed into a directory of its own under build/matrix and put in front of this
environment's packages; torch and olmo_explain are this environment's. About 120 MB a release, from
the package index that pip is set up with. `scripts/olmo_core.py` does the last part. Exits with 1
when one of them does not do what is expected.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from olmo_explain.checkpoint import preset

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "build" / "matrix"
DTYPES = ("float32", "bfloat16")
SAVED_BY, SAVED = "5.12.1", PLACE / "saved by 5.12.1"
OLD_FORM = PLACE / "old form"
EXPECTED = {
    "4.57.6": {"tiny": "per-layer", OLD_FORM: "per-layer"},
    "5.0.0": {"tiny": "yarn-everywhere"},
    "5.12.1": {"tiny": "yarn-everywhere"},
    "5.13.0": {"tiny": "per-layer", OLD_FORM: "theta-lost"},
    "newest": {"tiny": "per-layer", OLD_FORM: "theta-lost", SAVED: "yarn-lost"},
}
"""By release and model, the regime that `olmo-explain verify` has to find."""


@dataclass(frozen=True)
class Row:
    """What one release did with one model."""

    model: str
    expected: str
    measured: dict[str, Any]
    verdicts: dict[str, dict[str, Any]]
    """By dtype: exit code, regime, and the first difference, of `olmo-explain verify`."""
    calls_of_7b: int
    """All module calls of a forward pass, of `olmo-explain trace olmo3-7b`."""

    @property
    def ok(self) -> bool:
        right = self.expected == "per-layer"
        # One rotary call for all layers, or one for each of the two layer types.
        calls = 388 if self.expected == "yarn-everywhere" else 389
        return self.calls_of_7b == calls and all(
            verdict["regime"] == self.expected and verdict["exit"] == (0 if right else 1)
            for verdict in self.verdicts.values()
        )


def main() -> None:
    console, rows = Console(), []
    console.width = max(console.width, 145)  # the table's, also where the output is a file
    write_old_form()
    for release, models in EXPECTED.items():
        with console.status(f"transformers {release}"):
            packages = install(release)
            if release == SAVED_BY:
                python(packages, "--save", check=True)
            for model, expected in models.items():
                rows.append(examine(packages, str(model), expected))
    console.print(table(rows))
    for row in rows:
        for dtype, verdict in row.verdicts.items():
            if verdict["first"]:
                console.print(
                    f"{row.measured['transformers']}, {row.model}, {dtype}: {verdict['first']}"
                )
    authority = subprocess.run([sys.executable, ROOT / "scripts" / "olmo_core.py"])
    sys.exit(0 if all(row.ok for row in rows) and authority.returncode == 0 else 1)


def write_old_form() -> None:
    """tiny with a config.json that says rope_theta and rope_scaling, and no rope_parameters."""
    shutil.copytree(preset("tiny").directory, OLD_FORM, dirs_exist_ok=True)
    fields = json.loads((OLD_FORM / "config.json").read_text())
    del fields["rope_parameters"]
    (OLD_FORM / "config.json").write_text(json.dumps(fields, indent=2))


def install(release: str) -> Path:
    """The directory that holds this release and all it needs but torch."""
    packages = PLACE / release
    done = packages / ".done"
    if release == "newest" or not done.exists():
        shutil.rmtree(packages, ignore_errors=True)
        wanted = "transformers" if release == "newest" else f"transformers=={release}"
        pip = [sys.executable, "-m", "pip", "install", "--no-compile", "--target", packages]
        # pip compares with this environment's packages too, and warns of conflicts that are none.
        ran = subprocess.run([*pip, wanted], capture_output=True, text=True)
        if ran.returncode:
            sys.exit(f"{wanted} could not be installed:\n{ran.stderr}")
        done.touch()
    return packages


def examine(packages: Path, model: str, expected: str) -> Row:
    measured = json.loads(python(packages, "--measure", model, check=True).stdout)
    verdicts = {}
    for dtype in DTYPES:
        ran = python(packages, "-m", "olmo_explain", "verify", model, "--dtype", dtype, "--json")
        if ran.returncode not in (0, 1) or not ran.stdout:
            sys.exit(f"transformers {packages.name} could not verify {model}:\n{ran.stderr}")
        found = json.loads(ran.stdout)
        first = found["first_difference"]
        verdicts[dtype] = {
            "exit": ran.returncode,
            "regime": found["rope"]["regime"],
            "equal": sum(step["equal"] for step in found["steps"]),
            "steps": len(found["steps"]),
            "first": first
            and f"layer {first['layer']}, step {first['step']}, {first['name']}: {found['cause']}",
        }
    return Row(Path(model).name, expected, measured, verdicts, calls_of_7b(packages))


@cache
def calls_of_7b(packages: Path) -> int:
    traced = python(packages, "-m", "olmo_explain", "trace", "olmo3-7b", "--json", check=True)
    return json.loads(traced.stdout)["total"]


def python(packages: Path, *words: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    """Runs this Python with the release in front of everything else."""
    script = [] if words[0] == "-m" else [__file__]
    path = os.pathsep.join(filter(None, [str(packages), os.environ.get("PYTHONPATH")]))
    ran = subprocess.run(
        [sys.executable, *script, *words],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
    )
    if check and ran.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{ran.stderr}")
    return ran


def table(rows: list[Row]) -> Table:
    shown = Table(title="OLMo 3 on releases of transformers, and values equal by dtype")
    for name in ("release", "model", "modules, calls", "sliding cos, θ", "full cos, θ", "regime"):
        shown.add_column(name)
    for name in (*DTYPES, "calls, 7B", "expected"):
        shown.add_column(name, justify="right")
    for row in rows:
        measured = row.measured
        shown.add_row(
            measured["transformers"],
            row.model,
            f"{measured['modules']}, {measured['calls']}",
            f"{measured['sliding_cos']:.4f}, {measured['sliding_theta']:,.0f}",
            f"{measured['full_cos']:.4f}, {measured['full_theta']:,.0f}",
            measured["regime"],
            *(f"{verdict['equal']}/{verdict['steps']}" for verdict in row.verdicts.values()),
            str(row.calls_of_7b),
            "yes" if row.ok else "NO",
        )
    return shown


# -- what runs with each release ------------------------------------------------------------------


def measure(model: str) -> dict[str, Any]:
    """Rotary modules, their calls in one forward pass, and the RoPE that the layers are handed."""
    import torch
    import transformers

    from olmo_explain.checkpoint import read_config
    from olmo_explain.running import load, measure_rope

    loaded, _ = load(model)
    rotary = [module for module in loaded.modules() if "Rotary" in type(module).__name__]
    calls = []
    for module in rotary:
        module.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        loaded(torch.tensor([[1, 2]]), use_cache=False)
    called = len(calls)
    rope = measure_rope(loaded, read_config(model))
    return {
        "transformers": transformers.__version__,
        "modules": len(rotary),
        "calls": called,
        **asdict(rope),
    }


def save() -> None:
    """tiny as this release writes it."""
    from olmo_explain.running import load

    model, tokenizer = load("tiny")
    model.save_pretrained(SAVED)
    tokenizer.save_pretrained(SAVED)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--measure", model]:
            print(json.dumps(measure(model)))
        case ["--save"]:
            save()
        case _:
            main()
