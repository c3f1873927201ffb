from .scripts import bundled, engine, page_scripts

__all__ = ["bundled", "engine", "page_scripts"]
