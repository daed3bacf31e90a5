# SPDX-License-Identifier: Apache-2.0
"""Which checks can be answered by an account alone: concluded from what they read and from what the APIs show."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from stackmend.drivers.api.collector import SERVICES, ApiTables
from stackmend.engine.auditing import catalogue
from stackmend.engine.auditing.ask import Readiness, standing
from stackmend.model.snapshot import Manifest


@cache
def _standing() -> dict[str, Readiness]:
    """Check -> whether it may run where every service is known by its API, and none of them fails."""
    checks = catalogue.checks()
    labels = {label for check in checks.values() for label in check.reads}
    nothing_is_read = cast("Any", None)
    sources = tuple(ApiTables(nothing_is_read, SERVICES).sources(labels))
    manifest = Manifest(format="", created_at="", now="", skew=0.0, sources=sources, cells_known=True)
    return {name: standing(check, manifest) for name, check in checks.items()}


def whole() -> set[str]:
    """The checks that are answered whole."""
    return {name for name, found in _standing().items() if found.complete}


def partly() -> set[str]:
    """The checks that are answered, but may overlook something."""
    return {name for name, found in _standing().items() if found.speaks and not found.complete}
