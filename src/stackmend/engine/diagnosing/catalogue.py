# SPDX-License-Identifier: Apache-2.0
"""The catalogue of causes, found by walking :mod:`stackmend.causes`. A new cause needs no edit here."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

import stackmend.causes
from stackmend.engine.auditing.catalogue import CatalogueError
from stackmend.model.diagnosing.cause import Cause


@cache
def causes() -> Mapping[str, Cause]:
    """Name -> cause, sorted by name. CatalogueError for duplicates, and for a cause that explains an unknown one."""
    found: dict[str, Cause] = {}
    for name in _modules():
        cause = getattr(importlib.import_module(name), "CAUSE", None)
        if isinstance(cause, Cause):
            if cause.name in found:
                raise CatalogueError(f"there are two called {cause.name}")
            found[cause.name] = cause
    for cause in found.values():
        if unknown := cause.explains - found.keys():
            raise CatalogueError(f"cause {cause.name} explains {min(unknown)}, which is not a cause")
    return dict(sorted(found.items()))


@cache
def pages() -> Mapping[str, str]:
    """Name -> page, which is the docstring of the cause's module."""
    modules = (importlib.import_module(name) for name in _modules())
    return {module.CAUSE.name: module.__doc__ or "" for module in modules if hasattr(module, "CAUSE")}


def title(name: str) -> str:
    """The first line of a cause's page."""
    return pages()[name].strip().partition("\n")[0].rstrip(".")


def words() -> tuple[str, ...]:
    """The words of all causes, which are searched for around the trouble."""
    return tuple(sorted({word for cause in causes().values() for word in cause.words}))


def _modules() -> list[str]:
    prefix = f"{stackmend.causes.__name__}."
    every = pkgutil.walk_packages(stackmend.causes.__path__, prefix)
    return sorted(m.name for m in every if not m.ispkg and not m.name.rpartition(".")[2].startswith("_"))
