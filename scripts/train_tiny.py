"""Trains `tiny`, the model that comes with olmo_explain: an OLMo 3 small enough to ship.

    python scripts/train_tiny.py --run /tmp/tiny            # from the start, about an hour
    python scripts/train_tiny.py --run /tmp/tiny --resume   # on from the last checkpoint, exactly

First a curriculum of random sequences that repeat, until one head attends to the previous token and
another, in a full-attention layer, copies from beyond the sliding window. Then Shakespeare, with a
share of such sequences kept to the end so that the circuits stay.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
import transformers
from jaxtyping import Float, Int
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save
from tiny_card import CARD, measure_repeats
from tiny_data import VALIDATION_PLAYS, encode, read_plays, save_tokenizer
from tiny_history import History, is_moment
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

SHIPPED = Path(__file__).parents[1] / "src" / "olmo_explain" / "checkpoint" / "presets" / "tiny"

ROPE_THETA = 10_000
YARN = {
    "rope_type": "yarn",
    "factor": 8.0,
    "original_max_position_embeddings": 128,
    "attention_factor": 0.1 * math.log(8.0) + 1,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
}
# The RoPE stands here twice. transformers 4 reads rope_theta and rope_scaling. transformers 5 reads
# rope_parameters, and from the flat keys alone it would give the sliding layers another theta.
CONFIG = {
    "architectures": ["Olmo3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": None,
    "dtype": "bfloat16",
    "eos_token_id": 0,
    "hidden_act": "silu",
    "hidden_size": 128,
    "initializer_range": 0.02,
    "intermediate_size": 344,
    "layer_types": (["sliding_attention"] * 3 + ["full_attention"]) * 2,
    "max_position_embeddings": 1024,
    "model_type": "olmo3",
    "num_attention_heads": 4,
    "num_hidden_layers": 8,
    "num_key_value_heads": 4,
    "pad_token_id": 1,
    "rms_norm_eps": 1e-6,
    "rope_theta": ROPE_THETA,
    "rope_scaling": YARN,
    "rope_parameters": {
        "sliding_attention": {"rope_type": "default", "rope_theta": ROPE_THETA},
        "full_attention": {**YARN, "rope_theta": ROPE_THETA},
    },
    "sliding_window": 32,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 2048,
}
GENERATION_CONFIG = {"do_sample": True, "eos_token_id": 0, "pad_token_id": 1, "temperature": 0.8}

STEPS = 4900
TOKENS_PER_STEP = 4096
CONTEXT = CONFIG["max_position_embeddings"]  # in which held-out text is predicted
CHECKPOINT_STEPS = 100

LEARNING_RATE, FINAL_LEARNING_RATE = 2e-3, 1e-4
WARMUP_STEPS = 100
WEIGHT_DECAY = 0.1
EMBEDDING_BOOST = 5  # once text comes in, embeddings must do more than differ: they must mean
EMBEDDING_STD = 1.0  # each sublayer leaves its post-norm at RMS 1: an embedding of 0.02 would drown
POST_NORM_GAIN = 0.3

# The steps at which the alphabet is whole and periods go beyond the window, at which text comes in,
# at which the cooldown begins, and at which rows grow once more. Text that came in while the
# alphabet still grew made the circuits vanish again; at the cooldown the loss on held-out text had
# nearly stopped falling; longer rows let names be copied from the scene rather than memorised.
WHOLE_ALPHABET, TEXT, COOLDOWN, LONG_ROWS = 600, 750, 3200, 4300
COSINE_STEPS = 6000  # where the cosine would have ended, had the cooldown not cut it short
REPEAT_SHARE = 0.25


class Mixture(NamedTuple):
    """What one batch is made of: rows of text, and rows of random tokens that repeat."""

    length: int
    text_rows: int
    repeat_rows: int
    shortest_period: int
    longest_period: int
    alphabet: int


def mixture(step: int) -> Mixture:
    """The batch of a step.

    >>> mixture(4000)
    Mixture(length=256, text_rows=12, repeat_rows=4, shortest_period=8, longest_period=60, ...)
    """
    vocabulary = CONFIG["vocab_size"]
    if step < WHOLE_ALPHABET:
        grown = step / WHOLE_ALPHABET
        alphabet = round(64 * (vocabulary / 64) ** grown)
        return Mixture(64, 0, TOKENS_PER_STEP // 64, 3, round(8 + 22 * grown), alphabet)
    length = 128 if step < COOLDOWN else 256 if step < LONG_ROWS else 512
    rows = TOKENS_PER_STEP // length
    repeats = rows if step < TEXT else round(rows * REPEAT_SHARE)
    return Mixture(length, rows - repeats, repeats, 8, 60, vocabulary)


def draw_batch(
    text: Int[Tensor, "tokens"], step: int, generator: torch.Generator
) -> Int[Tensor, "rows length"]:
    """Rows cut from the text at random places, then rows of random tokens that repeat."""
    mix = mixture(step)
    pos = torch.arange(mix.length)
    starts = torch.randint(len(text) - mix.length, (mix.text_rows, 1), generator=generator)
    bounds = (mix.shortest_period, mix.longest_period + 1)
    periods = torch.randint(*bounds, (mix.repeat_rows, 1), generator=generator)
    noise = torch.randint(mix.alphabet, (mix.repeat_rows, mix.length), generator=generator)
    return torch.cat([text[starts + pos], noise.gather(1, pos % periods)])


def learning_rate(step: int, steps: int) -> float:
    """A linear warmup; from TEXT on a cosine; from COOLDOWN on linearly down to nothing."""
    if step < TEXT:
        return LEARNING_RATE * min(1.0, (step + 1) / WARMUP_STEPS)
    turn = math.pi * (min(step, COOLDOWN) - TEXT) / (COSINE_STEPS - TEXT)
    cosine = FINAL_LEARNING_RATE + (LEARNING_RATE - FINAL_LEARNING_RATE) * (1 + math.cos(turn)) / 2
    return cosine * min(1.0, (steps - step) / (steps - COOLDOWN))


def new_model(directory: Path) -> PreTrainedModel:
    """A model of the config.json in `directory`, so that readers load the RoPE it trained with."""
    config = AutoConfig.from_pretrained(directory)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=EMBEDDING_STD)
    for layer in model.model.layers:
        torch.nn.init.constant_(layer.post_attention_layernorm.weight, POST_NORM_GAIN)
        torch.nn.init.constant_(layer.post_feedforward_layernorm.weight, POST_NORM_GAIN)
    return model


def new_optimizer(model: PreTrainedModel) -> torch.optim.Optimizer:
    """AdamW that decays matrices only: the gains of the norms are left alone."""
    embedding, *others = model.parameters()
    matrices = [weight for weight in others if weight.ndim > 1]
    gains = [weight for weight in others if weight.ndim == 1]
    groups = [
        {"params": [embedding], "weight_decay": WEIGHT_DECAY, "text_boost": EMBEDDING_BOOST},
        {"params": matrices, "weight_decay": WEIGHT_DECAY, "text_boost": 1},
        {"params": gains, "weight_decay": 0.0, "text_boost": 1},
    ]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.95))


def token_losses(
    model: PreTrainedModel, ids: Int[Tensor, "rows length"]
) -> Float[Tensor, "rows length-1"]:
    """Cross-entropy, in nats, of each token but the first of its row."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
    losses = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    return losses.view(len(ids), -1)


