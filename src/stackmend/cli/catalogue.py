# SPDX-License-Identifier: Apache-2.0
"""Checks and repairs by name, with suggestions for a misspelt one."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar

from stackmend.model.check import Check, Severity, Visiting
from stackmend.model.errors import UsageError
from stackmend.model.repair import Repair

if TYPE_CHECKING:
    from stackmend.config.settings import Config

T = TypeVar("T")


def check_named(name: str) -> Check:
    """The check of that name; UsageError with the nearest names when there is none."""
    from stackmend.engine.auditing import catalogue

    return _named("check", name, catalogue.every_check())


def repair_named(name: str) -> Repair:
    """The repair of that name; UsageError with the nearest names when there is none."""
    from stackmend.engine.auditing import catalogue

    return _named("repair", name, catalogue.repairs())


def checks_of_kind(parsed_args: argparse.Namespace, severities: Mapping[str, Severity]) -> Mapping[str, Check]:
    """The checks of ``--area`` and ``--severity``; UsageError if there are none."""
    from stackmend.engine.auditing import catalogue

    least = Severity(parsed_args.severity) if parsed_args.severity else None
    return catalogue.of_kind(parsed_args.area, least, severities)


def checks_asked(parsed_args: argparse.Namespace, config: Config, there: Collection[str]) -> tuple[str, ...]:
    """The names of the checks that ``--check``, ``--area`` and ``--severity`` ask for together; () for all.

    A visit has to be asked for: checks that visit hosts or nodes are among them only if named, or if no others are;
    and those that read something outside the databases only if named, or if it is ``there`` (labels of tables).
    UsageError for an unknown name, and if no check is left.
    """
    from stackmend.app.outside import readable

    named = [check_named(name) for name in parsed_args.check]
    if not parsed_args.area and not parsed_args.severity:
        return tuple(check.name for check in named)
    fit = checks_of_kind(parsed_args, config.severities)
    if outside := [check.name for check in named if check.name not in fit]:
        raise UsageError(f"{', '.join(outside)} is not of that area and severity", "Leave --area and --severity away.")
    able = readable(fit, there, named=False) or fit
    read = [name for name, check in able.items() if not isinstance(check, Visiting)]
    return tuple(check.name for check in named) or tuple(read or able)


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
