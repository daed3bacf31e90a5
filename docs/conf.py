# SPDX-License-Identifier: Apache-2.0
"""Sphinx: ``sphinx-build -W docs docs/_build/html``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from stackmend import __version__

project = "stackmend"
author = "the stackmend authors"
copyright = "the stackmend authors, Apache-2.0"
release = version = __version__

extensions = ["myst_parser", "stackmend_docs"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# "$now" in the SQL of checks is a parameter, which the lexer does not know
suppress_warnings = ["misc.highlighting_failure"]
exclude_patterns = ["_build"]
html_theme = "furo"
# (page, name, what it is, authors, section)
man_pages = [
    (
        "reference/commands",
        "stackmend",
        "find, explain and mend where the parts of an OpenStack cloud disagree",
        [author],
        1,
    ),
    ("reference/configuration", "stackmend.toml", "configuration of stackmend", [author], 5),
]
html_title = f"stackmend {release}"
