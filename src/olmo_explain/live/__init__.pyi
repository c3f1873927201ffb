from .scripts import engine, page_scripts

__all__ = ["engine", "page_scripts"]
