# SPDX-License-Identifier: Apache-2.0
"""The services' APIs of the configured cloud, and the check that it is the cloud of the databases."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from stackmend.app.session import CloudSession, has_api
from stackmend.cloud import block_storage, compute, network, placement
from stackmend.config.settings import Config
from stackmend.drivers.api.collector import SERVICES, ApiTables
from stackmend.drivers.api.executor import ApiExecutor
from stackmend.drivers.api.reading import ApiReading
from stackmend.drivers.api.session import ApiSession
from stackmend.drivers.snapshot.collector import DatabaseCollector
from stackmend.drivers.snapshot.shape import labels
from stackmend.engine.auditing.witness import ASKING
from stackmend.model.api import ApiAccount
from stackmend.model.errors import ApiError, ConfigError, SourceError, StackmendError
from stackmend.model.operations import Operation, Seen
from stackmend.model.snapshot import CELL, Manifest

NONE = "no API is configured"


class SystemClock:
    """The time of this machine (:class:`stackmend.model.protocols.Clock`)."""

    def now(self) -> datetime:
        """UTC, aware."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Do nothing for a while."""
        time.sleep(seconds)


class NoApi:
    """Implements :class:`stackmend.model.protocols.Api` without an API: every request fails with the reason."""

    insisted = False

    def __init__(self, why: str) -> None:
        self._why = why

    def lacks(self, operation: type[Operation[Seen]]) -> str:
        """No service is available."""
        del operation
        return self._why

    def look(self, operation: Operation[Seen]) -> Seen:
        """SourceError."""
        raise self._refusal(operation.SERVICE)

    def get(self, service: str, path: str, microversion: str = "") -> Any:
        """SourceError."""
        raise self._refusal(service)

    def every(self, service: str, path: str, key: str, microversion: str = "") -> Iterator[Mapping[str, object]]:
        """SourceError."""
        raise self._refusal(service)

    def offers(self, service: str, microversion: str) -> bool:
        """SourceError."""
        raise self._refusal(service)

    def account(self) -> ApiAccount:
        """SourceError."""
        raise self._refusal("identity")

    def _refusal(self, service: str) -> SourceError:
        return SourceError(f"{service} cannot be queried: {self._why}")


def sign_in(config: Config) -> ApiSession:
    """A session; ConfigError or ApiError if none is available."""
    if not has_api(config):
        raise ConfigError(NONE, "Specify a cloud: [api] cloud, or OS_CLOUD.")
    if config.client is not None:
        return ApiSession.beside(config.client, config.cloud or "of the client", config.api_timeout)
    return ApiSession.open(config.cloud, config.clouds, config.api_timeout)


def executor(config: Config) -> ApiExecutor:
    """The executor of API calls; it logs in at the first one."""
    return ApiExecutor(lambda: sign_in(config), SystemClock())


@contextmanager
def reading(config: Config, session: CloudSession, via: str) -> Iterator[tuple[ApiReading | None, str]]:
    """(the API that repairs may read, "") or (None, why there is none), for plans made ``via`` api, db or auto."""
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
            if session.databases.addresses:
                same_cloud(found, session)
        except StackmendError as problem:
            yield None, f"the API cannot be used: {problem.message}"
        else:
            yield found, ""
    finally:
        calls.close()


@contextmanager
def standing_in(config: Config, session: CloudSession) -> Iterator[tuple[CloudSession, str]]:
    """(the session with the APIs of services that have no database configured, "" or why they cannot be used).

    The API never replaces a configured database, even one that cannot be read. ConfigError or ApiError if
    there is no database at all, and no API either.
    """
    nova = bool(config.cells) or "nova_api" in config.databases
    lacking = {name for name in SERVICES if not (nova if name == "nova" else name in config.databases)}
    if not lacking or not has_api(config):
        yield session, ""
        return
    try:
        signed = sign_in(config)
    except StackmendError as problem:
        if not config.databases:
            raise
        yield session, f"no API can replace the databases that are not configured: {problem.message}"
        return
    try:
        found = ApiReading(signed, SystemClock())
        if config.databases:
            _alike(found, session)
    except StackmendError as problem:
        yield session, f"no API can replace the databases that are not configured: {problem.message}"
    else:
        yield session.beside(ApiTables(found, lacking)), ""
    finally:
        signed.close()


@contextmanager
def asking(
    config: Config, session: CloudSession, seconds: float = ASKING
) -> Iterator[tuple[DatabaseCollector | None, Manifest | None, str]]:
    """(a reader that uses only the APIs, what it lacks, "") or (None, None, why the APIs cannot be used).

    ``seconds``: time limit of one read.
    """
    with reading(config, session, "auto") as (found, why):
        if found is None:
            yield None, None, why
            return
        shown = ApiTables(found, SERVICES, seconds=seconds)
        manifest = Manifest(
            format="",
            created_at="",
            now=shown.now(),
            skew=0.0,
            sources=tuple(shown.sources(labels())),
            cells_known=True,
        )
        yield DatabaseCollector({}, {}, cells_known=True, elsewhere=shown), manifest, ""


#: database -> (ids that its API lists first, what they are, the table and its column)
_ALIKE = {
    "neutron": (network.few, "networks", "networks", "id"),
    "cinder": (block_storage.few, "volumes", "volumes", "id"),
    "placement": (placement.few, "resource_providers", "resource_providers", "uuid"),
}


def _alike(found: ApiReading, session: CloudSession) -> None:
    """ApiError unless every service with a database here knows something of its contents through its API."""
    if "nova_api" in session.config.databases:
        same_cloud(found, session)
    for database, (few, key, table, column) in _ALIKE.items():
        if database not in session.databases.addresses:
            continue
        shown = few(found)
        with session.live() as live:
            if not shown or not live.rows(database, table, {column: shown}):
                raise ApiError(
                    f"the API and database {database} are of different clouds: none of the first {key} is in both",
                    "Check [api] cloud and OS_CLOUD.",
                )


def same_cloud(found: ApiReading, session: CloudSession) -> None:
    """ApiError unless API and databases belong to the same cloud: one nova-conductor must be in both."""
    shown = {str(service["id"]) for service in compute.every_service(found)}
    with session.live() as live:
        for database in session.databases.addresses:
            if not database.startswith(CELL):
                continue
            # an unreadable cell proves nothing
            with suppress(SourceError):
                for row in live.rows(database, "services", {"binary": "nova-conductor", "deleted": 0}):
                    if row["uuid"] in shown:
                        return
    raise ApiError(
        "the API and the databases belong to different clouds: they have no Nova service in common",
        "Check [api] cloud and OS_CLOUD: nothing may be changed in another cloud.",
    )
