"""README.md as PyPI shows it: a link to a file beside it leads to that file in the repository.

All else about the package stands in pyproject.toml.
"""

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SOURCE, VERSION = PROJECT["urls"]["Source"], PROJECT["version"]

text = (ROOT / "README.md").read_text(encoding="utf-8")
text = re.sub(r"\]\((?!https?:|#)", f"]({SOURCE}/blob/v{VERSION}/", text)
text = re.sub(r'(src|srcset)="(?!https?:)', rf'\1="{SOURCE}/raw/v{VERSION}/', text)
setup(long_description=text, long_description_content_type="text/markdown")
