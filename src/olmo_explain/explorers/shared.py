"""What explorers share: their front-end files, the name of a model, and running it on a prompt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from olmo_explain.checkpoint import PRESETS, Checkpoint, Source
from olmo_explain.errors import UsageError
from olmo_explain.figures import LOOK
from olmo_explain.words import quoted

if TYPE_CHECKING:  # explorers that read only config.json or weights do not wait for torch
    from jaxtyping import Int
    from torch import Tensor
    from transformers import PreTrainedModel


TRAIT = re.compile(r"The (?:value of the )?'(\w+)' trait of an? \w+ instance")


class Explorer(anywidget.AnyWidget):
    """What all explorers are. UsageError where one is made with a state that it does not take."""

    in_page = traitlets.Bool(False, help="whether a page of the book has this model").tag(sync=True)

    def __init__(self, **state):
        try:
            super().__init__(**state)
        except traitlets.TraitError as error:
            raise UsageError(TRAIT.sub(r"\1", str(error)), "Give another value") from None
        self.on_msg(self._answer)

    def _answer(self, widget: anywidget.AnyWidget, message: dict, buffers: list) -> None:
        """Who computes what a reader asks for: Python, which observes the traits."""
        if message.get("ask") == "open":
            self.send({"answer": "python"})


def check_text(what: str, given: Any) -> None:
    """UsageError for anything but a text, which may not even compare with one."""
    if not isinstance(given, str):
        raise UsageError(f"{what} is {quoted(given)}", "Give a text")


def script(*names: str) -> str:
    """The ES module of one explorer, to save into a page: what all share, then its own parts."""
    return "\n".join(_text(f"{name}.js") for name in ("common", *names))


def style(*names: str) -> str:
    """The style sheet of one explorer: colours and letters, what all share, then its own parts.

    It holds inside that explorer alone, the last of the names: a page has several, and their sheets
    come in any order. (In them " *:is" and not " :is": minifiers take a nested " :" for a value's.)
    """
    rules = "\n".join(_text(f"{name}.css") for name in ("common", *names))
    return f"{LOOK}\n:where(.oe-in-{names[-1]}) {{\n{rules}\n}}"


def _text(filename: str) -> str:
    return (files("olmo_explain.explorers") / filename).read_text(encoding="utf-8")


def public(name: str) -> str:
    """The name of a source as everybody may read it: of a directory, not where it lies.

    Saved into a page: give `source.name`, in which a URL has no password.
    """
    directory = Path(name).expanduser()
    is_path = directory.is_dir() or directory.is_absolute()
    if name in PRESETS or "://" in name or not is_path:
        return name
    last = directory.absolute().name or directory.resolve().name
    return f"./{last}" if last in PRESETS else last or "a directory"


def label(name: str) -> str:
    """The public name of a source, and of `tiny` also what it is."""
    return "tiny (trained, bundled)" if name == "tiny" else public(name)


def load_for(
    source: Source, dtype: str, prompt: str | Sequence[int], instead: str = ""
) -> tuple[PreTrainedModel, Any | None, Int[Tensor, "1 pos"]]:
    """A model with its weights, its tokenizer, and the ids of a prompt.

    Raises UsageError, in the words of somebody who writes Python, where there is nothing to run or
    the prompt cannot be read; `instead` says what else the explorer offers.
    """
    from olmo_explain.running import load, prompt_ids

    Checkpoint(source)  # a config that comes without weights says so here
    model, tokenizer = load(source, dtype)
    if model.device.type == "meta":
        raise UsageError(
            f"{source.name} is read by byte ranges, never whole, so it cannot run",
            f"Name a directory or a hub id. {instead}",
        )
    if tokenizer is None and isinstance(prompt, str):
        raise UsageError(
            f"{source.name} comes without a tokenizer, so it cannot read a text",
            f"Give token ids, as prompt=[5, 6, 7]. {instead}",
        )
    return model, tokenizer, prompt_ids(model, tokenizer, prompt)


def pieces(tokenizer: Any | None, ids: Sequence[int]) -> list[str]:
    """Tokens as a reader may see them: their text, or the bytes of a part of a letter, as <F0><9F>.

    Without a tokenizer their ids.
    """
    return [str(token) if tokenizer is None else _piece(tokenizer, token) for token in ids]


def _piece(tokenizer: Any, token: int) -> str:
    text = tokenizer.decode([token])
    if "\ufffd" not in text:
        return text
    letters = tokenizer.convert_ids_to_tokens(token)
    if not all(letter in BYTES for letter in letters):  # not a byte-level BPE
        return text
    data = bytes(BYTES[letter] for letter in letters)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "".join(f"<{byte:02X}>" for byte in data)


def _letters() -> dict[str, int]:
    """The byte that each letter of a byte-level BPE's vocabulary stands for."""
    seen = [byte for byte in range(256) if 32 < byte < 127 or (byte > 160 and byte != 173)]
    others = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(256 + n): b for n, b in enumerate(others)}


BYTES = _letters()
