"""Runs `tiny` on OLMo-core, the code that AI2 trains OLMo with, and compares our forward pass.

    python scripts/olmo_core.py           # run it, compare, exit with 1 beyond the bound
    python scripts/olmo_core.py --write   # make the golden logits anew, once tiny has other weights
    python scripts/olmo_core.py --flops   # print what it counts for a token of the 7B and the 32B

Every other check compares with transformers, which was wrong for months; this one does not. The
first run installs ai2-olmo-core into build/olmo-core, an environment that lies over this one and
uses its torch: about 120 MB from the package index that pip is set up with.

How a checkpoint becomes a model of OLMo-core:

- Weights: read with safetensors, widened to float32, named by its own `convert_state_from_hf`:
  w_q is q_proj, attention_norm post_attention_layernorm, w1, w2 and w3 are gate, down and up,
  lm_head.norm is model.norm. Loaded strictly, so none is missing and none is left over.
- Layers: `TransformerConfig.llama_like` with the arguments of its `olmo3_7B`: `reordered_norm`, the
  norm after a sublayer, and `qk_norm` over the whole projection. Sizes come from config.json.
- Window: `SlidingWindowAttentionConfig`, of which it makes `(sliding_window - 1, 0)`: so many keys
  before the query, and the query's own.
- RoPE: `with_rope_scaling(YaRNRoPEScalingConfig, full_attn_layers_only=True)`. It works the
  attention factor out from `factor`, as 0.1·ln(factor) + 1.
- Attention: its `torch` backend, scaled_dot_product_attention.
"""

import hashlib
import json
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from olmo_explain.by_hand import Activations, run_by_hand
from olmo_explain.checkpoint import Checkpoint, preset, read_config
from olmo_explain.proof import tolerance
from olmo_explain.running import SONNET

RELEASE = "3.0.0"
ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "build" / "olmo-core"
GOLDEN = ROOT / "tests" / "by_hand" / "olmo_core.safetensors"
TINY = preset("tiny").directory
LENGTHS = (2, 3, 5, 8, 16, 32, 33, 64, 128, 200)  # up to the window of 32, and beyond it
COUNTED = (64, 8_192, 65_536)  # positions: fewer than the window, pretraining's, the longest


@dataclass(frozen=True)
class Golden:
    """What OLMo-core made of ten prompts, each (1, pos): the logits (10, vocab) of the last token.

    `made`: olmo-core's and torch's version, and `weights`, the SHA-256 of tiny's model.safetensors.
    """

    prompts: list[Tensor]
    logits: Tensor
    made: dict[str, str]

    @property
    def is_stale(self) -> bool:
        """Whether tiny has other weights by now."""
        return self.made["weights"] != _sha256_of_tiny()


STALE = (
    "These golden logits are of other weights than those of tiny. "
    "Make them anew: python scripts/olmo_core.py --write"
)


def read_golden(path: Path = GOLDEN) -> Golden:
    with safe_open(path, "pt") as file:
        ids, lengths = file.get_tensor("ids").long(), file.get_tensor("lengths")
        prompts = [prompt[None] for prompt in ids.split(lengths.tolist())]
        return Golden(prompts, file.get_tensor("logits"), json.loads(file.metadata()["made"]))


def bound(values: Activations) -> float:
    """How far the last logits of two right implementations may lie apart, by the rule of `verify`.

    Each rounds every value on the way, all 211 of tiny, after sums in an order of its own. So the
    logits may differ by √211 · eps, of numbers up to their largest; and the largest score counts,
    of whose absolute error softmax makes a relative one.
    """
    scores = [value for (_, name), value in values.items() if name == "scores"]
    largest_score = max(value.abs().max().item() for value in scores)
    return tolerance(values["logits"][0, -1], operations=len(values), largest_score=largest_score)


def main() -> None:
    match sys.argv[1:]:
        case []:
            sys.exit(0 if compare(Console()) else 1)
        case ["--write"]:
            in_olmo_core("--run", GOLDEN)
            print(f"{GOLDEN.relative_to(ROOT)}: {read_golden().made}")
        case ["--flops"]:
            print(in_olmo_core("--count"), end="")
        case ["--run", path]:
            run(Path(path))
        case ["--count"]:
            count()
        case _:
            sys.exit(__doc__)


def compare(console: Console) -> bool:
    """Prints how far OLMo-core, its golden logits and ours are apart; whether they are near."""
    with tempfile.TemporaryDirectory() as place, console.status(f"OLMo-core {RELEASE}"):
        in_olmo_core("--run", live_path := Path(place) / "live.safetensors")
        live = read_golden(live_path)
    golden = read_golden()
    if golden.is_stale:
        sys.exit(STALE)
    weights, config = Checkpoint("tiny"), read_config("tiny")
    table = Table(title="max |Δ| of the last token's logits: tiny on OLMo-core, and ours")
    for name in ("tokens", "bound", "live, ours", "golden, ours", "live, golden", "same token"):
        table.add_column(name, justify="right")
    near = True
    for prompt, fresh, kept in zip(live.prompts, live.logits, golden.logits, strict=True):
        values = run_by_hand(weights, prompt, config=config, dtype=torch.float32)
        ours = values["logits"][0, -1]
        distances = [distance(fresh, ours), distance(kept, ours), distance(fresh, kept)]
        same = len({logits.argmax().item() for logits in (fresh, kept, ours)}) == 1
        near &= same and max(distances) <= bound(values)
        numbers = (f"{number:.1e}" for number in (bound(values), *distances))
        table.add_row(str(prompt.numel()), *numbers, "yes" if same else "NO")
    console.print(table)
    for name, made in (("live", live.made), ("golden", golden.made)):
        console.print(f"{name}: OLMo-core {made['olmo-core']}, torch {made['torch']}, float32")
    return near


