# SPDX-License-Identifier: Apache-2.0
"""Of ``connection_info`` only a digest of where it leads is kept, however its row was read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stackmend.drivers.snapshot.connections import digest, reduced
from stackmend.drivers.snapshot.decode import NULL, SEPARATOR, packed, plain
from stackmend.tables import Column, ColumnType

COLUMNS = (Column("id", ColumnType.INT), Column("leads_to", ColumnType.CONNECTION), Column("z"))
ISCSI = {"target_portal": "192.0.2.1:3260", "target_iqn": "iqn.example:v", "target_lun": 1, "auth_password": "s3cret"}


def novas(data: dict[str, Any], kind: str = "iscsi", **more: Any) -> str:
    """A document as Nova stores it."""
    return json.dumps({"driver_volume_type": kind, "data": data, "serial": "v", **more})


def cinders(data: dict[str, Any], kind: str = "iscsi", **more: Any) -> str:
    """A document as Cinder stores it."""
    return json.dumps({"driver_volume_type": kind, **data, "attachment_id": "a", **more})


def test_both_copies_of_a_connection_have_one_digest() -> None:
    """The nesting, what Nova adds on the host, and the secrets do not matter."""
    mine = {**ISCSI, "device_path": "/dev/sdb", "auth_password": "another"}
    assert digest(novas(mine)) == digest(cinders(ISCSI, enforce_multipath=True)) is not None


@pytest.mark.parametrize(
    ("member", "value"), [("target_portal", "192.0.2.9:3260"), ("target_iqn", "x"), ("target_lun", 2)]
)
def test_another_place_has_another_digest(member: str, value: object) -> None:
    """Each member that says where the connection leads counts."""
    assert digest(novas(ISCSI | {member: value})) != digest(cinders(ISCSI))


@pytest.mark.parametrize(
    "document",
    ["", "{", "null", "[]", '"iscsi"', "{}", novas({}), novas({"device_path": "/dev/sdb"}),
     novas(ISCSI, "fibre_channel"), novas(ISCSI, "lightos"), json.dumps({"driver_volume_type": "iscsi", "data": None}),
     json.dumps({"driver_volume_type": 7, "data": ISCSI})],
)  # fmt: skip
def test_what_does_not_say_where_it_leads_has_none(document: str) -> None:
    """Nothing is compared with it."""
    assert digest(document) is None
    assert reduced(document) == {}


def test_what_a_dump_keeps_has_the_digest_of_the_whole() -> None:
    """And none of its secrets."""
    kept = json.dumps(reduced(novas(ISCSI)))
    assert digest(kept) == digest(novas(ISCSI))
    assert "s3cret" not in kept


def test_no_document_gets_into_a_column() -> None:
    """Packed and plain rows have the same digests; NULL and unreadable documents have none, and no complaint."""
    notes: list[tuple[int, str, str]] = []
    rows = [(1, novas(ISCSI), "a"), (2, None, "b"), (3, "{", None)]
    texts = [SEPARATOR.join(NULL if v is None else str(v) for v in row).encode() for row in rows]
    told = [[1, digest(novas(ISCSI)), "a"], [2, None, "b"], [3, None, None]]
    for arrays in (
        packed(texts, COLUMNS, lambda *n: notes.append(n)),
        packed([*texts, b"4\x1f{}\x1fa\rb"], COLUMNS, lambda *n: notes.append(n)),
        plain(
            [[v.encode() if isinstance(v, str) else v for v in row] for row in rows],
            COLUMNS,
            lambda *n: notes.append(n),
        ),
    ):
        assert [list(row) for row in zip(*(array.to_pylist() for array in arrays), strict=True)][:3] == told
    assert notes == []
