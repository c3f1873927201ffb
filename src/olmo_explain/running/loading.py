"""A MODEL name → a PyTorch model that runs, and its tokenizer.

Where the weights are at hand they are loaded; where only config.json is (a preset, a URL), the
model is built on PyTorch's meta device: every shape and every call, and no numbers.
"""

import inspect
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from huggingface_hub.utils import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from safetensors import SafetensorError
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import logging

from olmo_explain.by_hand import as_dtype
from olmo_explain.checkpoint import (
    AS_PUBLISHED,
    FIELDS,
    Checkpoint,
    FileMissing,
    HubSource,
    LocalSource,
    ModelLike,
    OlmoConfig,
    Source,
    note_rope,
    read_config,
    read_json,
    resolve,
)
from olmo_explain.errors import CheckpointError, ConfigError, UsageError
from olmo_explain.running.prompting import check_text
from olmo_explain.running.rope_guard import measure_rope
from olmo_explain.waiting import is_seen, progress
from olmo_explain.words import quoted

NEED_NOTHING = ("eager", "sdpa")  # beside PyTorch


def load(
    model: ModelLike,
    dtype: torch.dtype | str | None = None,
    *,
    attention: str = "eager",
    distributed: Any | None = None,
) -> tuple[PreTrainedModel, Any | None]:
    """The model in evaluation mode and its tokenizer, or None where there is no tokenizer.

    `dtype`: the checkpoint's own when not given. `attention`: transformers' name of the attention
    function; "eager" is the one that returns attention patterns. `distributed`: transformers'
    DistributedConfig, where several processes share the model. Warns, in one line, when the
    model applies another RoPE than its config.json asks for. The weights lie in the
    mapped file, as a Checkpoint's do: it has to stay as it is while the model is used.

    >>> model, tokenizer = load("tiny")
    >>> model.lm_head.weight.shape
    torch.Size([2048, 128])
    """
    source = resolve(model)
    known = ("eager", *ALL_ATTENTION_FUNCTIONS.valid_keys())
    if not isinstance(attention, str) or attention not in known:
        raise UsageError(
            f"Unknown attention {quoted(attention)}", f"Choose {', '.join(known[:3])}, …"
        )
    if distributed is not None and not hasattr(distributed, "tp_plan"):
        raise UsageError(
            f"distributed is {quoted(distributed)}", "Give transformers' DistributedConfig, or None"
        )
    config = read_config(source)
    dtype = as_dtype(config.dtype if dtype is None else dtype)
    pretrained = _pretrained(source)
    if pretrained is None:
        if distributed is not None:
            raise UsageError(
                f"{source.name} has shapes and no weights, so there is nothing to share out",
                "Choose tiny, or a directory or hub id with weights",
            )
        return _guarded(on_meta(source, dtype, attention), config), None
    _check_names(source)
    checkpoint = Checkpoint(source)  # which there must be before anything is downloaded
    if isinstance(source, LocalSource):
        checkpoint.check_shapes(config, config.shapes)
    where, options = pretrained
    shared = {} if distributed is None else {"distributed_config": distributed}
    try:
        with _loading(source):
            loaded = AutoModelForCausalLM.from_pretrained(
                where,
                dtype=dtype,
                attn_implementation=attention,
                use_safetensors=True,
                **options,
                **shared,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"{source.name} cannot be loaded: {_first_line(error)}", "Download the checkpoint again"
        ) from error
    except ImportError as error:  # of what attention functions or quantized weights need
        raise UsageError(
            _first_line(error),
            "Install what it names"
            + ("" if attention in NEED_NOTHING else f", or choose {' or '.join(NEED_NOTHING)}"),
        ) from error
    except MemoryError:
        raise
    except Exception as error:
        raise _unbuildable(source, error) from error
    return _guarded(loaded, config), _tokenizer(source, where, options)


@contextmanager
def _loading(source: Source) -> Iterator[None]:
    """Our own bar while weights are loaded, or those of a download; none that nobody sees."""
    if isinstance(source, HubSource) and (is_seen() or "ipykernel" in sys.modules):
        yield
        return
    loading, downloading = logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    logging.disable_progress_bar()
    disable_progress_bars()
    try:
        with progress(f"Loading {source.name}"):
            yield
    finally:
        if loading:
            logging.enable_progress_bar()
        if downloading:
            enable_progress_bars()


def _pretrained(source: Source) -> tuple[str, dict[str, Any]] | None:
    """What `from_pretrained` wants to hear for this source; None where it has no weights."""
    if isinstance(source, HubSource):
        return source.repository, {"revision": source.commit}
    if isinstance(source, LocalSource) and any(source.directory.glob("*.safetensors*")):
        check_text("The directory's name", str(source.directory))
        return str(source.directory), {"local_files_only": True}
    return None


def on_meta(
    source: Source, dtype: torch.dtype | None = None, attention: str = "eager"
) -> PreTrainedModel:
    """The model without its weights: every shape and every call."""
    fields = _check_names(source)
    try:
        # Without a cache, transformers would look for several texts in one row of position ids,
        # and these have no numbers here.
        config = AutoConfig.for_model(**fields | {"use_cache": True})
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(
                config, dtype=dtype, attn_implementation=attention
            )
        return _with_a_window(model)
    except Exception as error:
        raise _unbuildable(source, error) from error


def _check_names(source: Source) -> dict[str, Any]:
    """The object in config.json. ConfigError for a field that is called as a part of transformers'
    config class, a method say: it would be put in its place.
    """
    fields = read_json(source)
    kind = CONFIG_MAPPING[fields["model_type"]]
    given = {name for base in kind.__mro__ for name in inspect.signature(base.__init__).parameters}
    for name in fields.keys() - FIELDS.keys() - given:
        part = inspect.getattr_static(kind, name, None)
        if hasattr(kind, name) and not (isinstance(part, property) and part.fset):
            raise ConfigError(
                f"{source.name}: config.json has {name}, a name that transformers uses itself",
                "It must be left out",
            )
    return fields


def _unbuildable(source: Source, error: Exception) -> ConfigError:
    """What transformers raises is of many types, by the field that is wrong."""
    return ConfigError(
        f"{source.name}: transformers cannot build a model from config.json "
        f"({type(error).__name__}: {_first_line(error)})",
        AS_PUBLISHED,
    )


def _guarded(model: PreTrainedModel, config: OlmoConfig) -> PreTrainedModel:
    """In evaluation mode, its RoPE measured."""
    _with_a_window(model.eval())
    note_rope(model, config)
    if remedy := measure_rope(model, config).remedy:
        warnings.warn(remedy, stacklevel=3)
    return model


def _with_a_window(model: PreTrainedModel) -> PreTrainedModel:
    """transformers makes a sliding mask in every forward pass, also where no layer slides."""
    if model.config.model_type == "olmo3" and model.config.sliding_window is None:
        model.config.sliding_window = model.config.max_position_embeddings
    return model


def _tokenizer(source: Source, where: str, options: dict[str, Any]) -> Any | None:
    try:
        return AutoTokenizer.from_pretrained(where, **options)
    except Exception as error:  # the tokenizers library raises no narrower one
        try:
            source.read("tokenizer.json")
        except FileMissing:
            return None  # a checkpoint may come without one
        raise CheckpointError(
            f"{source.name}: tokenizer.json cannot be read ({_first_line(error)})",
            "Download it again",
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