def distance(one: Tensor, other: Tensor) -> float:
    return (one - other).abs().max().item()


# -- OLMo-core's environment ----------------------------------------------------------------------


def in_olmo_core(*words: str | Path) -> str:
    """Runs this script with OLMo-core at hand, and returns what it prints."""
    # -P: its own directory would come first, and this file is called as the package is.
    ran = subprocess.run([install(), "-P", __file__, *words], capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"OLMo-core {RELEASE} could not run:\n{ran.stderr}")
    return ran.stdout


def install() -> Path:
    """The Python of an environment that holds OLMo-core and finds all else in this one."""
    bases = {"base": str(PLACE), "platbase": str(PLACE)}
    python = Path(sysconfig.get_path("scripts", "venv", bases)) / Path(sys.executable).name
    done = PLACE / ".done"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", PLACE], check=True)
        below = Path(sysconfig.get_path("purelib", "venv", bases)) / "below.pth"
        below.write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        # torch by its exact version, so that pip keeps the one that is here.
        wanted = [f"ai2-olmo-core=={RELEASE}", f"torch=={torch.__version__.partition('+')[0]}"]
        pip = [python, "-m", "pip", "install", "--no-compile"]
        ran = subprocess.run([*pip, *wanted], capture_output=True, text=True)
        if ran.returncode:
            sys.exit(f"{' '.join(wanted)} could not be installed:\n{ran.stderr}")
        done.touch()
    return python


# -- what runs with OLMo-core ---------------------------------------------------------------------


def run(path: Path) -> None:
    """Writes what OLMo-core makes of the prompts, the same bytes each time."""
    import olmo_core.version
    from transformers import AutoTokenizer

    torch.set_num_threads(1)
    text = AutoTokenizer.from_pretrained(TINY)(SONNET.text)["input_ids"]
    ids = torch.tensor(text * (max(LENGTHS) // len(text) + 1))  # said again: what tiny can copy
    model = build()
    with torch.no_grad():
        logits = torch.cat([model(ids[None, :length])[:, -1] for length in LENGTHS])
    made = {
        "olmo-core": olmo_core.version.VERSION,
        "torch": torch.__version__,
        "weights": _sha256_of_tiny(),
    }
    tensors = {
        "ids": torch.cat([ids[:length] for length in LENGTHS]).short(),
        "lengths": torch.tensor(LENGTHS),
        "logits": logits,
    }
    # One entry, since safetensors writes several in a random order.
    path.write_bytes(save(tensors, metadata={"made": json.dumps(made)}))


def build() -> torch.nn.Module:
    """tiny as a model of OLMo-core, in float32."""
    from olmo_core.nn.attention import AttentionBackendName, SlidingWindowAttentionConfig
    from olmo_core.nn.feed_forward import FeedForwardConfig
    from olmo_core.nn.hf import convert_state_from_hf
    from olmo_core.nn.rope import YaRNRoPEScalingConfig
    from olmo_core.nn.transformer import TransformerBlockType, TransformerConfig
    from transformers import AutoConfig

    config: dict[str, Any] = json.loads((TINY / "config.json").read_text())
    window, yarn = config["sliding_window"], config["rope_parameters"]["full_attention"]
    layers = TransformerConfig.llama_like(
        d_model=config["hidden_size"],
        vocab_size=config["vocab_size"],
        n_layers=config["num_hidden_layers"],
        n_heads=config["num_attention_heads"],
        n_kv_heads=config["num_key_value_heads"],
        feed_forward=FeedForwardConfig(hidden_size=config["intermediate_size"], bias=False),
        block_name=TransformerBlockType.reordered_norm,
        qk_norm=True,
        layer_norm_eps=config["rms_norm_eps"],
        rope_theta=yarn["rope_theta"],
        sliding_window=SlidingWindowAttentionConfig(
            pattern=[window if "sliding" in kind else -1 for kind in config["layer_types"]],
            force_full_attention_on_first_layer=False,
            force_full_attention_on_last_layer=False,
        ),
        attn_backend=AttentionBackendName.torch,
    )
    scaling = YaRNRoPEScalingConfig(
        factor=yarn["factor"],
        beta_fast=yarn["beta_fast"],
        beta_slow=yarn["beta_slow"],
        old_context_len=yarn["original_max_position_embeddings"],
    )
    model = layers.with_rope_scaling(scaling, full_attn_layers_only=True).build().eval()
    state = {name: t.float() for name, t in load_file(TINY / "model.safetensors").items()}
    sizes = AutoConfig.from_pretrained(TINY)
    model.load_state_dict(convert_state_from_hf(sizes, state, model_type="olmo3"))
    return model


def count() -> None:
    """Prints OLMo-core's `num_flops_per_token` for the sizes that AI2 published."""
    from olmo_core.nn.attention import AttentionBackendName
    from olmo_core.nn.transformer import TransformerConfig

    for name in ("olmo3_7B", "olmo3_32B"):
        config = getattr(TransformerConfig, name)(100_278, attn_backend=AttentionBackendName.torch)
        model = config.build(init_device="meta")
        for seq in COUNTED:
            print(f"{name}, seq_len={seq}: {model.num_flops_per_token(seq):,}")


def _sha256_of_tiny() -> str:
    return hashlib.sha256((TINY / "model.safetensors").read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
