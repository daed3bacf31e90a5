# SPDX-License-Identifier: Apache-2.0
"""To which servers a volume is attached: one reading of Cinder and every cell (catalogue H, "the triple").

A volume's own row is derived from its attachments (cinder/db/api.py, _get_statuses_from_attachments); each attachment
to a server has a block device mapping in that server's cell, which names it; the server itself lives in one cell. Any
of these can be wrong alone, so whoever changes one reads all of them: :func:`read` reads, :class:`VolumeReading`
judges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import Record

#: attach_status of an attachment -> status of its volume (cinder/db/api.py, ATTACH_STATUS_MAP)
_VOLUME_STATUS = {"attached": "in-use", "detached": "available"}
#: ``migration_status`` of a volume that is not being migrated
UNMOVED = (None, "success", "error")
#: statuses in which Cinder is not working on the volume
AT_REST = frozenset({"in-use", "detaching", "attaching", "reserved", "available"})
_MAPPINGS = "block_device_mapping"


def implied(attachments: Iterable[Record]) -> tuple[str, str]:
    """(status, attach_status) of a volume with these live attachments, by Cinder's own rule: errors do not count."""
    words = sorted(str(a["attach_status"]) for a in attachments if not str(a["attach_status"]).startswith("error_"))
    word = words[0] if words else "detached"
    return _VOLUME_STATUS.get(word, word), word


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRows:
    """A server in every cell: ``row`` is its live row in ``database``, None if there is none."""

    uuid: str
    database: str = ""
    row: Record | None = None
    known: bool = False  #: a cell has a row of it, even if marked deleted
    building: bool = False  #: it is being built, and no cell has it yet

    @property
    def alive(self) -> bool:
        """Whether a cell has a live row of it."""
        return self.row is not None

    @property
    def never_ran(self) -> bool:
        """Whether its build failed: Nova deliberately leaves its mappings behind, and no guest ever has the disk."""
        return self.row is not None and self.row["vm_state"] == "error" and self.row["launched_at"] is None

    def settled(self) -> None:
        """CannotRepair while the server is being built: it neither exists nor is gone."""
        if self.building:
            raise CannotRepair(f"{self} is being built")

    def __str__(self) -> str:
        return f"server {self.uuid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerVolume:
    """What both services record about one server and the volume."""

    server: ServerRows
    attachments: tuple[Record, ...] = ()  #: Cinder's, live
    mappings: tuple[tuple[str, Record], ...] = ()  #: (cell database, row), live
    dropped: tuple[Record, ...] = ()  #: mappings marked deleted

    @property
    def agreed(self) -> bool:
        """Whether Nova and Cinder refer to the same attachment; a mapping from before Queens names none."""
        ids = {a["id"] for a in self.attachments}
        return any(m["attachment_id"] in ids or (ids and not m["attachment_id"]) for _, m in self.mappings)

    @property
    def holds(self) -> bool:
        """Whether, according to Nova, a live server may have the disk."""
        return bool(self.mappings) and self.server.alive and not self.server.never_ran

    @property
    def root(self) -> bool:
        """Whether a live server boots from it."""
        row = self.server.row
        if row is None:
            return False
        if any(m["boot_index"] == 0 for m in (*(m for _, m in self.mappings), *self.dropped)):
            return True
        names = {a["mountpoint"] for a in self.attachments} | {m["device_name"] for _, m in self.mappings}
        return not row["image_ref"] and row["root_device_name"] in names - {None, ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeReading:
    """A volume with every server that has it, or is recorded to."""

    volume: str
    row: Record | None
    attachments: tuple[Record, ...]  #: live, including those to hosts
    pairs: tuple[ServerVolume, ...]  #: by server

    def live(self) -> Record:
        """The volume's row; CannotRepair if there is none, it is deleted, or Cinder is migrating it."""
        if self.row is None or self.row["deleted"]:
            raise CannotRepair(f"Cinder has no live volume {self.volume}")
        if self.row["migration_status"] not in UNMOVED:
            raise CannotRepair(f"volume {self.volume} is being migrated ({self.row['migration_status']})")
        return self.row

    def pair(self, server: str) -> ServerVolume | None:
        """The pair of the volume and this server, or None."""
        return next((pair for pair in self.pairs if pair.server.uuid == server), None)

    def others(self, mine: Iterable[ServerVolume]) -> list[Record]:
        """The attachments that remain without these pairs."""
        taken = {a["id"] for pair in mine for a in pair.attachments}
        return [a for a in self.attachments if a["id"] not in taken]

    @property
    def holders(self) -> tuple[ServerVolume, ...]:
        """Pairs whose live server has a mapping, whatever Cinder says."""
        return tuple(pair for pair in self.pairs if pair.holds)

    def meant_by_others(self, mine: Sequence[ServerVolume]) -> None:
        """CannotRepair if another live server's mapping names an attachment of these pairs: its owner is undecided."""
        gone = {pair.server.uuid for pair in mine}
        taken = {a["id"] for pair in mine for a in pair.attachments}
        for pair in self.holders:
            for database, mapping in pair.mappings if pair.server.uuid not in gone else ():
                if mapping["attachment_id"] in taken:
                    raise CannotRepair(
                        f"{database} has a block device mapping of the live {pair.server} that names the same"
                        f" attachment {mapping['attachment_id']}, which Cinder has for another server: no row shows"
                        " which of the two is wrong. Check which guest has a disk with serial"
                        f" {self.volume} (virsh dumpxml)"
                    )

    def still_mapped(self, mine: Sequence[ServerVolume] = ()) -> None:
        """CannotRepair if another live server maps the volume without Cinder knowing: then the volume is not free."""
        gone = {pair.server.uuid for pair in mine}
        for pair in self.holders:
            if pair.server.uuid in gone or pair.attachments:
                continue
            database, mapping = pair.mappings[0]
            raise CannotRepair(
                f"{database} has a block device mapping of volume {self.volume} for the live {pair.server}"
                f" (boot_index {mapping['boot_index']}), of which Cinder has no attachment: its guest may have the"
                f" disk. See 'stackmend audit --server {pair.server.uuid}', or name that server to detach it as well"
            )


def server(live: Live, uuid: str) -> ServerRows:
    """The server in any cell; all cells must answer (R2). CannotRepair if two cells have it."""
    known, found = False, []
    for cell in live.cells():
        database = cell_database(cell)
        for row in live.rows(database, "instances", {"uuid": uuid}):
            known = True
            if row["deleted"] == 0:
                found.append((database, row))
    if len(found) > 1:
        raise CannotRepair(f"server {uuid} is live in more than one cell")
    if found:
        return ServerRows(uuid=uuid, database=found[0][0], row=found[0][1], known=True)
    building = bool(live.rows("nova_api", "build_requests", {"instance_uuid": uuid}))
    return ServerRows(uuid=uuid, known=known, building=building)


def read(live: Live, volume: object) -> VolumeReading:
    """Everything Cinder and every cell record about the volume; SourceError unless every cell answers."""
    name = str(volume)
    attachments = live.rows("cinder", "volume_attachment", {"volume_id": name, "deleted": 0})
    mappings: list[tuple[str, Record]] = []
    for cell in live.cells():
        database = cell_database(cell)
        mappings += [(database, row) for row in live.rows(database, _MAPPINGS, {"volume_id": name})]
    named = {str(a["instance_uuid"]) for a in attachments if a["instance_uuid"]}
    named |= {str(m["instance_uuid"]) for _, m in mappings if m["deleted"] == 0 and m["instance_uuid"]}
    return VolumeReading(
        volume=name,
        row=live.row("cinder", "volumes", {"id": name}),
        attachments=tuple(attachments),
        pairs=tuple(_pairs(live, sorted(named), attachments, mappings)),
    )


def _pairs(
    live: Live, named: Iterable[str], attachments: Sequence[Record], mappings: Sequence[tuple[str, Record]]
) -> Iterator[ServerVolume]:
    for uuid in named:
        its = [(database, row) for database, row in mappings if row["instance_uuid"] == uuid]
        yield ServerVolume(
            server=server(live, uuid),
            attachments=tuple(a for a in attachments if a["instance_uuid"] == uuid),
            mappings=tuple((database, row) for database, row in its if row["deleted"] == 0),
            dropped=tuple(row for _, row in its if row["deleted"]),
        )
