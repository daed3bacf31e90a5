# SPDX-License-Identifier: Apache-2.0
"""The history of an object in the databases: actions and their events, faults, migrations, and its own timestamps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from stackmend.model.diagnosing.timeline import ACTION, EVENT, FAULT, MIGRATION, OBJECT, Entry, Row
from stackmend.model.errors import SourceError
from stackmend.model.protocols import Live
from stackmend.model.redaction import redact
from stackmend.model.snapshot import cell_database

#: columns with timestamps of an object -> what happened then
_MOMENTS = {
    "created_at": "created", "launched_at": "launched", "terminated_at": "terminated", "deleted_at": "deleted",
    "attach_time": "attached", "detach_time": "detached",
}  # fmt: skip


#: the columns that a history is made of: service -> table -> columns
READS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "nova": {
        "instances": frozenset({"id", "uuid", "display_name", "image_ref", "host", *_MOMENTS}),
        "instance_actions": frozenset(
            ["id", "action", "instance_uuid", "request_id", "start_time", "finish_time", "message"]
        ),
        "instance_actions_events": frozenset(
            ["id", "action_id", "event", "start_time", "finish_time", "result", "host", "traceback"]
        ),
        "instance_faults": frozenset(["id", "instance_uuid", "code", "message", "details", "host", "created_at"]),
        "migrations": frozenset(
            [
                "uuid",
                "instance_uuid",
                "source_compute",
                "dest_compute",
                "migration_type",
                "status",
                "created_at",
                "updated_at",
            ]
        ),
        "block_device_mapping": frozenset({"instance_uuid", "volume_id"}),
        "services": frozenset({"host", "binary", "last_seen_up"}),
    },
    "neutron": {
        "ports": frozenset(["id", "name", "device_id", "device_owner", "standard_attr_id", "status"]),
        "standardattributes": frozenset({"id", "created_at"}),
        "ml2_port_bindings": frozenset({"port_id", "host"}),
        "agents": frozenset({"host"}),
    },
    "cinder": {
        "volumes": frozenset({"id", "display_name", *_MOMENTS}),
        "messages": frozenset(["resource_uuid", "action_id", "detail_id", "event_id", "created_at", "request_id"]),
        "volume_attachment": frozenset({"volume_id", "instance_uuid", *_MOMENTS}),
    },
    "glance": {"images": frozenset({"id", "name", "status", *_MOMENTS})},
}


@dataclass(slots=True)
class History:
    """What the databases record about an object, and what could not be read."""

    entries: list[Entry] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)  #: related id -> kind
    rows: dict[str, tuple[Row, ...]] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)

    def add(self, table: str, rows: Sequence[Row]) -> None:
        """Add rows of a table."""
        if rows:
            self.rows[table] = (*self.rows.get(table, ()), *rows)


class _Reader:
    def __init__(self, live: Live) -> None:
        self._live = live
        self.history = History()
        self._cells: tuple[str, ...] | None = None

    def cells(self) -> tuple[str, ...]:
        if self._cells is None:
            try:
                self._cells = tuple(map(cell_database, self._live.cells()))
            except SourceError as problem:
                self.history.unread["nova"] = problem.message
                self._cells = ()
        return self._cells

    def rows(self, database: str, table: str, **where: Any) -> list[Row]:
        """The matching rows, also kept for the causes; [] if they cannot be read or the release has no such table."""
        if any(isinstance(value, list) and not value for value in where.values()):
            return []
        try:
            if not set(where) <= set(self._live.columns(database, table)):
                return []
            found: list[Row] = [*self._live.rows(database, table, where)]
        except SourceError as problem:
            self.history.unread[database] = problem.message
            return []
        self.history.add(table, found)
        return found

    def everywhere(self, table: str, **where: Any) -> list[Row]:
        return [row for cell in self.cells() for row in self.rows(cell, table, **where)]

    def say(self, entry: Entry) -> None:
        self.history.entries.append(entry)

    def relate(self, kind: str, *names: object) -> None:
        for name in names:
            if name:
                self.history.ids.setdefault(str(name), kind)

    def own(self, kind: str, row: Row, title: str) -> None:
        for column, what in _MOMENTS.items():
            if (at := moment(row.get(column))) is not None:
                self.say(Entry(at=at, kind=OBJECT, text=f"{title} {what}", source=kind, service=kind))


def of(live: Live, kind: str, name: str) -> History:
    """Everything that the databases say about an object; what cannot be read is noted, never taken for absent."""
    reader = _Reader(live)
    _KINDS[kind](reader, name)
    return reader.history


def _server(reader: _Reader, server: str, nested: bool = False) -> None:
    for row in reader.everywhere("instances", uuid=server):
        reader.own("instances", row, f"server {row.get('display_name') or server}")
        reader.relate("image", row.get("image_ref"))
        if isinstance(row.get("id"), int):
            reader.relate("guest", f"instance-{row['id']:08x}")  # Nova's default instance_name_template
        reader.relate("host", row.get("host"))
    _actions(reader, reader.everywhere("instance_actions", instance_uuid=server))
    for row in reader.everywhere("instance_faults", instance_uuid=server):
        text = f"fault {row.get('code')}: {row.get('message')}"
        reader.say(
            Entry(
                at=moment(row.get("created_at")), kind=FAULT, level="ERROR", text=redact(text),
                more=redact(str(row.get("details") or "")), host=str(row.get("host") or ""), service="nova",
                ids=frozenset({server}), source="instance_faults",
            )
        )  # fmt: skip
    for row in reader.everywhere("migrations", instance_uuid=server):
        way = f"{row.get('source_compute')} -> {row.get('dest_compute')}"
        text = f"{row.get('migration_type')} {way}: {row.get('status')}"
        bad = row.get("status") in ("error", "failed")
        reader.relate("migration", row.get("uuid"))
        for column in ("created_at", "updated_at"):
            if (at := moment(row.get(column))) is not None:
                level = "ERROR" if bad and column == "updated_at" else "INFO"
                reader.say(Entry(at=at, kind=MIGRATION, level=level, text=text, service="nova", source="migrations"))
    for row in reader.everywhere("block_device_mapping", instance_uuid=server):
        reader.relate("volume", row.get("volume_id"))
    for row in reader.rows("neutron", "ports", device_id=server):
        reader.relate("port", row.get("id"))
        _port_times(reader, row)
    if not nested:
        for name in [name for name, kind in reader.history.ids.items() if kind == "image"]:
            _image(reader, name)
        for name in [name for name, kind in reader.history.ids.items() if kind == "volume"]:
            _volume(reader, name, nested=True)


def _actions(reader: _Reader, actions: Sequence[Row]) -> None:
    names = {row["id"]: row for row in actions}
    for row in actions:
        reader.relate("request", row.get("request_id"))
        said = redact(str(row.get("message") or ""))
        reader.say(
            Entry(
                at=moment(row.get("start_time")), kind=ACTION, text=str(row.get("action")), more=said,
                request=str(row.get("request_id") or ""), service="nova-api", source="instance_actions",
                level="ERROR" if said else "INFO",
            )
        )  # fmt: skip
    for row in reader.everywhere("instance_actions_events", action_id=list(names)) if names else ():
        action = names.get(row.get("action_id"))
        if action is None:
            continue
        event = Entry(
            at=moment(row.get("start_time")),
            kind=EVENT,
            text=str(row.get("event")),
            host=str(row.get("host") or ""),
            service="nova",
            request=str(action.get("request_id") or ""),
            source="instance_actions_events",
        )
        reader.say(event)
        if row.get("finish_time") or row.get("result"):
            bad = str(row.get("result") or "") not in ("", "Success")
            reader.say(
                replace(
                    event,
                    at=moment(row.get("finish_time")),
                    text=f"{row.get('event')}: {row.get('result')}",
                    more=redact(str(row.get("traceback") or "")) if bad else "",
                    level="ERROR" if bad else "INFO",
                )
            )


def _port_times(reader: _Reader, row: Row) -> None:
    times = (
        reader.rows("neutron", "standardattributes", id=row.get("standard_attr_id"))
        if row.get("standard_attr_id")
        else []
    )
    for found in times:
        if (at := moment(found.get("created_at"))) is not None:
            text = f"port {row.get('id')} created (now {row.get('status')})"
            reader.say(Entry(at=at, kind=OBJECT, text=text, service="neutron", source="ports"))


def _port(reader: _Reader, port: str) -> None:
    for row in reader.rows("neutron", "ports", id=port):
        _port_times(reader, row)
        owner = str(row.get("device_owner") or "")
        if row.get("device_id") and owner.startswith("compute:"):
            reader.relate("server", row["device_id"])
            _server(reader, str(row["device_id"]), nested=True)
    for row in reader.rows("neutron", "ml2_port_bindings", port_id=port):
        reader.relate("host", row.get("host"))


def _volume(reader: _Reader, volume: str, nested: bool = False) -> None:
    for row in reader.rows("cinder", "volumes", id=volume):
        reader.own("volumes", row, f"volume {row.get('display_name') or volume}")
    for row in reader.rows("cinder", "messages", resource_uuid=volume):
        text = f"{row.get('action_id')} {row.get('detail_id')}: {row.get('event_id')}"
        reader.relate("request", row.get("request_id"))
        reader.say(
            Entry(
                at=moment(row.get("created_at")), kind=FAULT, level="ERROR",
                text=f"Cinder's message: {text}", request=str(row.get("request_id") or ""),
                service="cinder", source="messages", ids=frozenset({volume}),
            )
        )  # fmt: skip
    for row in reader.rows("cinder", "volume_attachment", volume_id=volume):
        reader.own("volume_attachment", row, f"attachment of volume {volume} to {row.get('instance_uuid')}")
        if row.get("instance_uuid") and not nested:
            reader.relate("server", row["instance_uuid"])
            _server(reader, str(row["instance_uuid"]), nested=True)


def _image(reader: _Reader, image: str) -> None:
    for row in reader.rows("glance", "images", id=image):
        reader.own("images", row, f"image {row.get('name') or image}")


def _host(reader: _Reader, host: str) -> None:
    for row in reader.everywhere("services", host=host):
        if (at := moment(row.get("last_seen_up"))) is not None:
            text = f"{row.get('binary')} was last heard of"
            reader.say(
                Entry(at=at, kind=OBJECT, text=text, host=host, service=str(row.get("binary")), source="services")
            )
    reader.rows("neutron", "agents", host=host)


def _request(reader: _Reader, request: str) -> None:
    actions = reader.everywhere("instance_actions", request_id=request)
    _actions(reader, actions)
    for row in actions:
        reader.relate("server", row.get("instance_uuid"))


_KINDS: Mapping[str, Callable[[_Reader, str], None]] = {
    "server": _server,
    "port": _port,
    "volume": _volume,
    "image": _image,
    "host": _host,
    "request": _request,
}


def moment(value: object) -> float | None:
    """Seconds since 1970 for a time as a database prints it, which is in UTC."""
    if not isinstance(value, str) or not value:
        return None
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def titles(rows: Mapping[str, tuple[Row, ...]], kind: str) -> Iterator[str]:
    """The names of an object in its rows."""
    homes = {"server": "instances", "volume": "volumes", "image": "images"}
    if kind in homes:
        table, column = homes[kind], "name" if kind == "image" else "display_name"
        yield from (str(row[column]) for row in rows.get(table, ()) if row.get(column))
