from .apart import draw_apart, draw_scores
from .beads import draw_calls
from .clocks import draw_clocks
from .costs import plot_attention_share, plot_roofline
from .diagram import where_we_are
from .masks import draw_masks
from .norms import plot_head_norms, plot_norms_by_layer
from .picture import Picture
from .reading import draw_reading
from .sizes import plot_kv_cache, plot_parameters
from .tables import Table, table

__all__ = [
    "Picture",
    "Table",
    "draw_apart",
    "draw_calls",
    "draw_clocks",
    "draw_masks",
    "draw_reading",
    "draw_scores",
    "plot_attention_share",
    "plot_head_norms",
    "plot_kv_cache",
    "plot_norms_by_layer",
    "plot_parameters",
    "plot_roofline",
    "table",
    "where_we_are",
]
