"""This installation: what is installed, what it has room for, and whether its OLMo 3 is right."""

import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from olmo_explain.doors import NotInstalled, is_installed
from olmo_explain.machine import memory_bytes
from olmo_explain.words import gigabytes

PACKAGES = ("olmo-explain", "torch", "transformers", "safetensors", "huggingface-hub", "anywidget")
NEEDED_MEMORY = 2 * 10**9  # bytes; the least that Binder gives, and more than any chapter's peak
NEEDED_DISK = 10**9
LIGHT = (
    "A light installation, without torch: config, flops, weights, head, diff and history work. "
    'The rest needs pip install "olmo-explain[torch]".'
)


@dataclass(frozen=True)
class Findings:
    """What there is: versions, memory and disk in bytes, the RoPE that is applied.

    `rope_regime` is None where torch or transformers is missing or cannot be imported. `problems`:
    what keeps this installation from running OLMo 3 right, a line each; `notes`: what to know
    beside that.
    """

    versions: dict[str, str]
    memory_bytes: int
    disk_bytes: int
    rope_regime: str | None
    old_config_rope_regime: str | None
    notes: list[str]
    problems: list[str]

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """As `olmo-explain doctor --json` prints it."""
        return asdict(self) | {"ok": self.ok}


def examine() -> Findings:
    """Looks at this installation, and measures which RoPE it applies."""
    memory, disk = memory_bytes(), shutil.disk_usage(Path.cwd()).free
    problems, notes = [], []
    if memory < NEEDED_MEMORY:
        problems.append(
            f"{gigabytes(memory)} of memory: the chapters need {gigabytes(NEEDED_MEMORY)}."
        )
    if disk < NEEDED_DISK:
        problems.append(
            f"{gigabytes(disk)} of free disk: building the book needs {gigabytes(NEEDED_DISK)}."
        )
    regime, wrong = measured_rope()
    old = None
    if not is_installed("torch"):  # as it may well be meant
        notes.append(LIGHT)
    elif wrong:
        problems.append(wrong)
    else:
        from olmo_explain.running import REMEDIES, old_config_rope_regime

        old = old_config_rope_regime()
        if remedy := REMEDIES.get(old):
            notes.append(
                f"{old}, for a config.json that says rope_theta outside rope_parameters and "
                f"another one than the published models: {remedy}"
            )
    return Findings(
        versions={"python": sys.version.split()[0], **_versions()},
        memory_bytes=memory,
        disk_bytes=disk,
        rope_regime=regime,
        old_config_rope_regime=old,
        notes=notes,
        problems=problems,
    )


def measured_rope() -> tuple[str | None, str | None]:
    """The regime that this installation applies, and what is wrong with it, if anything is."""
    try:
        from olmo_explain.running import REMEDIES, installed_rope_regime
    except NotInstalled as error:
        return None, str(error)
    except (ImportError, OSError, RuntimeError) as error:  # a torch without its own libraries, too
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        return None, (
            f"torch and transformers cannot be imported ({said}): install them again, "
            "pip install --force-reinstall torch transformers."
        )
    regime = installed_rope_regime()
    return regime, REMEDIES.get(regime)


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
