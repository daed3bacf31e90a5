# SPDX-License-Identifier: Apache-2.0
"""Who has a volume: one reading of what Cinder and every cell of Nova say of it (catalogue H, "the triple").

A volume's own row is derived from its attachments (cinder/db/api.py, _get_statuses_from_attachments); each attachment
of a server has a block device mapping in that server's cell, which names it; the server itself lives in one cell. Any
of these can be wrong alone, so whoever changes one looks at all of them: :func:`read` reads, :class:`VolumeReading`
weighs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import Record

#: the attachment's word for the volume's (cinder/db/api.py, ATTACH_STATUS_MAP)
_VOLUME_STATUS = {"attached": "in-use", "detached": "available"}
#: ``migration_status`` of a volume that Cinder is not migrating
UNMOVED = (None, "success", "error")
#: statuses in which nobody in Cinder is working on the volume
AT_REST = frozenset({"in-use", "detaching", "attaching", "reserved", "available"})
_MAPPINGS = "block_device_mapping"


def implied(attachments: Iterable[Record]) -> tuple[str, str]:
    """(status, attach_status) of a volume with these live attachments, by Cinder's own rule: errors do not count."""
    words = sorted(str(a["attach_status"]) for a in attachments if not str(a["attach_status"]).startswith("error_"))
    word = words[0] if words else "detached"
    return _VOLUME_STATUS.get(word, word), word


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRows:
    """A server as every cell has it: ``row`` is its live one in ``database``, None where it is gone."""

    uuid: str
    database: str = ""
    row: Record | None = None
    known: bool = False  #: a cell has a row of it, though marked deleted
    building: bool = False  #: no cell has it yet, and it is being built

    @property
    def alive(self) -> bool:
        """Whether a cell has a live row of it."""
        return self.row is not None

    @property
    def never_ran(self) -> bool:
        """Whether its build was given up: Nova leaves its mappings behind on purpose, and nobody ever has the disk."""
        return self.row is not None and self.row["vm_state"] == "error" and self.row["launched_at"] is None

    def settled(self) -> None:
        """CannotRepair where the server is being built: it is neither there nor gone."""
        if self.building:
            raise CannotRepair(f"{self} is being built")

    def __str__(self) -> str:
        return f"server {self.uuid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerVolume:
    """What both services have of one server and the volume."""

    server: ServerRows
    attachments: tuple[Record, ...] = ()  #: Cinder's, live
    mappings: tuple[tuple[str, Record], ...] = ()  #: (cell database, row), live
    dropped: tuple[Record, ...] = ()  #: mappings that are marked deleted

    @property
    def agreed(self) -> bool:
        """Whether Nova and Cinder mean the same attachment; a mapping from before Queens names none."""
        ids = {a["id"] for a in self.attachments}
        return any(m["attachment_id"] in ids or (ids and not m["attachment_id"]) for _, m in self.mappings)

    @property
    def holds(self) -> bool:
        """Whether a living server may have the disk for all that Nova knows."""
        return bool(self.mappings) and self.server.alive and not self.server.never_ran

    @property
    def root(self) -> bool:
        """Whether it is what a living server boots from."""
        row = self.server.row
        if row is None:
            return False
        if any(m["boot_index"] == 0 for m in (*(m for _, m in self.mappings), *self.dropped)):
            return True
        names = {a["mountpoint"] for a in self.attachments} | {m["device_name"] for _, m in self.mappings}
        return not row["image_ref"] and row["root_device_name"] in names - {None, ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeReading:
    """A volume with everybody who has it, or is said to."""

    volume: str
    row: Record | None
    attachments: tuple[Record, ...]  #: live, those to hosts among them
    pairs: tuple[ServerVolume, ...]  #: by server

    def live(self) -> Record:
        """The volume's row; CannotRepair if there is none, it is deleted, or Cinder is migrating it."""
        if self.row is None or self.row["deleted"]:
            raise CannotRepair(f"Cinder has no live volume {self.volume}")
        if self.row["migration_status"] not in UNMOVED:
            raise CannotRepair(f"volume {self.volume} is being migrated ({self.row['migration_status']})")
        return self.row

    def pair(self, server: str) -> ServerVolume | None:
        """The pair with this server, or None."""
        return next((pair for pair in self.pairs if pair.server.uuid == server), None)

    def others(self, mine: Iterable[ServerVolume]) -> list[Record]:
        """The attachments that are left when these pairs let go."""
        taken = {a["id"] for pair in mine for a in pair.attachments}
        return [a for a in self.attachments if a["id"] not in taken]

    @property
    def holders(self) -> tuple[ServerVolume, ...]:
        """Pairs of living servers that have a mapping, whatever Cinder says."""
        return tuple(pair for pair in self.pairs if pair.holds)

    def meant_by_others(self, mine: Sequence[ServerVolume]) -> None:
        """CannotRepair where a living server that is not to let go means an attachment of these: whose it is ties."""
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
        """CannotRepair where another living server maps the volume and Cinder would not know: then it is not free."""
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
    """The server in whatever cell; all cells must answer (R2). CannotRepair where two cells have it."""
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
    """All that Cinder and every cell say of the volume; SourceError unless every cell answers."""
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
