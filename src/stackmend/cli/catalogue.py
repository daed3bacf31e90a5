# SPDX-License-Identifier: Apache-2.0
"""Looking up checks by name, with a suggestion for a misspelt one."""

from __future__ import annotations

import importlib
import pkgutil
from difflib import get_close_matches

from stackmend.model.check import Check
from stackmend.model.errors import UsageError


def check_named(name: str) -> Check:
    """The check of that name; UsageError with the nearest names when there is none."""
    from stackmend.engine import catalogue

    checks = catalogue.checks()
    if name not in checks:
        near = get_close_matches(name, checks, 3)
        hint = f"Did you mean: {', '.join(near)}?" if near else "'stackmend check list' has them."
        raise UsageError(f"there is no check '{name}'", hint)
    return checks[name]


def page_source(check: Check) -> str | None:
    """The docstring of the module that a check is in."""
    import stackmend.checks as package

    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name.rpartition(".")[2] == check.name.replace("-", "_"):
            return importlib.import_module(module.name).__doc__
    return None
