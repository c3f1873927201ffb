"""Reads what an engine gave: token ids, and logits or any other value, as engines lay them out.

Names are those of the pass by hand: `logits`, `embedding`, `final_norm`, and `3.q` for the q of
layer 3. Of logits there may be no batch axis, the last position only, a padded vocabulary,
log-probabilities, or no more than the most likely tokens.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from olmo_explain.by_hand import STEPS, as_dtype
from olmo_explain.checkpoint import OlmoConfig
from olmo_explain.errors import UsageError
from olmo_explain.ids import as_ids, as_mask
from olmo_explain.proof.engine_output import FAR_BELOW, MASKED, EngineOutput, Key, Logits
from olmo_explain.words import counted, quoted, shape

OUTSIDE = ("embedding", "final_norm", "logits")
"""Values of the pass by hand that belong to no layer."""

BESIDE = ("ids", "attention_mask", "positions", "top", "top_ids", "top_logits", "top_logprobs")
ENDINGS = ".safetensors, .npz or .json"
ALSO_LOGITS = "logprobs"


def read_engine_output(
    given: str | Path | Mapping[str, Any],
    config: OlmoConfig,
    *,
    dtype: torch.dtype | str | None = None,
) -> EngineOutput:
    """Reads a file (safetensors, npz or JSON) or a mapping of the same names.

    UsageError, in one line, for what is no output of this model, or in no layout that is known.
    """
    if not isinstance(given, Mapping):
        given = _read(Path(given))
    found = {str(name): value for name, value in given.items()}
    if "ids" not in found:
        raise UsageError("There are no ids", "Add the token ids that it was run on, as `ids`")
    if "logits" not in found and ALSO_LOGITS in found:
        found["logits"] = found.pop(ALSO_LOGITS)
    ids = as_ids(_numbers("ids", found["ids"]), config.vocab_size)
    tensors = {
        name: _numbers(name, value)
        for name, value in found.items()
        if name not in BESIDE and _key(name, config)
    }
    logits = _logits(found, tensors.pop("logits", None), ids, config)
    if logits is None and not tensors:
        raise UsageError("There are ids and nothing else", "Add what was computed, as `logits`")
    mask = as_mask(found.get("attention_mask"), ids)
    values = {_key(name, config): _value(name, value, ids) for name, value in tensors.items()}
    if dtype is None:
        dtype = _computed_in(_numbers("logits", found["logits"]) if "logits" in found else None)
    return EngineOutput(ids, mask, logits, values, as_dtype(dtype))


# -- files ----------------------------------------------------------------------------------------


def _read(path: Path) -> dict[str, Any]:
    reads = {".safetensors": _read_safetensors, ".npz": _read_npz, ".json": _read_json}
    if path.suffix not in reads:
        raise UsageError(f"{path} has no ending that says what it holds", f"Give {ENDINGS}")
    try:
        return reads[path.suffix](path)
    except (SafetensorError, ValueError, EOFError, RecursionError) as error:
        raise UsageError(
            f"{path} is not {path.suffix[1:]} ({error})", "Write it again, or check its ending"
        ) from error
    except OSError as error:
        said = error.strerror or "it holds no archive"
        raise UsageError(f"{path} cannot be read ({said})", f"Name a file: {ENDINGS}") from error
    except Exception as error:  # zipfile has errors of its own
        raise UsageError(f"{path} cannot be read ({error})", "Write it again") from error


def _read_safetensors(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        if not hasattr(arrays, "files"):
            raise UsageError(f"{path} holds one array without a name", "Save with numpy.savez")
        return {name: arrays[name] for name in arrays.files}


def _read_json(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise UsageError(f"{path} holds no JSON object", 'Write {"ids": […], "logits": […]}')
    return found


# -- one value ------------------------------------------------------------------------------------


def _key(name: str, config: OlmoConfig) -> Key:
    """A value's layer and name. UsageError for a name that the pass by hand does not have."""
    layer, dot, step = name.rpartition(".")
    if not dot and step in OUTSIDE:
        return None, step
    is_layer = layer.isascii() and layer.isdecimal() and len(layer) < 7
    if not (is_layer and step in STEPS):
        raise UsageError(
            f"There is no value {quoted(name)} in the pass by hand",
            f"Its names are {', '.join(OUTSIDE)} and, of layer 3, 3.{', 3.'.join(STEPS)}",
        )
    return config.check_layer(int(layer)), step


