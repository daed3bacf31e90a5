# SPDX-License-Identifier: Apache-2.0
"""What lies outside the databases and is read on request: one module a source, found by walking this package.

A module defines ``OUTSIDE``. Its option is offered by every command that collects tables (``audit``, ``snapshot
create``, ``plan create``); its tables are in :mod:`stackmend.tables.outside`; checks that read them are of the class
:class:`stackmend.model.check.OutsideCheck`, and are run if it was read.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from stackmend.model.errors import UsageError

if TYPE_CHECKING:
    from stackmend.app.session import CloudSession
    from stackmend.config.settings import Config
    from stackmend.drivers.snapshot.recollect import TableSource
    from stackmend.model.check import Check

#: so many names are counted instead
_LISTED = 9
#: service -> what of it is to be read, as the operator named it; nothing: all
Asked = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """A source outside the databases."""

    service: str  #: of its tables
    what: str  #: in messages, in the plural: "hypervisors"
    option: str  #: "hosts" for ``--hosts``
    help: str
    configured: Callable[[Config], bool]  #: whether the site can read it
    metavar: str = ""  #: what may follow the option, any number of times; "": nothing
    #: the source, to be read within the ``with`` block; errors as fit for the operator
    opened: Callable[[CloudSession, Sequence[str]], AbstractContextManager[TableSource]]


@cache
def every() -> Mapping[str, Outside]:
    """Service -> source, by service."""
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    found: list[Outside] = [module.OUTSIDE for module in modules]
    return {one.service: one for one in sorted(found, key=lambda one: one.service)}


@contextmanager
def beside(session: CloudSession, asked: Asked) -> Iterator[CloudSession]:
    """The session with these sources, in addition to those that it has."""
    if not asked:
        yield session
        return
    from stackmend.drivers.snapshot.elsewhere import Elsewhere

    with ExitStack() as stack:
        found = tuple(stack.enter_context(every()[service].opened(session, names)) for service, names in asked.items())
        yield session.beside(Elsewhere((*((session.elsewhere,) if session.elsewhere else ()), *found)))


def not_run(config: Config, checks: Mapping[str, Check], asked: Asked) -> list[str]:
    """A sentence for each source that this site can read and that was not asked for, about the checks that need it."""
    from stackmend.tables.outside import services

    found = []
    for service, one in every().items():
        names = [name for name, check in checks.items() if service in services(check.reads)]
        if names and service not in asked and one.configured(config):
            listed = ", ".join(names) if len(names) < _LISTED else f"{len(names)} checks"
            found.append(f"{one.what} were not read, so not run: {listed} (add --{one.option})")
    return found


def readable(checks: Mapping[str, Check], there: Collection[str], *, named: bool) -> dict[str, Check]:
    """The checks that need no other source outside the databases than these.

    ``named``: the operator named the checks; then UsageError for one that needs another.
    """
    from stackmend.tables.outside import services

    found = {}
    for name, check in checks.items():
        lacking = sorted(services(check.reads) - set(there))
        if not lacking:
            found[name] = check
        elif named:
            one = every()[lacking[0]]
            raise UsageError(f"{name} needs {one.what}, which are not read", f"Add --{one.option}.")
    return found
