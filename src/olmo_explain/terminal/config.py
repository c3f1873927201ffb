"""What `config` looks like in a terminal."""

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from olmo_explain.config import OlmoConfig
from olmo_explain.terminal.words import amount


def print_config(console: Console, model: str, config: OlmoConfig) -> None:
    """Every tensor's shape and count, the full layers, and the KV cache."""
    table = Table(
        box=SIMPLE, title=f"{model}: {config.parameters:,} parameters, {config.bytes:,} bytes"
    )
    table.add_column("tensor", overflow="fold")
    table.add_column("shape", justify="right")
    table.add_column("parameters", justify="right")
    table.add_column("count", justify="right")
    for component in config.components:
        shape = " × ".join(f"{size:,}" for size in component.shape)
        name = component.name.removeprefix("model.").removesuffix(".weight")
        table.add_row(name, shape, f"{component.parameters:,}", f"{component.count}")
    console.print(table)
    full = ", ".join(map(str, config.full_attention_layers))
    console.print(
        f"{config.num_hidden_layers} layers, {config.num_attention_heads} heads of "
        f"{config.head_dim}, {config.num_key_value_heads} key-value heads; "
        f"full attention in layers {full}"
    )
    longest = config.max_position_embeddings
    console.print(
        f"KV cache ({config.dtype}, batch 1): {config.kv_cache_bytes(1):,} bytes a token; at "
        f"{longest:,} positions {amount(config.kv_cache_bytes(longest))} with sliding layers "
        f"capped at their window, {amount(config.kv_cache_bytes(longest, capped=False))} without"
    )
