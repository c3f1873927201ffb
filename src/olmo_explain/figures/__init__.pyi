from .costs import plot_attention_share, plot_costs_by_operation, plot_roofline
from .diagram import where_we_are
from .file_bar import draw_file_bar
from .lookup import draw_lookup
from .norms import plot_head_norms, plot_norms_by_layer
from .picture import Picture
from .shutters import draw_shutters
from .sizes import plot_kv_cache, plot_parameters
from .tables import Table, table

__all__ = [
    "Picture",
    "Table",
    "draw_file_bar",
    "draw_lookup",
    "draw_shutters",
    "plot_attention_share",
    "plot_costs_by_operation",
    "plot_head_norms",
    "plot_kv_cache",
    "plot_norms_by_layer",
    "plot_parameters",
    "plot_roofline",
    "table",
    "where_we_are",
]
