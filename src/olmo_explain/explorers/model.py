"""The live figure: a sentence in the model, and everything on its way can be asked for."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import traitlets
from transformers import PreTrainedModel

from olmo_explain.by_hand import FAULTS, STEPS
from olmo_explain.checkpoint import (
    REGIMES,
    ModelLike,
    config_of,
    read_config,
    resolve,
    whole_number,
)
from olmo_explain.errors import ExplainError, UsageError
from olmo_explain.explorers.looking import LONGEST, SCORES, Asked, Looking
from olmo_explain.explorers.shared import Explorer, label, load_for, script, style
from olmo_explain.ids import as_ids
from olmo_explain.live import bundled, engine
from olmo_explain.running import APART, NEAR, OTHERS
from olmo_explain.words import quoted

VALUES = ["embedding", *STEPS, "final_norm"]
VIEWS = ("heads", "grid", "values")
ASKED = ("text", "written", "at", "layer", "score", "step", "off", "rope", "fault")


class ModelExplorer(Explorer):
    """A sentence in the model: what each head looks at, what comes next, and what if.

    The reader's choices, in both directions: `text`, and `written`, the ids that the model wrote
    behind it; `at`, the position whose next token is shown, None for the last; `layer` and `head`;
    `off`, a list of [layer, head] that write zeros; `rope`, one of the RoPE regimes; `fault`, the
    name of one that `diagnose` knows, "" for none; `view`, `score` and `step`, what is opened below
    the map.
    """

    _esm = script(
        "controls",
        "answering",
        "following",
        "arcs",
        "tokens",
        "next",
        "tiles",
        "model_map",
        "model_panels",
        "model_next",
        "model_faults",
        "model_sentence",
        "model_tour",
        "model",
    )
    _css = style("figure", "model")

    text = traitlets.Unicode().tag(sync=True)
    written = traitlets.List(traitlets.Int()).tag(sync=True)
    at = traitlets.Int(None, allow_none=True).tag(sync=True)
    layer = traitlets.Int(0).tag(sync=True)
    head = traitlets.Int(0).tag(sync=True)
    off = traitlets.List(traitlets.List(traitlets.Int())).tag(sync=True)
    rope = traitlets.Enum(REGIMES, REGIMES[0]).tag(sync=True)
    fault = traitlets.Unicode().tag(sync=True)
    view = traitlets.Enum(VIEWS, VIEWS[0]).tag(sync=True)
    score = traitlets.Enum(list(SCORES), "induction").tag(sync=True)
    step = traitlets.Enum(VALUES, "resid_post").tag(sync=True)

    name = traitlets.Unicode().tag(sync=True)
    own_text = traitlets.Unicode(help="the sentence that it was made with").tag(sync=True)
    has_tokenizer = traitlets.Bool(True).tag(sync=True)
    apart = traitlets.List(traitlets.Unicode(), help="one sentence, its halves ever further apart")
    apart.tag(sync=True)
    others = traitlets.List(traitlets.Unicode(), help="more sentences to try").tag(sync=True)
    layer_types = traitlets.List(traitlets.Unicode()).tag(sync=True)
    heads = traitlets.Int().tag(sync=True)
    sliding_window = traitlets.Int(0).tag(sync=True)
    has_yarn = traitlets.Bool().tag(sync=True)
    faults = traitlets.List(traitlets.Dict(), help="name, detail, says: what can be broken")
    faults.tag(sync=True)
    steps = traitlets.List(traitlets.Unicode(), VALUES).tag(sync=True)
    longest = traitlets.Int(LONGEST, help="tokens: of more the last are read").tag(sync=True)
    ends = traitlets.List(traitlets.Int(), help="ids that end a text").tag(sync=True)
    answer = traitlets.Dict(help="what is shown, for the choices in its `asked`").tag(sync=True)

    def __init__(self, model: PreTrainedModel, tokenizer: Any, **state):
        self._looking = Looking(model, tokenizer)
        self._computes = True  # until a front end has got the engine
        config = config_of(model)
        self.set_trait("has_tokenizer", tokenizer is not None)
        super().__init__(
            layer_types=list(config.layer_types),
            heads=config.num_attention_heads,
            sliding_window=config.sliding_window or 0,
            has_yarn=any(rope.rope_type == "yarn" for rope in config.rope.values()),
            faults=[
                {"name": name, "detail": form.detail, "says": FAULTS[name].says}
                for name, form in self._looking.faults.items()
            ],
            ends=[] if (end := model.config.eos_token_id) is None else np.atleast_1d(end).tolist(),
            **state,
        )
        self._look()
        self.observe(self._look_again, [*ASKED, "view"])

    @traitlets.validate("text")
    def _readable(self, proposal: dict) -> str:
        text = proposal["value"]
        if text and not self.has_tokenizer:
            raise traitlets.TraitError("This model came without a tokenizer: set written, to ids")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise traitlets.TraitError("The text holds half a surrogate pair") from None
        return text

    @traitlets.validate("layer", "head", "at", "off", "written", "fault")
    def _within_range(self, proposal: dict) -> Any:
        try:
            return self._checked(proposal["trait"].name, proposal["value"])
        except ExplainError as error:  # of a TraitError traitlets takes everything back
            raise traitlets.TraitError(str(error)) from None

    def _checked(self, name: str, value: Any) -> Any:
        config = self._looking.config
        match name:
            case "layer":
                return config.check_layer(value)
            case "head":
                return config.check_head(value)
            case "written":
                return as_ids([value], config.vocab_size)[0].tolist() if value else value
            case "fault":
                known = self._looking.faults
                if value and value not in known:
                    raise UsageError(f"fault is {quoted(value)}", f"Choose {', '.join(known)}")
                return value
            case "at":
                return None if value is None else whole_number("at", value, least=0)
            case _:
                if not all(len(head) == 2 for head in value):
                    raise UsageError(f"off is {quoted(value)}", "Give [[layer, head], …]")
                return [[config.check_layer(a), config.check_head(b)] for a, b in value]

    @property
    def next_tokens(self) -> list[tuple[str, float]]:
        """The most likely next tokens with their probabilities, the most likely first."""
        found = self._looking(self._asked())
        if found["at"] is None:
            return []
        shares = np.frombuffer(found["next"]["shares"], "<f4").tolist()
        return list(zip(found["next"]["tokens"], shares, strict=True))

    def _asked(self) -> Asked:
        choices = {name: getattr(self, name) for name in ASKED}
        unseen = {"score": "grid", "step": "values"}  # what is not shown is not asked for
        return Asked(**choices | {n: None for n, view in unseen.items() if self.view != view})

    def _look_again(self, change: dict) -> None:
        if self._computes:
            self._look()

    def _look(self) -> None:
        asked = self._asked()
        if asdict(asked) != self.answer.get("asked"):
            self.answer = self._looking(asked)

    def _answer(self, widget: Explorer, message: dict, buffers: list) -> None:
        if message.get("ask") != "open" or not self.in_page:
            return super()._answer(widget, message, buffers)
        about, weights = bundled()
        self._computes = False
        self.send({"answer": "open", "engine": engine(), "about": about}, [weights])


def explore_model(
    model: ModelLike = "tiny",
    prompt: str | Sequence[int] = NEAR,
    *,
    layer: int | None = None,
    head: int = 0,
) -> ModelExplorer:
    """A widget in which the model answers, on your sentence, in a page on the reader's.

    `prompt`: a text or token ids. `layer`: when not given the last full-attention layer, or the
    last of all where none is full. `tiny` computes in the browser; any other MODEL in Python, each
    time that something is changed, by hand in float32.

    >>> explorer = explore_model("tiny")
    >>> explorer.next_tokens[0]
    (' France', 0.739...)
    >>> explorer.off = [[7, 0], [7, 1], [7, 2]]
    >>> explorer.next_tokens[0]
    (' you', 0.17...)
    """
    source = resolve(model)
    config = read_config(source)
    if prompt is None:
        raise UsageError("prompt is None", "Give a text or token ids")
    if layer is None:
        layer = (config.full_attention_layers or [config.num_hidden_layers - 1])[-1]
    loaded, tokenizer, ids = load_for(source, "float32", prompt)
    is_text, is_tiny = isinstance(prompt, str), source.name == "tiny"
    return ModelExplorer(
        loaded,
        tokenizer,
        in_page=is_tiny,
        name=label(source.name),
        text=prompt if is_text else "",
        written=[] if is_text else ids[0].tolist(),
        own_text=prompt if is_text else "",
        apart=list(APART) if is_tiny and is_text and prompt in APART else [],
        others=list(OTHERS) if is_tiny else [],
        layer=config.check_layer(layer),
        head=config.check_head(head),
    )
