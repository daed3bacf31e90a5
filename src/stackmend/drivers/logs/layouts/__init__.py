# SPDX-License-Identifier: Apache-2.0
"""How log folders are laid out: one module for each layout, found by walking this package. Each has one ``LAYOUT``."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from stackmend.model.diagnosing.logs import Layout


@cache
def layouts() -> tuple[Layout, ...]:
    """Every layout, the more specific ones first."""
    names = sorted(info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_"))
    found: list[Layout] = [importlib.import_module(f"{__name__}.{name}").LAYOUT for name in names]
    return tuple(sorted(found, key=lambda one: (one.order, one.name)))


def place(parts: tuple[str, ...]) -> tuple[str, str]:
    """(host, service) of a file by the names on its path; "" for whatever no layout recognises."""
    for layout in layouts():
        if (found := layout.place(parts)) is not None:
            return found
    return "", ""
