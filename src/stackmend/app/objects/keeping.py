# SPDX-License-Identifier: Apache-2.0
"""Whether what ``port keep`` and ``port release`` wrote still holds once no cache refresh can be in progress."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from stackmend.app.apis import SystemClock
from stackmend.app.session import CloudSession, no_progress
from stackmend.cloud import healing
from stackmend.cloud.evidence import caches
from stackmend.config.settings import Config
from stackmend.model.objects.port import Held
from stackmend.model.protocols import Clock, Live, Progress
from stackmend.model.snapshot import cell_database
from stackmend.repairs.network_info import compute_version

#: healer intervals after which a refresh that was in progress is certainly over: the healer's next one starts after one
_INTERVALS = 2
#: maximum number of seconds between two polls
_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class _Look:
    """The state of the cache of a port's server at one moment."""

    server: str = ""
    keeps: bool | None = None
    document: object = None
    written: object = None
    interval: int = 0
    is_configured: bool = False


def hold(
    config: Config,
    port: str,
    wanted: bool,
    *,
    wait: float | None = None,
    progress: Progress = no_progress,
    clock: Clock | None = None,
) -> Held:
    """Poll until the value is lost, Nova has refreshed the cache and kept it, or ``wait`` seconds have passed.

    ``wait``: the default is two intervals of Nova's healer, 0 if the healer is off. SourceError if the rows cannot
    be read.
    """
    clock = clock or SystemClock()
    session = CloudSession.of(config)
    begun, first = clock.now(), _look(session, port)
    limit = float(_INTERVALS * first.interval) if wait is None else wait
    last, waited = first, 0.0
    while last.keeps is wanted and not _refreshed(first, last) and waited < limit:
        progress("waiting for Nova's healer", int(waited), int(limit))
        clock.sleep(min(_PAUSE, limit - waited, max(limit / 10, 0.2)))
        last, waited = _look(session, port), (clock.now() - begun) / timedelta(seconds=1)
    return Held(
        server=first.server or last.server,
        wanted=wanted,
        now=last.keeps,
        refreshed=_refreshed(first, last),
        interval=first.interval,
        is_configured=first.is_configured,
        waited=waited,
    )


def _refreshed(first: _Look, last: _Look) -> bool:
    return (first.document, first.written) != (last.document, last.written)


def _look(session: CloudSession, port: str) -> _Look:
    """The rows are read anew each time: a connection keeps what it has read."""
    with session.live() as live:
        row = live.row("neutron", "ports", {"id": port})
        server = str(row["device_id"]) if row else ""
        return _of_server(live, server, port) if server else _Look()


def _of_server(live: Live, server: str, port: str) -> _Look:
    for cell in live.cells():
        database = cell_database(cell)
        row = live.row(database, "instances", {"uuid": server, "deleted": 0})
        cache = live.row(database, "instance_info_caches", {"instance_uuid": server, "deleted": 0})
        if row is None or cache is None:
            continue
        try:
            vif = next((one for one in caches.vifs(cache["network_info"]) if one["id"] == port), None)
        except ValueError:
            vif = None
        known = healing.configured(live)
        return _Look(
            server=server,
            keeps=None if vif is None else vif.get("preserve_on_delete") is True,
            document=cache["network_info"],
            written=cache["updated_at"],
            interval=healing.default(compute_version(live, database, row)) if known is None else known,
            is_configured=known is not None,
        )
    return _Look(server=server)
