from .comparing import Diff, HeadDiff, TensorDiff, diff
from .config import (
    Component,
    OlmoConfig,
    check_config,
    check_supported,
    config_of,
    note_rope,
    read_config,
    read_json,
    whole_number,
)
from .fields import (
    ACTIVATIONS,
    AS_PUBLISHED,
    BYTES_PER_PARAMETER,
    FIELDS,
    LAYER_TYPES,
    ROPE_FIELDS,
    YARN_FIELDS,
    LayerType,
    field_table,
)
from .header import StoredTensor
from .heads import PROJECTIONS, Head, HeadSlice, head_norms, head_slices, initial_norm, read_head
from .history import TrainingHistory, training_history
from .hub import HubSource
from .kept import forget_heads
from .norms import frobenius
from .revisions import HeadHistory, HeadMoment, HistoryPlan, head_history, plan_history
from .rope_fields import REGIMES, Rope, ropes_under
from .safetensors import Checkpoint, Place, widen
from .source import PRESETS, FileMissing, LocalFile, LocalSource, ModelLike, Source, preset, resolve
from .spectra import HeadSpectra, effective_rank, head_spectra

__all__ = [
    "ACTIVATIONS",
    "AS_PUBLISHED",
    "BYTES_PER_PARAMETER",
    "FIELDS",
    "LAYER_TYPES",
    "PRESETS",
    "PROJECTIONS",
    "REGIMES",
    "ROPE_FIELDS",
    "YARN_FIELDS",
    "Checkpoint",
    "Component",
    "Diff",
    "FileMissing",
    "Head",
    "HeadDiff",
    "HeadHistory",
    "HeadMoment",
    "HeadSlice",
    "HeadSpectra",
    "HistoryPlan",
    "HubSource",
    "LayerType",
    "LocalFile",
    "LocalSource",
    "ModelLike",
    "OlmoConfig",
    "Place",
    "Rope",
    "Source",
    "StoredTensor",
    "TensorDiff",
    "TrainingHistory",
    "check_config",
    "check_supported",
    "config_of",
    "diff",
    "effective_rank",
    "field_table",
    "forget_heads",
    "frobenius",
    "head_history",
    "head_norms",
    "head_slices",
    "head_spectra",
    "initial_norm",
    "note_rope",
    "plan_history",
    "preset",
    "read_config",
    "read_head",
    "read_json",
    "resolve",
    "ropes_under",
    "training_history",
    "whole_number",
    "widen",
]
