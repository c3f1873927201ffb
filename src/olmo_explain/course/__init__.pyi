from .checking import check
from .exported import exported_exercise, exported_words
from .puzzle import three_engines

__all__ = ["check", "exported_exercise", "exported_words", "three_engines"]
