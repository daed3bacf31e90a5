# SPDX-License-Identifier: Apache-2.0
"""The services' APIs of the configured cloud, and the proof that it is the cloud of the databases."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from stackmend.app.config import Config
from stackmend.app.session import Session
from stackmend.drivers.api.executor import ApiExecutor
from stackmend.drivers.api.reading import ApiReading
from stackmend.drivers.api.session import ApiSession, configured
from stackmend.model.errors import ApiError, ConfigError, SourceError, StackmendError
from stackmend.model.snapshot import CELL

#: the first microversion that shows services by their uuids
_UUIDS = "2.53"
NONE = "no API is configured"


class SystemClock:
    """The time of this machine (:class:`stackmend.model.ports.Clock`)."""

    def now(self) -> datetime:
        """UTC, aware."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Do nothing for a while."""
        time.sleep(seconds)


def has_api(config: Config) -> bool:
    """Whether an account is named, by the configuration, the environment or the ``openstack`` client."""
    return config.client is not None or configured(config.cloud)


def sign_in(config: Config) -> ApiSession:
    """A session; ConfigError or ApiError where there is none to be had."""
    if not has_api(config):
        raise ConfigError(NONE, "Name a cloud: [api] cloud, or OS_CLOUD.")
    if config.client is not None:
        return ApiSession.beside(config.client, config.cloud or "of the client", config.api_timeout)
    return ApiSession.open(config.cloud, config.clouds, config.api_timeout)


def executor(config: Config) -> ApiExecutor:
    """Who carries out API calls; it signs in at the first one."""
    return ApiExecutor(lambda: sign_in(config), SystemClock())


@contextmanager
def reading(config: Config, session: Session, via: str) -> Iterator[tuple[ApiReading | None, str]]:
    """(what repairs may look at, "") or (None, why there is none), for plans made ``via`` api, db or auto."""
    if via == "db":
        yield None, ""
        return
    if not has_api(config):
        yield None, NONE
        return
    calls = executor(config)
    try:
        try:
            found = calls.ready()
            found.insisted = via == "api"
            same_cloud(found, session)
        except StackmendError as problem:
            yield None, f"the API cannot be used: {problem.message}"
        else:
            yield found, ""
    finally:
        calls.close()


def same_cloud(found: ApiReading, session: Session) -> None:
    """ApiError unless the API is that of the databases: one of Nova's conductors must be in both."""
    shown = {str(service["id"]) for service in found.every("compute", "/os-services", "services", _UUIDS)}
    with session.live() as live:
        for database in session.databases.addresses:
            if not database.startswith(CELL):
                continue
            # a cell that cannot be read proves nothing
            with suppress(SourceError):
                for row in live.rows(database, "services", {"binary": "nova-conductor", "deleted": 0}):
                    if row["uuid"] in shown:
                        return
    raise ApiError(
        "the API is not that of these databases: they have no service of Nova in common",
        "See [api] cloud and OS_CLOUD: nothing may be changed in another cloud.",
    )
