# SPDX-License-Identifier: Apache-2.0
"""The catalogue: every check, repair and workflow, found by walking their packages. A new one needs no edit here."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any, TypeVar

import stackmend.checks
import stackmend.repairs
import stackmend.workflows
from stackmend.model.check import Check, HostCheck, OutsideCheck, Severity, StoreCheck
from stackmend.model.errors import StackmendError, UsageError
from stackmend.model.repair import Repair
from stackmend.model.workflow import Workflow

#: what a module of a check declares
KINDS: Mapping[str, type[Check]] = {
    "CHECK": Check,
    "OUTSIDE_CHECK": OutsideCheck,
    "HOST_CHECK": HostCheck,
    "STORE_CHECK": StoreCheck,
}

#: passes of a plan: identity and servers, then placement, then storage, then ports. What a repair's package is not
#: named for belongs to the first pass
_STAGES = {"placement": 1, "cinder": 2, "glance": 2, "neutron": 3}

_C = TypeVar("_C", bound=Check)


class CatalogueError(StackmendError):
    """The catalogue contradicts itself: a bug in stackmend, or in a file added to it."""


@cache
def checks() -> Mapping[str, Check]:
    """Name -> check of the databases alone, by name. Raises CatalogueError for duplicates."""
    found: dict[str, Check] = {}
    for _, module in _walk(stackmend.checks):
        check = getattr(module, "CHECK", None)
        if isinstance(check, Check):
            _add(found, check)
    return dict(sorted(found.items()))


@cache
def outside_checks() -> Mapping[str, OutsideCheck]:
    """Name -> check that also reads what lies outside the databases, by name. Raises CatalogueError for duplicates."""
    return _asked(OutsideCheck, "OUTSIDE_CHECK")


@cache
def tabled() -> Mapping[str, Check]:
    """Name -> check that is a statement on collected tables, of the databases or beside them, by name.

    Raises CatalogueError for unknown root causes. What lies beside the databases may explain what is found in them.
    """
    found = {**checks(), **outside_checks()}
    for check in found.values():
        for cause in check.explained_by:
            if cause not in found:
                raise CatalogueError(f"check {check.name} is explained by {cause}, which is not a check")
    return dict(sorted(found.items()))


@cache
def host_checks() -> Mapping[str, HostCheck]:
    """Name -> check of hosts, by name. Raises CatalogueError for duplicates."""
    return _asked(HostCheck, "HOST_CHECK")


@cache
def store_checks() -> Mapping[str, StoreCheck]:
    """Name -> check of the nodes of Glance, by name. Raises CatalogueError for duplicates."""
    return _asked(StoreCheck, "STORE_CHECK")


def _asked(kind: type[_C], attribute: str) -> dict[str, _C]:
    found: dict[str, _C] = {}
    for _, module in _walk(stackmend.checks):
        check = getattr(module, attribute, None)
        if isinstance(check, kind):
            _add(found, check)
    return dict(sorted(found.items()))


@cache
def every_check() -> Mapping[str, Check]:
    """Name -> check, of databases and what is beside them, of hosts or of nodes of Glance, by name."""
    found: dict[str, Check] = {}
    for some in (checks(), outside_checks(), host_checks(), store_checks()):
        for check in some.values():
            _add(found, check)
    return dict(sorted(found.items()))


def of_site(severities: Mapping[str, Severity]) -> Mapping[str, Check]:
    """Every check, as bad as it is at this site: ``severities`` by name, where they are not the catalogue's."""
    every = every_check()
    return {name: replace(c, severity=severities.get(name, c.severity)) for name, c in every.items()}


def of_kind(wanted: Collection[str], least: Severity | None, severities: Mapping[str, Severity]) -> Mapping[str, Check]:
    """The checks of these areas (all by default) that are at least so severe at this site.

    UsageError for an unknown area, or if no check is left.
    """
    for area in wanted:
        if area not in areas().values():
            raise UsageError(f"there is no area '{area}'", f"Areas: {', '.join(sorted(set(areas().values())))}.")
    order = list(Severity)
    worst = order if least is None else order[: order.index(least) + 1]
    fit = {
        name: check
        for name, check in of_site(severities).items()
        if (not wanted or areas()[name] in wanted) and check.severity in worst
    }
    if not fit:
        raise UsageError(f"no check of {', '.join(wanted)} is that severe", "'stackmend check list' shows them all.")
    return fit


