from .beads import draw_calls
from .costs import plot_attention_share, plot_roofline
from .diagram import where_we_are
from .norms import plot_head_norms, plot_norms_by_layer
from .picture import Picture
from .reading import draw_reading
from .sizes import plot_kv_cache, plot_parameters
from .tables import Table, table

__all__ = [
    "Picture",
    "Table",
    "draw_calls",
    "draw_reading",
    "plot_attention_share",
    "plot_head_norms",
    "plot_kv_cache",
    "plot_norms_by_layer",
    "plot_parameters",
    "plot_roofline",
    "table",
    "where_we_are",
]
