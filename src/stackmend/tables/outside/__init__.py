# SPDX-License-Identifier: Apache-2.0
"""Tables of what lies outside the databases: hypervisors, and whatever else is read on request. One module a source.

A module defines ``OUTSIDE``, what the source is called and asked for by, and ``TABLES``, as those of
:mod:`stackmend.tables` do, with a service that has no database. In a snapshot they are like any other table; the
sources of the service are called ``<service>`` or ``<service>:<name>`` there. How they are read is said in
:mod:`stackmend.app.outside`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from stackmend.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """A source outside the databases, as operators see it."""

    service: str  #: of its tables
    what: str  #: in messages, in the plural: "hypervisors"
    option: str  #: "hosts" for ``--hosts``
    help: str
    metavar: str = ""  #: what may follow the option, any number of times; "": nothing


@cache
def sources() -> dict[str, Outside]:
    """Service -> source, by service."""
    found: list[Outside] = [module.OUTSIDE for module in _modules()]
    return {one.service: one for one in sorted(found, key=lambda one: one.service)}


@cache
def outside() -> dict[str, Table]:
    """Each label with its table."""
    return {table.label: table for module in _modules() for table in module.TABLES}


def _modules() -> list[ModuleType]:
    return [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]


def services(labels: Iterable[str]) -> frozenset[str]:
    """The services outside the databases to which tables with these labels belong."""
    known = outside()
    return frozenset(known[label].service for label in labels if label in known)


def of_service(service: str) -> frozenset[str]:
    """The labels of the tables of a service."""
    return frozenset(label for label, table in outside().items() if table.service == service)