@cache
def repairs() -> Mapping[str, Repair]:
    """Name -> repair, by name. Raises CatalogueError for duplicates and unknown checks."""
    found: dict[str, Repair] = {}
    for _, module in _walk(stackmend.repairs):
        repair = getattr(module, "REPAIR", None)
        if isinstance(repair, Repair):
            _add(found, repair)
            for check in repair.checks:
                if check not in tabled():
                    raise CatalogueError(f"repair {repair.name} is for {check}, which is not a check")
    return dict(sorted(found.items()))


@cache
def workflows() -> Mapping[str, Workflow]:
    """Name -> workflow, by name. Raises CatalogueError for duplicates."""
    found: dict[str, Workflow] = {}
    for _, module in _walk(stackmend.workflows):
        workflow = getattr(module, "WORKFLOW", None)
        if isinstance(workflow, Workflow):
            _add(found, workflow)
    return dict(sorted(found.items()))


@cache
def areas() -> Mapping[str, str]:
    """Name of a check -> its service, from the package it is in (a service may have several: nova, nova_api, ...)."""
    return {
        getattr(module, attribute).name: service.partition("_")[0]
        for service, module in _walk(stackmend.checks)
        for attribute in KINDS
        if hasattr(module, attribute)
    }


@cache
def modules() -> Mapping[str, str]:
    """Name of a repair or workflow -> the module that defines it."""
    return {
        getattr(module, attribute).name: module.__name__
        for package, attribute in ((stackmend.repairs, "REPAIR"), (stackmend.workflows, "WORKFLOW"))
        for _, module in _walk(package)
        if hasattr(module, attribute)
    }


def pages() -> dict[str, str]:
    """Name of a check or repair -> its page, the docstring of its module."""
    found = {}
    wanted = (*((stackmend.checks, kind) for kind in KINDS), (stackmend.repairs, "REPAIR"))
    for package, attribute in wanted:
        for _, module in _walk(package):
            if hasattr(module, attribute):
                found[getattr(module, attribute).name] = module.__doc__ or ""
    return found


def offered(check: str, code: object = None, known: Mapping[str, Repair] | None = None) -> tuple[Repair, ...]:
    """The repairs for a finding of this check with this ``code``, the default first.

    A repair for the code precedes one for any code, and repairs used only by name come last; ties are broken by name.
    """
    every = (repairs() if known is None else known).values()
    fit = [r for r in every if check in r.checks and (not r.codes or (code is not None and str(code) in r.codes))]
    return tuple(sorted(fit, key=lambda r: (r.by_name, not r.codes, r.name)))


@cache
def _services() -> dict[str, str]:
    found = {}
    for service, module in _walk(stackmend.repairs):
        repair = getattr(module, "REPAIR", None)
        if isinstance(repair, Repair):
            found[repair.name] = service
    return found


def stage(repair: str) -> int:
    """The pass of a plan to which a repair belongs, by the service whose package contains it."""
    return _STAGES.get(_services().get(repair, ""), 0)


def chosen(names: Mapping[str, Check], wanted: tuple[str, ...]) -> dict[str, Check]:
    """The checks with these names, or all; UsageError for an unknown name."""
    for name in wanted:
        if name not in names:
            near = [n for n in names if name in n]
            raise UsageError(
                f"there is no check {name!r}",
                f"Did you mean {', '.join(near[:3])}?" if near else "See 'stackmend check list'.",
            )
    return {name: check for name, check in names.items() if not wanted or name in wanted}


def _add(found: dict[str, Any], item: Any) -> None:
    if item.name in found:
        raise CatalogueError(f"there are two called {item.name}")
    found[item.name] = item


def _walk(package: ModuleType) -> Iterator[tuple[str, ModuleType]]:
    """(name of the sub-package, module) of every module below a package."""
    prefix = package.__name__ + "."
    for info in sorted(pkgutil.walk_packages(package.__path__, prefix), key=lambda m: m.name):
        if not info.ispkg and not info.name.rpartition(".")[2].startswith("_"):
            yield info.name.removeprefix(prefix).partition(".")[0], importlib.import_module(info.name)
