# SPDX-License-Identifier: Apache-2.0
"""Sphinx extension: pages of checks and repairs before the build, and directives for the tables made of the source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import generate
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class _Made(SphinxDirective):
    """Puts Markdown made of the source into a page."""

    make: ClassVar[Callable[[], str]]

    def run(self) -> list[nodes.Node]:
        """Parse what ``make`` returns, in place."""
        where = f"made by {type(self).__name__}"
        found = nodes.Element()
        lines = type(self).make().splitlines()
        self.state.nested_parse(StringList(lines, where), self.content_offset, found, match_titles=True)
        return found.children


class ExitCodes(_Made):
    """``{stackmend-exit-codes}``."""

    make = staticmethod(generate.exit_codes)


class Commands(_Made):
    """``{stackmend-commands}``."""

    make = staticmethod(generate.commands)


class Settings(_Made):
    """``{stackmend-settings}``."""

    make = staticmethod(generate.settings)


class Bench(_Made):
    """``{stackmend-bench}``."""

    make = staticmethod(generate.bench)


class Proofs(_Made):
    """``{stackmend-proofs}``."""

    make = staticmethod(generate.proofs)


class Releases(_Made):
    """``{stackmend-releases}``."""

    make = staticmethod(generate.releases)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register everything."""
    app.add_directive("stackmend-exit-codes", ExitCodes)
    app.add_directive("stackmend-commands", Commands)
    app.add_directive("stackmend-settings", Settings)
    app.add_directive("stackmend-bench", Bench)
    app.add_directive("stackmend-proofs", Proofs)
    app.add_directive("stackmend-releases", Releases)
    app.connect("builder-inited", lambda running: generate.write(Path(running.srcdir) / "reference"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
