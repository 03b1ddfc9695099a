"""
Sphinx configuration of the narrative documentation; docs/apidocs.py builds the API reference.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

from txsockjs import __version__  # noqa: E402

project = "txsockjs"
author = "txsockjs contributors"
copyright = "txsockjs contributors"
version = release = __version__

extensions = ["options_table"]
exclude_patterns = ["_build"]
nitpicky = True
default_role = "any"
highlight_language = "none"

html_theme = "alabaster"
html_static_path = ["_static"]
html_theme_options = {"description": "SockJS for Twisted", "fixed_sidebar": True}
