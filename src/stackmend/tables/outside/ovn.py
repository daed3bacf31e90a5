# SPDX-License-Identifier: Apache-2.0
"""OVN's northbound and southbound databases, as far as they are compared with Neutron's.

The table is named as in OVN, with the database before the dot. A value is a column of the table, or what a column that
is a map has under a key (:class:`OvnColumn`). Names that Neutron makes of ids ("neutron-<id>") are read as these ids.
"""

from __future__ import annotations

from dataclasses import dataclass

from stackmend.tables import Column, ColumnType, Table
from stackmend.tables.outside import Outside

SERVICE = "ovn"

OUTSIDE = Outside(
    service=SERVICE,
    what="OVN's databases",
    option="ovn",
    help="also read OVN's northbound and southbound databases, and compare them with Neutron's",
)
NORTHBOUND, SOUTHBOUND = "OVN_Northbound", "OVN_Southbound"
#: what Neutron puts before ids of networks, segments and routers (neutron/common/ovn/utils.py: ovn_name)
_OWN = "neutron-"


@dataclass(frozen=True, slots=True)
class OvnColumn(Column):
    """A value of a row of OVN."""

    of: str = ""  #: the column in OVN; "": named as this one
    key: str = ""  #: of a map: the value under this key
    present: bool = False  #: whether that key is there, instead of its value
    prefix: str = ""  #: taken away; a value that does not begin with it is NULL

    @property
    def source(self) -> str:
        """The column in OVN."""
        return self.of or self.name


def _ids(name: str, key: str, kind: ColumnType = ColumnType.TEXT, prefix: str = "") -> OvnColumn:
    return OvnColumn(name, kind, of="external_ids", key=f"neutron:{key}", prefix=prefix)


def _own(key: str) -> OvnColumn:
    """Whether Neutron has made it: the synchronisation of Neutron tells its objects by the same keys."""
    return OvnColumn("own", ColumnType.BOOL, of="external_ids", key=f"neutron:{key}", present=True)


_REVISION = _ids("revision", "revision_number", ColumnType.INT)

TABLES = (
    Table(
        service=SERVICE,
        name=f"{NORTHBOUND}.Logical_Switch",
        label="ovn_switches",
        columns=(OvnColumn("network", of="name", prefix=_OWN), _own("network_name"), _REVISION),
    ),
    Table(
        service=SERVICE,
        name=f"{NORTHBOUND}.Logical_Router",
        label="ovn_routers",
        columns=(OvnColumn("router", of="name", prefix=_OWN), _own("router_name"), _REVISION),
    ),
    Table(
        service=SERVICE,
        name=f"{NORTHBOUND}.Logical_Switch_Port",
        label="ovn_ports",
        columns=(
            OvnColumn("port", of="name"),
            _own("port_name"),
            OvnColumn("type"),
            OvnColumn("up", ColumnType.BOOL),
            OvnColumn("enabled", ColumnType.BOOL),
            OvnColumn("asked", of="options", key="requested-chassis"),
            _ids("owner", "device_owner"),
            _ids("network", "network_name", prefix=_OWN),
            _REVISION,
        ),
    ),
    # chassis that may serve gateways and ports outside of OVN; both tables name the chassis and nothing checks it
    *(
        Table(
            service=SERVICE,
            name=f"{NORTHBOUND}.{name}",
            label=f"ovn_{name.lower()}",
            columns=(OvnColumn("chassis", of="chassis_name"), OvnColumn("id", of="_uuid")),
            optional=True,
        )
        for name in ("Gateway_Chassis", "HA_Chassis")
    ),
    # one row: the number of the last change that chassis are to report as done
    Table(
        service=SERVICE,
        name=f"{NORTHBOUND}.NB_Global",
        label="ovn_global",
        columns=(OvnColumn("number", ColumnType.INT, of="nb_cfg"),),
    ),
    Table(
        service=SERVICE,
        name=f"{SOUTHBOUND}.Port_Binding",
        label="ovn_bindings",
        columns=(OvnColumn("port", of="logical_port"), OvnColumn("type"), OvnColumn("chassis")),
    ),
    Table(
        service=SERVICE,
        name=f"{SOUTHBOUND}.Chassis",
        label="ovn_chassis",
        columns=(
            OvnColumn("id", of="_uuid"),
            OvnColumn("name"),
            OvnColumn("host", of="hostname"),
            # "true": of another OVN that is joined to this one, written by ovn-ic
            OvnColumn("remote", of="other_config", key="is-remote", optional=True),
        ),
    ),
    Table(
        service=SERVICE,
        name=f"{SOUTHBOUND}.Chassis_Private",
        label="ovn_reports",
        columns=(
            OvnColumn("name"),
            OvnColumn("chassis"),
            OvnColumn("number", ColumnType.INT, of="nb_cfg"),
            OvnColumn("reported_at", ColumnType.TIME, of="nb_cfg_timestamp"),
        ),
        optional=True,
    ),
)
