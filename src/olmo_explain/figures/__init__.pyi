from .bill import draw_bill
from .costs import plot_attention_share, plot_costs_by_operation, plot_roofline
from .diagram import where_we_are
from .lens import draw_lens
from .norms import plot_head_norms, plot_norms_by_layer
from .picture import Picture
from .sizes import plot_kv_cache, plot_parameters
from .tables import Table, table

__all__ = [
    "Picture",
    "Table",
    "draw_bill",
    "draw_lens",
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
