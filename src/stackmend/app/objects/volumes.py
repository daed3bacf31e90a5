# SPDX-License-Identifier: Apache-2.0
"""The volumes of a host's servers according to Nova, Cinder and Nova's rows, and their differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack

from stackmend.app import apis
from stackmend.app.session import CloudSession
from stackmend.cloud import block_storage, compute
from stackmend.config.settings import Config
from stackmend.model.api import Resource
from stackmend.model.errors import ApiError
from stackmend.model.objects.volume import ListedVolume
from stackmend.model.protocols import Api, Live, Where
from stackmend.model.snapshot import cell_database
from stackmend.model.values import objects, text


def on_host(config: Config, host: str) -> tuple[ListedVolume, ...]:
    """The pairs of a compute host, by server and volume. Nothing is changed.

    ApiError or ConfigError if there is no API, UsageError for a host that Nova does not know, SourceError if a
    service or a database that is configured does not answer.
    """
    session = CloudSession.looking(config).believed()
    with ExitStack() as stack:
        api, why = stack.enter_context(apis.reading(config, session, "auto"))
        if api is None:
            raise ApiError(f"volume list needs the services' APIs: {why}", "Specify a cloud: [api] cloud, or OS_CLOUD.")
        live = stack.enter_context(session.live(api)) if session.databases.addresses else None
        return tuple(pairs(api, live, host))


def pairs(api: Api, live: Live | None, host: str) -> Iterator[ListedVolume]:
    """As :func:`on_host`, from these ports."""
    compute.service(api, host)
    # the list is paged by id: members of an answer that ignores the filter must not count
    servers = [s for s in compute.servers_on(api, host) if s.get("OS-EXT-SRV-ATTR:host") == host]
    rows = _rows(live, [str(server["id"]) for server in servers])
    for server in sorted(servers, key=lambda one: (str(one.get("name", "")), str(one["id"]))):
        yield from _of(api, server, rows)


def _of(api: Api, server: Resource, rows: Mapping[str, Mapping[str, Resource]] | None) -> Iterator[ListedVolume]:
    name = str(server["id"])
    nova = {str(one["volumeId"]): one for one in compute.attachments(api, name)}
    cinder = {str(one["volume_id"]): one for one in block_storage.attachments(api, name)}
    mapped = None if rows is None else rows.get(name, {})
    for volume in sorted({*nova, *cinder, *(mapped or {})}):
        shown = block_storage.volume(api, volume)
        yield _pair(server, volume, nova.get(volume), shown, cinder.get(volume), mapped)


def _rows(live: Live | None, servers: list[str]) -> dict[str, dict[str, Resource]] | None:
    """Server -> volume -> Nova's mapping; None if no cell is configured."""
    if live is None:
        return None
    found: dict[str, dict[str, Resource]] = {}
    for cell in live.cells():
        where: Where = {"instance_uuid": servers, "destination_type": "volume", "deleted": 0}
        for row in live.rows(cell_database(cell), "block_device_mapping", where) if servers else ():
            if row["volume_id"]:
                found.setdefault(str(row["instance_uuid"]), {})[str(row["volume_id"])] = row
    return found


def _pair(
    server: Resource,
    volume: str,
    nova: Resource | None,
    shown: Resource | None,
    cinder: Resource | None,
    mapped: Mapping[str, Resource] | None,
) -> ListedVolume:
    name = str(server["id"])
    every: list[Resource] = objects((shown or {}).get("attachments"))
    held: Resource = next((one for one in every if one.get("server_id") == name), {})
    row = None if mapped is None else mapped.get(volume)
    found = ListedVolume(
        server=name,
        name=str(server.get("name") or ""),
        server_host=text(server.get("OS-EXT-SRV-ATTR:host")),
        vm_state=text(server.get("OS-EXT-STS:vm_state")),
        volume=volume,
        device=text((nova or {}).get("device") or held.get("device")),
        status=None if shown is None else str(shown["status"]),
        attached_host=text(held.get("host_name")),
        attachment=None if cinder is None else str(cinder["id"]),
        delete_on_termination=_flag((nova or {}).get("delete_on_termination")),
        in_nova=nova is not None,
        in_cinder=cinder is not None,
        in_rows=None if mapped is None else row is not None,
    )
    believed = (row or {}).get("attachment_id") or (nova or {}).get("attachment_id")
    differences = tuple(_differences(found, None if cinder is None else str(cinder.get("status")), believed))
    values = {field: getattr(found, field) for field in found.__dataclass_fields__}
    return ListedVolume(**{**values, "differences": differences})


def _differences(pair: ListedVolume, attach_status: str | None, believed: object) -> Iterator[str]:
    """Differences from the state of an attached, idle volume."""
    if pair.status is None:
        yield "Cinder has no such volume"
    elif not pair.in_cinder:
        yield "Cinder has no attachment to this server"
    if not pair.in_nova:
        yield "Nova does not list it"
    if pair.in_rows is not None and pair.in_rows is not pair.in_nova:
        yield (
            "Nova's database has a block device mapping"
            if pair.in_rows
            else "Nova's database has no block device mapping"
        )
    if pair.in_cinder and believed and str(believed) != pair.attachment:
        yield f"Nova has another attachment: {believed}"
    if pair.status not in (None, "in-use"):
        yield f"the volume is {pair.status}"
    elif attach_status not in (None, "attached"):
        yield f"the attachment is {attach_status}"
    if pair.attached_host and pair.server_host and pair.attached_host.lower() != pair.server_host.lower():
        yield f"it is exported to {pair.attached_host}"


def _flag(value: object) -> bool | None:
    return None if value is None else bool(value)