@torch.no_grad()
def validation_loss(model: PreTrainedModel, text: Int[Tensor, "tokens"]) -> float:
    """Mean loss a token over the text, cut into rows as long as the model reads."""
    rows = text[: len(text) // CONTEXT * CONTEXT].view(-1, CONTEXT)
    losses = [token_losses(model, chunk) for chunk in rows.split(4)]
    return torch.cat(losses).mean().item()


@dataclass
class Run:
    """A model in training, and all else that it takes to go on from here exactly."""

    model: PreTrainedModel
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    history: History = field(default_factory=History)
    step: int = 0
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "history": self.history.columns,
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)  # so that a crash leaves the last one whole

    def load(self, path: Path) -> None:
        state = torch.load(path)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.history.columns = state["history"]
        self.step, self.seconds = state["step"], state["seconds"]


def train_step(run: Run, text: Int[Tensor, "tokens"], steps: int, losses_of: Callable) -> None:
    """One batch, one update."""
    started = time.monotonic()
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(run.step, steps)
        if run.step >= TEXT:
            group["lr"] *= group["text_boost"]
    ids = draw_batch(text, run.step, run.generator)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = losses_of(run.model, ids).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
    run.optimizer.step()
    run.optimizer.zero_grad()
    run.step += 1
    run.seconds += time.monotonic() - started


