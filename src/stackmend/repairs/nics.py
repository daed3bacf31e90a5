# SPDX-License-Identifier: Apache-2.0
"""Steps on Nova's ``virtual_interfaces`` rows, whose ids define the order of a server's NICs (catalogue A9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair
from stackmend.model.step import InsertRow, Record, Step, Values
from stackmend.model.values import whole
from stackmend.repairs.common import change, marked_deleted

_TABLE = "virtual_interfaces"
#: columns that guard which port and server a row belongs to
_OWN = ("uuid", "instance_uuid")


def rows(live: Live, database: str, server: Record) -> list[Record]:
    """All rows of the server, live or deleted, ordered by id."""
    found: list[Record] = list(live.rows(database, _TABLE, {"instance_uuid": server["uuid"]}))
    return sorted(found, key=lambda row: whole(row["id"]))


def alive(found: Iterable[Record]) -> list[Record]:
    """The rows that Nova sees, one per port."""
    first: dict[str, Record] = {}
    for row in found:
        if row["deleted"] == 0:
            first.setdefault(str(row["uuid"]), row)
    return list(first.values())


def address(port: Record) -> str:
    """The address that Nova writes for a port's NIC."""
    return f"{port['mac_address']}/{port['id']}"


def completed(live: Live, database: str, server: Record, ports: Iterable[Record]) -> Iterator[Step]:
    """Give every port a live row; new ones become the last NICs, in the order of ``ports``, with their former tag."""
    found = rows(live, database, server)
    known = {row["uuid"] for row in alive(found)}
    for port in ports:
        if port["id"] in known:
            continue
        mine = [row for row in found if row["uuid"] == port["id"]]
        lost = [row for row in mine if row["deleted"] != row["id"]]
        if lost:
            _free(live, database, server, port)
            after: Values = {"deleted": 0, "deleted_at": None, "address": address(port)}
            yield change(live, database, _TABLE, lost[0], after, _OWN)
        else:
            yield _inserted(live, database, server, port, mine)


def corrected(live: Live, database: str, server: Record, owned: dict[str, Record], cached: set[str]) -> Iterator[Step]:
    """Correct the existing rows: surplus rows, wrong addresses, wrong deletion marks.

    ``owned`` are the server's ports by id, ``cached`` the ports in its cache. A wrongly marked row of a port without a
    live one is left to :func:`completed`.
    """
    found = rows(live, database, server)
    good = {row["uuid"] for row in found if row["deleted"] == 0 and _well_formed(row)}
    first = {row["uuid"]: row["id"] for row in reversed(alive(found))}
    revived: set[str] = set()
    for row in found:
        port = row["uuid"]
        if row["deleted"] == 0:
            if port not in owned and port not in cached:
                yield marked_deleted(live, database, _TABLE, row)
            elif port in owned and not _well_formed(row):
                if port in good or first[port] != row["id"]:
                    yield marked_deleted(live, database, _TABLE, row)
                else:
                    _free(live, database, server, owned[port])
                    yield change(live, database, _TABLE, row, {"address": address(owned[port])}, _OWN)
        elif row["deleted"] is not None and row["deleted"] != row["id"]:
            if port in owned and port in cached and port not in first and port not in revived:
                revived.add(port)
                continue
            yield marked_deleted(live, database, _TABLE, row, at=row["deleted_at"], guards=_OWN)


def _well_formed(row: Record) -> bool:
    return bool(row["uuid"]) and str(row["address"]).endswith(f"/{row['uuid']}")


def _inserted(live: Live, database: str, server: Record, port: Record, old: list[Record]) -> InsertRow:
    _free(live, database, server, port)
    key: Values = {"address": address(port), "deleted": 0}
    values: Values = {
        **key,
        "uuid": port["id"],
        "instance_uuid": server["uuid"],
        "network_id": None,
        "tag": old[-1]["tag"] if old else None,
        "created_at": live.now(),
        "updated_at": None,
        "deleted_at": None,
    }
    return InsertRow(database=database, table=_TABLE, key=key, values=values)


def _free(live: Live, database: str, server: Record, port: Record) -> None:
    """CannotRepair if another server's live row has the address: the key allows only one."""
    for row in live.rows(database, _TABLE, {"address": address(port), "deleted": 0}):
        raise CannotRepair(
            f"row {row['id']} of virtual_interfaces, of server {row['instance_uuid']}, has the address of port"
            f" {port['id']} of server {server['uuid']}: repair that server first"
        )