def _numbers(name: str, value: Any) -> Tensor:
    """Whatever holds numbers, as a tensor on the CPU. UsageError for what does not."""
    if isinstance(value, Tensor):
        tensor = value.detach().cpu()
    else:
        try:
            array = np.asarray(value)
            if array.dtype.kind not in "fiub":
                raise TypeError(f"it holds {array.dtype}")
            tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise UsageError(
                f"{quoted(name)} holds no table of numbers ({error})",
                "Give numbers in rows of one length; save bfloat16 as float32 or in safetensors",
            ) from error
    if tensor.is_complex() or tensor.layout != torch.strided or tensor.is_quantized:
        raise UsageError(f"{quoted(name)} holds no plain numbers", "Give a dense array of floats")
    return tensor


def _value(name: str, value: Tensor, ids: Tensor) -> Tensor:
    """A value in float32, with a batch axis. UsageError for what is not a number."""
    value = value.float()
    if name.rpartition(".")[2] in MASKED:
        value = value.clamp(min=FAR_BELOW)
    if (bad := ~value.isfinite()).any():
        at = torch.nonzero(bad)[0].tolist()
        found = "NaN" if value[bad][0].isnan() else "an infinite number"
        raise UsageError(
            f"{quoted(name)} holds {found}, first at {at}",
            "Look for an overflow, or for rows that see nothing; without numbers there is nothing "
            "to compare",
        )
    return value


# -- logits ---------------------------------------------------------------------------------------


def _logits(
    found: Mapping[str, Any], given: Tensor | None, ids: Tensor, config: OlmoConfig
) -> Logits | None:
    top_ids = None
    if given is None:
        if (top := _top(found)) is None:
            return None
        given, top_ids = top
    name = "the most likely tokens' scores" if top_ids is not None else "logits"
    if given.ndim == 0 or given.shape[-1] == 0:
        raise UsageError(f"{name} have shape {shape(given.shape)}", "Give (batch, pos, vocabulary)")
    V = config.vocab_size
    if top_ids is None and given.shape[-1] < V and V in given.shape:
        raise UsageError(
            f"logits have shape {shape(given.shape)}",
            f"The last axis must be the vocabulary, {V:,}; is it transposed?",
        )
    given, positions, where = _with_axes(name, given, ids, found.get("positions"))
    padded_to = None
    if top_ids is None:
        if given.shape[-1] < config.vocab_size:
            raise UsageError(
                f"logits have {given.shape[-1]:,} tokens, and the model {config.vocab_size:,}",
                "Give all of them, or the most likely as top_ids and top_logprobs",
            )
        are_log_probs = _are_log_probs(given)
        if given.shape[-1] > config.vocab_size:
            padded_to = given.shape[-1]
            given = given[..., : config.vocab_size]
        if are_log_probs:  # of the tokens that there are; padding had a share
            given = given.float().log_softmax(-1)
    else:
        top_ids = top_ids.reshape(given.shape).long()
        as_ids(top_ids.flatten(), config.vocab_size)
        are_log_probs = "top_logits" not in found
    form = "log-probabilities" if are_log_probs else "logits"
    if top_ids is not None:
        form += f" of the {top_ids.shape[-1]} most likely tokens"
    if padded_to:
        form += f" of a vocabulary padded to {padded_to:,}"
    return Logits(_value(name, given, ids), positions, top_ids, are_log_probs, f"{form}, {where}")


