"""Command lines that a person may type, and some that nobody would."""

import json
import random
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from support.checkpoints import write_random
from support.commands import Ran, run

NUMBERS = (
    "-1", "0", "1", "2", "5", "64", "-0", "1e3", "0x10", "１", " 3", "1_0", "3.5", "NaN", "inf",
    "65537", "1000000", "1000000000000", "1000000000001", str(2**63), "9" * 400, "x", "",
)  # fmt: skip
TEXTS = (
    "", " ", "Hello world", "\x1b[31mred", "\u202eback", "é", "\udcff", "[bold]", "a" * 100_000,
    "\0", "--", "-", "\n", "😀", "%s{0}", "../..", "~", "/", ".", "a/b", "a/b@c", "http://", "con",
)  # fmt: skip
IDS = ("5,6,7", "5", ",", "5,,6", "5,6,", "-1,5", "2047,2048", "１", "5 6", "5;6", "0" * 5000)
SLICES = ("0:1", "1:0", ":", "0:", ":1", "-1:", "0:1:2", "5", "a:b", f"0:{10**19}", "3:3", "١:٢")
TENSORS = (
    "model.norm.weight", "model.embed_tokens.weight", "lm_head.weight", "model.norm",
    "model.layers.1.self_attn.o_proj.weight", "model.layers.99.self_attn.o_proj.weight",
)  # fmt: skip
DTYPES = ("float32", "bfloat16", "float16", "float64", "int8", "Float32", "torch.float32")

VALUES = {
    "--seq": NUMBERS, "--batch": NUMBERS, "--layer": NUMBERS, "--head": NUMBERS,
    "--prompt-length": NUMBERS, "--prompt": TEXTS, "--ids": IDS + NUMBERS, "--rows": SLICES,
    "--cols": SLICES, "--dtype": DTYPES + TEXTS,
}  # fmt: skip
OPTIONS = {
    "config": (),
    "trace": ("--prompt", "--ids", "--prompt-length", "--ops", "--all"),
    "flops": ("--seq", "--batch", "--decode"),
    "weights": ("--rows", "--cols"),
    "head": ("--layer", "--head", "--all", "--svd"),
    "diff": ("--layer", "--head"),
    "verify": ("--dtype", "--prompt", "--ids"),
}


def case(chance: random.Random) -> str:
    """One command line: an answer, or one line that says what is wrong."""
    command, words = _line(chance)
    said = f"olmo-explain {command} {' '.join(map(repr, words))[:500]}"
    try:
        ran = run(command, *words, code=None, columns=chance.choice([80, 80, 40, 200]))
        check(ran, "--json" in words)
    except BaseException as error:
        error.add_note(said)
        raise
    return f"{command}: {ran.code}"


def check(ran: Ran, as_json: bool) -> None:
    """What every command keeps to: its exit code, where it writes, and how."""
    assert ran.code in (0, 1, 2), f"exit code {ran.code}"
    assert "Traceback" not in ran.stderr + ran.stdout
    assert not any(ord(letter) < 32 and letter != "\n" for letter in ran.stderr + ran.stdout)
    if ran.code == 2:
        assert not ran.stdout, f"stdout beside an error: {ran.stdout[:200]!r}"
        last = ran.stderr.splitlines()[-1:]
        assert last and last[0].startswith("olmo-explain: "), repr(ran.stderr[:500])
        assert len(ran.stderr) < 1500, f"{len(ran.stderr)} characters of error"
    elif as_json:
        json.loads(ran.stdout, parse_constant=_refuse)


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def _line(chance: random.Random) -> tuple[str, list[str]]:
    command = chance.choice(list(OPTIONS))
    models = ["tiny", "tiny", "tiny", "olmo3-7b", "olmo3-32b", _random_model().name]
    words = [chance.choice(models if chance.random() < 0.9 else TEXTS)]
    if command == "diff" and chance.random() < 0.9:
        words.append(chance.choice(models))
    if command == "weights" and chance.random() < 0.8:
        words.append(chance.choice(TENSORS if chance.random() < 0.8 else TEXTS))
    for option in chance.sample(
        OPTIONS[command], k=chance.randint(0, min(2, len(OPTIONS[command])))
    ):
        words.append(option)
        if option in VALUES:
            values = VALUES[option] if chance.random() < 0.9 else TEXTS
            words.append(chance.choice(values))
    if chance.random() < 0.05:
        words.append(chance.choice(TEXTS))
    if chance.random() < 0.6:
        words.append("--json")
    return command, words


@cache
def _random_model() -> TemporaryDirectory:
    """Written once, and gone with this process."""
    directory = TemporaryDirectory(prefix="olmo-explain-")
    write_random(Path(directory.name), shards=2)
    return directory
