"""What lies on disk, read without torch: config.json, safetensors, and one head of either.

A MODEL is a name; `source` says where its files lie, `hub` and `web` read them from elsewhere by
byte ranges. `config` is what config.json says and what follows from it (`rope_fields`: of RoPE).
`safetensors` turns rows and columns into bytes, by the `header` of a file; `heads` a head into rows
and columns, `norms` either into a number, `spectra` a head into singular values. `comparing` sets
two checkpoints side by side, by `distances`; `revisions` a head at many commits, `kept` keeps it.
"""

from olmo_explain.doors import door

__getattr__, __dir__, __all__ = door(__name__, __file__)