def _with_axes(name: str, given: Tensor, ids: Tensor, positions: Any) -> tuple[Tensor, Tensor, str]:
    """Logits (batch, pos, tokens), the positions that they are of, and those in words."""
    B, T = ids.shape
    V = given.shape[-1]
    if positions is None:
        chosen, count = None, T
    else:
        chosen = _numbers("positions", positions).flatten()
        if (
            chosen.is_floating_point()
            or not len(chosen)
            or not (chosen >= 0).all() & (chosen < T).all()
        ):
            raise UsageError(
                f"positions are {quoted(chosen.tolist())}", f"Give whole numbers from 0 to {T - 1}"
            )
        chosen = chosen.long()
        count = len(chosen)
    every = torch.arange(T) if chosen is None else chosen
    rows = tuple(given.shape[:-1])
    said = "at every position" if chosen is None else f"at {counted(count, 'position')}"
    if rows == (B, count) or (B == 1 and rows == (count,)):
        return given.reshape(B, count, V), every, said
    if chosen is None and rows in ((B,), (B, 1), *([()] if B == 1 else [])):
        return given.reshape(B, 1, V), torch.tensor([T - 1]), "at the last position"
    raise UsageError(
        f"{name} have shape {shape(given.shape)}, and ids {shape(ids.shape)}",
        f"Give ({B}, {count}, {V}), or ({B}, {V}) of the last position; of some, also `positions`",
    )


def _top(found: Mapping[str, Any]) -> tuple[Tensor, Tensor] | None:
    """Scores and ids of the most likely tokens; None where none were given."""
    if "top" in found:
        return _top_objects(found["top"])
    name = "top_logits" if "top_logits" in found else "top_logprobs"
    if name not in found or "top_ids" not in found:
        if set(found) & {"top_ids", "top_logits", "top_logprobs"}:
            raise UsageError(
                "Of the most likely tokens there are ids or scores, not both",
                "Give top_ids and top_logprobs, of one shape",
            )
        return None
    scores, ids = _numbers(name, found[name]), _numbers("top_ids", found["top_ids"])
    if scores.shape != ids.shape:
        raise UsageError(
            f"top_ids have shape {shape(ids.shape)} and {name} {shape(scores.shape)}",
            "Give both in one shape: (batch, pos, k)",
        )
    return scores, ids


def _top_objects(top: Any) -> tuple[Tensor, Tensor]:
    """The same of a list with an object {token id: log-probability} for each position."""
    is_list = isinstance(top, Sequence) and not isinstance(top, str)
    if not is_list or not top or not all(isinstance(one, Mapping) and one for one in top):
        raise UsageError(
            f"`top` cannot be read from {quoted(top)}",
            'Give an object for each position: [{"5": -0.1, "17": -2.4}, …], with `positions`',
        )
    most = max(map(len, top))
    try:
        rows = [[(int(token), float(score)) for token, score in one.items()] for one in top]
    except (TypeError, ValueError):
        raise UsageError(
            "`top` holds something else than token ids and numbers", 'Give {"5": -0.1, "17": -2.4}'
        ) from None
    rows = [row + row[:1] * (most - len(row)) for row in rows]  # said again: it changes nothing
    return (
        torch.tensor([[score for _, score in row] for row in rows]),
        torch.tensor([[token for token, _ in row] for row in rows]),
    )


def _are_log_probs(given: Tensor) -> bool:
    """Whether the exponentials of every row sum to 1; UsageError for rows that do themselves."""
    wide = given.double()
    slack = 64 * torch.finfo(given.dtype if given.is_floating_point() else torch.float32).eps
    rows = wide.logsumexp(-1)
    if (rows.abs() <= max(slack, 1e-3)).all() and (wide <= slack).all():
        return True
    if (wide >= 0).all() and ((wide.sum(-1) - 1).abs() <= 1e-2).all():
        raise UsageError(
            "These logits are probabilities: every row sums to 1",
            "Give logits, or logarithms of the probabilities",
        )
    return False


def _computed_in(logits: Tensor | None) -> torch.dtype:
    """The dtype that an engine computed in, as far as its logits tell.

    Of a pass in bfloat16 the logits are rounded to it, also where they are handed over as float32.
    """
    if logits is None or not logits.is_floating_point():
        return torch.float32
    finite = logits[logits.isfinite()].double()
    for dtype in (torch.bfloat16, torch.float16):
        if finite.numel() and torch.equal(finite.to(dtype).double(), finite):
            return dtype
    return torch.float32
