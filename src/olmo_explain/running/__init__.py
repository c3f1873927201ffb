"""The real model of transformers: loaded, given a prompt, watched, changed.

`loading` and `prompting` make it run; `hooks` is the one way in which anything is put on it.
`tracing` (with `operators` and `order`) says what ran, `capturing` what came out at each step,
`rope_guard` tells which RoPE was applied. `ablation` takes a head off, `circuits` measures what
heads do.
"""

from olmo_explain.doors import door

__getattr__, __dir__, __all__ = door(__name__, __file__)
