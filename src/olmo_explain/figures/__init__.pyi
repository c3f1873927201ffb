from .bands import draw_bands
from .costs import plot_attention_share, plot_costs_by_operation, plot_roofline
from .diagram import where_we_are
from .head_costs import draw_head_costs
from .norms import plot_head_norms, plot_norms_by_layer
from .picture import Picture
from .sizes import plot_kv_cache, plot_parameters
from .tables import Table, table
from .training import plot_training
from .verdicts import draw_verdicts

__all__ = [
    "Picture",
    "Table",
    "draw_bands",
    "draw_head_costs",
    "draw_verdicts",
    "plot_attention_share",
    "plot_costs_by_operation",
    "plot_head_norms",
    "plot_kv_cache",
    "plot_norms_by_layer",
    "plot_parameters",
    "plot_roofline",
    "plot_training",
    "table",
    "where_we_are",
]
