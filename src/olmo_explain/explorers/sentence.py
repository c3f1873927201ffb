"""The sentence of an explorer: Python holds it, and a reader may type another."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import traitlets

from olmo_explain.checkpoint import Source
from olmo_explain.errors import UsageError
from olmo_explain.explorers.shared import Explorer, pieces

if TYPE_CHECKING:  # an explorer without a sentence does not wait for torch
    from jaxtyping import Int
    from torch import Tensor
    from transformers import PreTrainedModel


class SentenceExplorer(Explorer):
    """What shows a sentence: `text`, as it was given, or as it is typed or set; `tokens` follow.

    Of another text than its own it reads the last 128 tokens. `text` is empty where the explorer
    was made with token ids, or with nothing to run: then there is no field, and nothing to set.
    """

    text = traitlets.Unicode().tag(sync=True)
    own_text = traitlets.Unicode(help="the sentence that it was made with").tag(sync=True)
    tokens = traitlets.List(traitlets.Unicode()).tag(sync=True)
    dropped = traitlets.Int(0, help="tokens before these, which were not read").tag(sync=True)

    def __init__(self, source: Source, dtype: str, **state):
        self._source, self._dtype = source, dtype
        super().__init__(in_page=source.name == "tiny", **state)
        self.observe(self._read, "text")

    def _follow(self, model: PreTrainedModel, ids: Int[Tensor, "1 pos"]) -> dict:
        """The traits that follow from these ids, while `tokens` are still those before."""
        raise NotImplementedError

    @cached_property
    def _loaded(self) -> tuple[PreTrainedModel, Any]:
        """Again, at the first change: an explorer that nobody types into keeps no model."""
        from olmo_explain.running import load

        return load(self._source, self._dtype)

    @traitlets.validate("text")
    def _readable(self, proposal: dict) -> str:
        text = proposal["value"]
        if text == self.own_text:
            return text
        if not self.own_text:
            raise traitlets.TraitError(
                "This explorer was made without a text: it has none to change"
            )
        try:
            self._ids(text)
        except UsageError as error:
            raise traitlets.TraitError(str(error)) from None
        return text

    def _ids(self, text: str) -> tuple[Int[Tensor, "1 pos"], int]:
        """The last ids of a text, and how many there are before them."""
        from olmo_explain.explorers.looking import LONGEST
        from olmo_explain.running import prompt_ids

        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError("The text holds half a surrogate pair", "Give whole letters") from None
        model, tokenizer = self._loaded
        whole = tokenizer(text)["input_ids"]
        read = whole if text == self.own_text else whole[-LONGEST:]
        return prompt_ids(model, tokenizer, read), len(whole) - len(read)

    def _read(self, change: dict) -> None:
        ids, dropped = self._ids(self.text)
        model, tokenizer = self._loaded
        following = self._follow(model, ids)
        with self.hold_sync():  # one message: a picture is never drawn of half a change
            self.tokens = pieces(tokenizer, ids[0].tolist())
            self.dropped = dropped
            for trait, value in following.items():
                setattr(self, trait, value)


def own(prompt: Any) -> dict:
    """The traits of an explorer that is made with this prompt: a text, or token ids."""
    text = prompt if isinstance(prompt, str) else ""
    return {"text": text, "own_text": text}
