"""Runs `tiny` on llama.cpp, through a GGUF, and diagnoses what it gave.

    python -m scripts.llama_cpp

The first run puts gguf and xllamacpp, llama.cpp with a Python binding, under build/llama-cpp: some
40 MB from the package index that pip is set up with. Exits with 1 where they are not equal.

The GGUF says what llama.cpp's own convert_hf_to_gguf.py writes of an OLMo 3: architecture olmo2,
sliding_window and its pattern, and rope.scaling with yarn_attn_factor. That script knows published
tokenizers by their hashes and refuses any other, so that of `tiny` is written here. The server of
xllamacpp gives the log-probabilities of one position in each answer.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import olmo_explain as oe
from olmo_explain.by_hand import Weights
from olmo_explain.checkpoint import Checkpoint, OlmoConfig, preset, read_config

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "build" / "llama-cpp"
PACKAGES = ("gguf==0.19.0", "xllamacpp==2026.10.11549")
LENGTH = 64
POSITIONS = [*range(2, LENGTH, 4), LENGTH - 1]


def main() -> None:
    if not PLACE.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", PLACE]
        subprocess.run([*pip, *PACKAGES], check=True)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH"), str(PLACE)]))
    with tempfile.TemporaryDirectory() as place:
        words = [sys.executable, __file__, place]
        environment = os.environ | {"PYTHONPATH": path}
        ran = subprocess.run(words, capture_output=True, text=True, env=environment)
        if ran.returncode:
            sys.exit(f"llama.cpp could not run it:\n{ran.stderr}")
        found = oe.diagnose("tiny", Path(place) / "engine.json", dtype="float32")
    print(found)
    sys.exit(0 if found.ok else 1)


def convert(path: Path) -> None:
    """Writes `tiny` as a GGUF in float32."""
    import gguf
    import torch

    source = preset("tiny")
    config, checkpoint = read_config(source), Checkpoint(source)
    writer = gguf.GGUFWriter(path, "olmo2")
    _write_config(writer, config)
    _write_tokenizer(writer, json.loads(source.read("tokenizer.json")), config.vocab_size)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.OLMO2, config.num_hidden_layers)
    weights = Weights(checkpoint, torch.float32)
    for name in checkpoint.names:
        writer.add_tensor(names.get_name(name, (".weight",)), weights[name].numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_config(writer: Any, config: OlmoConfig) -> None:
    yarn = config.rope["full_attention"]
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_sliding_window(config.sliding_window)
    writer.add_sliding_window_pattern([it == "sliding_attention" for it in config.layer_types])
    writer.add_rope_freq_base(yarn.rope_theta)
    writer.add_string("olmo2.rope.scaling.type", yarn.rope_type)
    writer.add_rope_scaling_factor(yarn.factor)
    writer.add_rope_scaling_orig_ctx_len(yarn.original_max_position_embeddings)
    writer.add_rope_scaling_yarn_attn_factor(yarn.attention_factor)
    writer.add_rope_scaling_yarn_beta_fast(yarn.beta_fast)
    writer.add_rope_scaling_yarn_beta_slow(yarn.beta_slow)


def _write_tokenizer(writer: Any, tokenizer: dict[str, Any], size: int) -> None:
    tokens = {id: token for token, id in tokenizer["model"]["vocab"].items()}
    tokens |= {it["id"]: it["content"] for it in tokenizer["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([tokens.get(id, f"<unused {id}>") for id in range(size)])
    writer.add_token_types([1] * size)
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])


def run(model: Path, output: Path) -> None:
    """Asks a server of llama.cpp's for every token's log-probability, at some positions."""
    import xllamacpp

    asked = xllamacpp.CommonParams()
    asked.model.path, asked.n_ctx, asked.n_parallel = str(model), 4 * LENGTH, 1
    asked.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    asked.cache_type_k = asked.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    server, ids, top = xllamacpp.Server(asked), list(range(LENGTH)), []
    for position in POSITIONS:
        prompt = {"prompt": ids[: position + 1], "n_predict": 1, "n_probs": 2048, "temperature": 0}
        (choice,) = server.handle_completions(prompt)["choices"]
        (first,) = choice["logprobs"]["content"]
        top.append({one["id"]: one["logprob"] for one in first["top_logprobs"]})
    output.write_text(json.dumps({"ids": ids, "positions": POSITIONS, "top": top}))


if __name__ == "__main__":
    match sys.argv[1:]:
        case [place]:
            convert(Path(place) / "tiny.gguf")
            run(Path(place) / "tiny.gguf", Path(place) / "engine.json")
        case _:
            main()
