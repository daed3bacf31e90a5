# SPDX-License-Identifier: Apache-2.0
"""How log lines are written: one module for each format, found by walking this package. Each has one ``FORMAT``."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from stackmend.model.diagnosing.logs import Format


@cache
def formats() -> tuple[Format, ...]:
    """Every format, in the order in which they must be tried."""
    names = sorted(info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_"))
    found: list[Format] = [importlib.import_module(f"{__name__}.{name}").FORMAT for name in names]
    return tuple(sorted(found, key=lambda one: (one.order, one.name)))
