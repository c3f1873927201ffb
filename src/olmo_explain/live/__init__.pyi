from .faults import exported_faults, shown_faults
from .reading import reader
from .scripts import bundled, engine, page_scripts

__all__ = ["bundled", "engine", "exported_faults", "page_scripts", "reader", "shown_faults"]
