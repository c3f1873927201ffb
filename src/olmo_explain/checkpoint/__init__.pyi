from .config import (
    AS_PUBLISHED,
    BYTES_PER_PARAMETER,
    Component,
    OlmoConfig,
    check_config,
    config_of,
    note_rope,
    read_config,
)
from .header import StoredTensor
from .heads import PROJECTIONS, Head, HeadSlice, head_norms, head_slices, initial_norm, read_head
from .hub import HubSource
from .norms import frobenius
from .rope_fields import LayerType, Rope
from .safetensors import Checkpoint, Place, widen
from .source import PRESETS, FileMissing, LocalFile, LocalSource, ModelLike, Source, preset, resolve

__all__ = [
    "AS_PUBLISHED",
    "BYTES_PER_PARAMETER",
    "PRESETS",
    "PROJECTIONS",
    "Checkpoint",
    "Component",
    "FileMissing",
    "Head",
    "HeadSlice",
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
    "check_config",
    "config_of",
    "frobenius",
    "head_norms",
    "head_slices",
    "initial_norm",
    "note_rope",
    "preset",
    "read_config",
    "read_head",
    "resolve",
    "widen",
]
