# SPDX-License-Identifier: Apache-2.0
"""Where Neutron's type drivers mark which segmentation ids are used."""

from __future__ import annotations

from stackmend.model.protocols import Live
from stackmend.model.step import Record

#: network type -> its table and the column with the id
TABLES = {
    "vlan": ("ml2_vlan_allocations", "vlan_id"),
    "vxlan": ("ml2_vxlan_allocations", "vxlan_vni"),
    "geneve": ("ml2_geneve_allocations", "geneve_vni"),
    "gre": ("ml2_gre_allocations", "gre_id"),
}


def marked(live: Live, kind: str, number: int, physical: str) -> tuple[str, Record | None, Record]:
    """(table, its row for the id if there is one, what networks with that id have in ``networksegments``)."""
    table, column = TABLES[kind]
    where: Record = {column: number}
    used: Record = {"network_type": kind, "segmentation_id": number}
    if kind == "vlan":
        where["physical_network"] = used["physical_network"] = physical
    return table, live.row("neutron", table, where), used
