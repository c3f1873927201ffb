from .apart import draw_apart, draw_scores
from .bands import draw_bands
from .beads import draw_calls
from .bill import draw_bill
from .clocks import draw_clocks
from .costs import plot_attention_share, plot_roofline
from .diagram import where_we_are
from .dot_product import draw_dot_product
from .file_bar import draw_file_bar
from .head_costs import draw_head_costs
from .history import plot_history
from .lens import draw_lens
from .look import LOOK
from .lookup import draw_lookup
from .masks import draw_masks
from .neurons import draw_gate, draw_neurons
from .norms import plot_head_norms
from .pattern import draw_pattern
from .picture import Picture
from .reading import draw_reading
from .shutters import draw_shutters
from .stream import draw_stream
from .tables import Table, table
from .training import plot_growth, plot_training
from .verdicts import draw_verdicts

__all__ = [
    "LOOK",
    "Picture",
    "Table",
    "draw_apart",
    "draw_bands",
    "draw_bill",
    "draw_calls",
    "draw_clocks",
    "draw_dot_product",
    "draw_file_bar",
    "draw_gate",
    "draw_head_costs",
    "draw_lens",
    "draw_lookup",
    "draw_masks",
    "draw_neurons",
    "draw_pattern",
    "draw_reading",
    "draw_scores",
    "draw_shutters",
    "draw_stream",
    "draw_verdicts",
    "plot_attention_share",
    "plot_growth",
    "plot_head_norms",
    "plot_history",
    "plot_roofline",
    "plot_training",
    "table",
    "where_we_are",
]
