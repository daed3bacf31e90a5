# SPDX-License-Identifier: Apache-2.0
"""OVN: its northbound and southbound databases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stackmend.app.outside import Reader
from stackmend.model.errors import ConfigError
from stackmend.tables.outside.ovn import SERVICE

if TYPE_CHECKING:
    from stackmend.app.session import CloudSession
    from stackmend.config.settings import Config
    from stackmend.drivers.ovn.tables import OvnTables


@contextmanager
def _opened(session: CloudSession, names: Sequence[str]) -> Iterator[OvnTables]:
    """ConfigError if no OVN is configured, or what is configured cannot be right."""
    from stackmend.drivers.ovn.tables import OvnTables

    del names
    config = session.config
    if config.ovn is None:
        raise ConfigError(
            "no OVN is configured, and no ml2_conf.ini beside Neutron's own file names one",
            'Write [ovn] and northbound = "tcp:IP:6641", southbound = "tcp:IP:6642".',
        )
    yield OvnTables(*config.ovn.endpoints(), config.database_timeout)


def _configured(config: Config) -> bool:
    return config.ovn is not None


READER = Reader(service=SERVICE, configured=_configured, opened=_opened)
