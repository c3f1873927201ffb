"""What `config` looks like in a terminal."""

from rich.console import Console

from olmo_explain.checkpoint import OlmoConfig
from olmo_explain.terminal.output import grid
from olmo_explain.words import amount, shape


def print_config(console: Console, model: str, config: OlmoConfig) -> None:
    """Every tensor's shape and count, the full layers, and the KV cache."""
    title = f"{model}: {config.parameters:,} parameters, {config.bytes:,} bytes"
    numbers = ("shape", "parameters", "count")
    table = grid(title, "tensor", *numbers, right=numbers)
    for component in config.components:
        # The count tells whether there is one in each layer.
        name = component.name.removeprefix("model.").removeprefix("layers.{layer}.")
        table.add_row(
            name.removesuffix(".weight"),
            shape(component.shape),
            f"{component.parameters:,}",
            f"{component.count:,}",
        )
    console.print(table)
    full = config.full_attention_layers
    seen = f"full attention in layers {', '.join(map(str, full))}" if full else "all of them slide"
    console.print(
        f"{config.num_hidden_layers} layers, {config.num_attention_heads} heads of "
        f"{config.head_dim}, {config.num_key_value_heads} key-value heads; {seen}"
    )
    longest = config.max_position_embeddings
    capped, between = (
        config.kv_cache_bytes(longest),
        config.kv_cache_bytes(longest, between_steps=True),
    )
    console.print(
        f"KV cache ({config.dtype}, batch 1): {config.kv_cache_bytes(1):,} bytes a token; at "
        f"{longest:,} positions {amount(capped)} with sliding layers capped at their window, "
        f"{amount(config.kv_cache_bytes(longest, capped=False))} without; transformers keeps "
        f"{amount(between)} between steps, window − 1 positions"
    )
