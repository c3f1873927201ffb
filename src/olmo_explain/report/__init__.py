"""The report that the book began with, every statement of it measured again.

`claim` says how a verdict comes about, `evidence` what is measured and on which model; `sections`
holds the statements and the tables, a file for each section of the report.
"""

from olmo_explain.doors import door

__getattr__, __dir__, __all__ = door(__name__, __file__)
