from .checking import check

__all__ = ["check"]
