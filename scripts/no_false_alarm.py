"""Diagnoses `tiny` as right implementations run it: none of them may be called wrong.

    python -m scripts.no_false_alarm

transformers 4.57.6, 5.13.0 and the newest, eager and sdpa, and OLMo-core, each in float32 and in
bfloat16, on prompts of 3 to 200 tokens. The releases are those that `scripts/matrix.py` and
`scripts/olmo_core.py` install. Prints how much of the tolerance each took, at most, and exits with
1 where one is called wrong.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from rich.console import Console
from safetensors.torch import save_file
from scripts import matrix, olmo_core
from torch import Tensor

import olmo_explain as oe

RELEASES = ("4.57.6", "5.13.0", "newest")
ATTENTION = ("eager", "sdpa")
DTYPES = ("float32", "bfloat16")


def main() -> None:
    console, ok = Console(), True
    with tempfile.TemporaryDirectory() as place:
        for engine, dtype, paths in dumped(Path(place), console):
            found = [oe.diagnose("tiny", path, dtype=dtype) for path in paths]
            wrong = sorted({one.diagnosis for one in found if one.diagnosis})
            most = max(one.apart.most for one in found)
            share = max(one.apart.most / one.tolerance for one in found)
            said = ", ".join(wrong) or "equal"
            console.print(
                f"{engine}, {dtype}: {said}; max |Δ| {most:.2g}, {share:.0%} of what is allowed"
            )
            ok &= not wrong
    sys.exit(0 if ok else 1)


def dumped(place: Path, console: Console) -> Iterator[tuple[str, str, list[Path]]]:
    """(engine, dtype, files) of each, as they are made."""
    for release in RELEASES:
        packages = None if release == "newest" else matrix.install(release)
        for attention in ATTENTION:
            for dtype in DTYPES:
                engine = f"transformers {release}, {attention}"
                with console.status(engine):
                    words = (__file__, "--dump", str(place), attention, dtype)
                    run(sys.executable, words, packages)
                yield engine, dtype, sorted(place.glob("*.safetensors"))
    for dtype in DTYPES:
        run(olmo_core.install(), ("-P", __file__, "--olmo-core", str(place), dtype), None)
        yield f"OLMo-core {olmo_core.RELEASE}", dtype, sorted(place.glob("*.safetensors"))


def run(python: Path | str, words: tuple[str, ...], packages: Path | None) -> None:

    path = os.pathsep.join(
        filter(None, [packages and str(packages), str(matrix.ROOT), os.environ.get("PYTHONPATH")])
    )
    ran = subprocess.run(
        [python, *words],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
    )
    if ran.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{ran.stderr}")


def prompts() -> list[Tensor]:
    """Those of every other length: 200, 64, 32, 8 and 3 tokens."""
    return olmo_core.read_golden().prompts[::-2]


def dump(place: Path, model: Callable[[Tensor], Tensor]) -> None:
    for number, ids in enumerate(prompts()):
        with torch.no_grad():
            logits = model(ids)
        save_file({"ids": ids, "logits": logits.contiguous()}, place / f"{number}.safetensors")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--dump", place, attention, dtype]:
            from transformers import AutoModelForCausalLM

            model = AutoModelForCausalLM.from_pretrained(
                olmo_core.TINY, dtype=getattr(torch, dtype), attn_implementation=attention
            ).eval()
            dump(Path(place), lambda ids: model(ids, use_cache=False).logits)
        case ["--olmo-core", place, dtype]:
            model = olmo_core.build().to(getattr(torch, dtype))
            dump(Path(place), model)
        case _:
            main()
