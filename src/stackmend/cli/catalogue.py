# SPDX-License-Identifier: Apache-2.0
"""Checks and repairs by name, with suggestions for a misspelt one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TypeVar

from stackmend.model.check import Check
from stackmend.model.errors import UsageError
from stackmend.model.repair import Repair

T = TypeVar("T")


def check_named(name: str) -> Check:
    """The check of that name; UsageError with the nearest names when there is none."""
    from stackmend.engine.auditing import catalogue

    return _named("check", name, catalogue.every_check())


def repair_named(name: str) -> Repair:
    """The repair of that name; UsageError with the nearest names when there is none."""
    from stackmend.engine.auditing import catalogue

    return _named("repair", name, catalogue.repairs())


def checks_named(names: Sequence[str]) -> tuple[str, ...]:
    """The same names; UsageError unless all of them are checks."""
    return tuple(check_named(name).name for name in names)


def repairs_of(check: Check) -> tuple[Repair, ...]:
    """Every repair for findings of this check."""
    from stackmend.engine.auditing import catalogue

    return tuple(repair for repair in catalogue.repairs().values() if check.name in repair.checks)


def _named(kind: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        near = get_close_matches(name, known, 3) or [other for other in known if name in other][:3]
        hint = f"Did you mean: {', '.join(near)}?" if near else f"'stackmend {kind} list' has them."
        raise UsageError(f"there is no {kind} '{name}'", hint)
    return known[name]
