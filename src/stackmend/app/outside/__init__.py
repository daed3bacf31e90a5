# SPDX-License-Identifier: Apache-2.0
"""What lies outside the databases and is read on request: one module a source, found by walking this package.

A module defines ``READER``. What the source is called, its option (of every command that collects tables: ``audit``,
``snapshot create``, ``plan create``) and its tables are in a module of :mod:`stackmend.tables.outside`; checks that
read them are of the class :class:`stackmend.model.check.OutsideCheck`, and are run if it was read.
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
from stackmend.tables.outside import of_service, services, sources

if TYPE_CHECKING:
    from stackmend.app.session import CloudSession
    from stackmend.config.settings import Config
    from stackmend.drivers.snapshot.recollect import TableSource
    from stackmend.model.check import Check

#: so many names are counted instead
_LISTED = 9
#: in place of names
ALL = "all"
#: service -> what of it is to be read, as the operator named it; nothing or ALL: all of it
Asked = Mapping[str, Sequence[str]]


def _nothing(config: Config) -> frozenset[str]:
    del config
    return frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """How a source outside the databases is read."""

    service: str  #: of its tables
    configured: Callable[[Config], bool]  #: whether the site can read it
    #: the source, to be read within the ``with`` block; errors as fit for the operator
    opened: Callable[[CloudSession, Sequence[str]], AbstractContextManager[TableSource]]
    lacks: Callable[[Config], frozenset[str]] = _nothing  #: labels of its tables that the site cannot read
    remedy: str = ""  #: what would let it read those, too


@cache
def readers() -> Mapping[str, Reader]:
    """Service -> how it is read."""
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    found: list[Reader] = [module.READER for module in modules]
    return {one.service: one for one in found}


@contextmanager
def beside(session: CloudSession, asked: Asked) -> Iterator[CloudSession]:
    """The session with these sources, in addition to those that it has."""
    if not asked:
        yield session
        return
    from stackmend.drivers.snapshot.elsewhere import Elsewhere

    with ExitStack() as stack:
        found = tuple(
            stack.enter_context(readers()[service].opened(session, names)) for service, names in asked.items()
        )
        yield session.beside(Elsewhere((*((session.elsewhere,) if session.elsewhere else ()), *found)))


def partly(checks: Mapping[str, Check], asked: Asked) -> frozenset[str]:
    """The checks that see only a part of a source: what they do not find may still be there."""
    some = {service for service, names in asked.items() if names and ALL not in names}
    return frozenset(name for name, check in checks.items() if services(check.needed) & some)


def nowhere_in(what: str, asked: Asked) -> None:
    """UsageError if any source is asked for although ``what``, a snapshot or a bundle, takes the place of the cloud."""
    for service in asked:
        one = sources()[service]
        raise UsageError(f"{what} cannot be read together with {one.what}", f"Leave --{one.option} away.")


def there(config: Config, asked: Collection[str]) -> frozenset[str]:
    """The labels of the tables that this site can read of the services asked for."""
    return frozenset().union(*(of_service(service) - readers()[service].lacks(config) for service in asked))


def not_run(config: Config, checks: Mapping[str, Check], asked: Asked) -> list[str]:
    """A sentence for each source that this site can read and was not asked for, about the checks that need it.

    Likewise about what of a source that was asked for it cannot read.
    """
    found = []
    for service, one in sources().items():
        reader = readers()[service]
        lacking = reader.lacks(config)
        wanted = lacking if service in asked else of_service(service) - lacking
        unwanted = frozenset[str]() if service in asked else lacking
        names = [name for name, check in checks.items() if wanted & check.needed and not unwanted & check.needed]
        if not names or not reader.configured(config):
            continue
        listed = ", ".join(names) if len(names) < _LISTED else f"{len(names)} checks"
        what, how = (
            (f"not everything of {one.what} can be read", reader.remedy)
            if service in asked
            else (f"{one.what} were not read", f"add --{one.option}")
        )
        found.append(f"{what}, so not run: {listed} ({how})")
    return found


def readable(checks: Mapping[str, Check], there: Collection[str], *, named: bool) -> dict[str, Check]:
    """The checks that need nothing outside the databases but tables with these labels.

    ``named``: the operator named the checks; then UsageError for one that needs another.
    """
    found = {}
    for name, check in checks.items():
        lacking = {label for label in check.needed if services([label])} - set(there)
        if not lacking:
            found[name] = check
        elif named:
            raise _unreadable(name, lacking, there)
    return found


def _unreadable(name: str, lacking: Collection[str], there: Collection[str]) -> UsageError:
    service = min(services(lacking))
    one = sources()[service]
    if not of_service(service) & set(there):
        return UsageError(f"{name} needs {one.what}, which are not read", f"Add --{one.option}.")
    what = ", ".join(sorted(lacking))
    return UsageError(f"{name} needs more of {one.what} than is read: {what}", f"{readers()[service].remedy}.")
