# SPDX-License-Identifier: Apache-2.0
"""Back ends of storage: what Cinder and Nova have there, by programs on the hosts that reach them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from stackmend.app.outside import ALL, Reader
from stackmend.model.errors import ConfigError, UsageError
from stackmend.tables.outside.storage import SERVICE

if TYPE_CHECKING:
    from stackmend.app.session import CloudSession
    from stackmend.config.settings import Config
    from stackmend.drivers.storage.tables import StorageTables


@contextmanager
def _opened(session: CloudSession, names: Sequence[str]) -> Iterator[StorageTables]:
    """ConfigError if none is configured, UsageError for a name that is not among them."""
    from stackmend.drivers.hosts.transport import Transport
    from stackmend.drivers.storage.kinds import kinds, openers
    from stackmend.drivers.storage.tables import StorageTables

    config = session.config
    if not config.storage:
        raise ConfigError(
            "no back ends of storage are configured",
            'Write [storage.NAME] with kind, place, host and cinder = ["HOST@BACKEND"].',
        )
    known = {one.name: one for one in config.storage}
    wanted = sorted(known) if not names or ALL in names else sorted(set(names))
    for name in wanted:
        if name not in known:
            raise UsageError(f"there is no [storage.{name}]", f"Back ends: {', '.join(sorted(known))}.")
    transport = Transport(config.routes)
    try:
        some = [known[name] for name in wanted]
        yield StorageTables(
            {one.name: partial(kinds()[one.kind], transport, one) for one in some},
            some,
            {one.name: partial(openers()[one.kind], transport, one) for one in some if one.kind in openers()},
        )
    finally:
        transport.close()


def _configured(config: Config) -> bool:
    return bool(config.storage)


READER = Reader(service=SERVICE, configured=_configured, opened=_opened)