def save_model(model: PreTrainedModel, directory: Path) -> None:
    """The weights in bfloat16, as OLMo 3 is published."""
    weights = {name: weight.bfloat16().contiguous() for name, weight in model.state_dict().items()}
    (directory / "model.safetensors").write_bytes(save(weights, metadata={"format": "pt"}))


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_card(run: Run, seed: int, held_out: Int[Tensor, "tokens"], directory: Path) -> None:
    """Measures what a reader would load, and says so in metrics.json and README.md."""
    model = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager"
    )
    metrics = {
        "parameters": model.num_parameters(),
        "training": {
            "seed": seed,
            "steps": run.step,
            "tokens": run.step * TOKENS_PER_STEP,
            "minutes": round(run.seconds / 60, 1),
            "torch": torch.__version__.split("+")[0],
            "transformers": transformers.__version__,
        },
        "validation": {
            "plays": [play.replace("-", " ").title() for play in VALIDATION_PLAYS],
            "tokens": len(held_out),
            "context": CONTEXT,
            "loss": validation_loss(model, held_out),
        },
        "repeats": measure_repeats(model),
    }
    write_json(directory / "metrics.json", metrics)
    recipe = {
        "learning_rate": LEARNING_RATE,
        "weight_decay": WEIGHT_DECAY,
        "embedding_boost": EMBEDDING_BOOST,
        "embedding_std": EMBEDDING_STD,
        "post_norm_gain": POST_NORM_GAIN,
        "whole_alphabet": WHOLE_ALPHABET,
        "text": TEXT,
        "cooldown": COOLDOWN,
        "long_rows": LONG_ROWS,
        "repeat_share": REPEAT_SHARE,
    }
    card = CARD.format(**metrics, recipe=recipe)
    (directory / "README.md").write_text(card, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="where checkpoints are kept")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="where the model goes")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --run")
    parser.add_argument("--steps", type=int, default=STEPS, help="length of the whole schedule")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop sooner, to resume")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="faster; needs a C++ compiler")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    for directory in (args.run, args.out):
        directory.mkdir(parents=True, exist_ok=True)
    write_json(args.out / "config.json", CONFIG)
    write_json(args.out / "generation_config.json", GENERATION_CONFIG)
    scenes, held_out_scenes = read_plays()
    save_tokenizer(scenes, CONFIG["vocab_size"], CONFIG["max_position_embeddings"], args.out)
    text, held_out = encode(scenes, args.out), encode(held_out_scenes, args.out)
    tokenizer = Tokenizer.from_file(str(args.out / "tokenizer.json"))

    torch.manual_seed(args.seed)
    model = new_model(args.out)
    run = Run(model, new_optimizer(model), torch.Generator().manual_seed(args.seed))
    checkpoint = args.run / "checkpoint.pt"
    if args.resume:
        run.load(checkpoint)

    def look() -> str:
        text_loss = validation_loss(run.model, held_out[: 16 * CONTEXT])
        return run.history.look(run.step, run.model, text_loss, tokenizer)

    losses_of = torch.compile(token_losses, dynamic=False) if args.compile else token_losses
    stop_at = time.monotonic() + 60 * args.minutes
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("", total=args.steps, completed=run.step)
        if run.step == 0:
            progress.print(look())
        while run.step < args.steps and time.monotonic() < stop_at:
            train_step(run, text, args.steps, losses_of)
            progress.update(task, completed=run.step)
            if is_moment(run.step):
                progress.print(look())
            if run.step % CHECKPOINT_STEPS == 0:
                run.save(checkpoint)
    run.save(checkpoint)

    if run.step < args.steps:
        print(f"Stopped after step {run.step} of {args.steps}; go on with --resume.")
        return
    save_model(model, args.out)
    about = {"seed": args.seed, "tokens_per_step": TOKENS_PER_STEP}
    run.history.write(args.out / "history.json", about)
    write_card(run, args.seed, held_out, args.out)


if __name__ == "__main__":
    main()
