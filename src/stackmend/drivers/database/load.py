# SPDX-License-Identifier: Apache-2.0
"""How busy a server of MariaDB or MySQL is, by its own counters: what pt-archiver and gh-ost look at."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pymysql

_COUNTERS = (
    "Threads_running", "Threads_connected", "Innodb_history_list_length", "wsrep_flow_control_paused_ns",
    "wsrep_local_state_comment",
)  # fmt: skip
_STATUS = f"SHOW GLOBAL STATUS WHERE Variable_name IN ({', '.join(map(repr, _COUNTERS))})"
#: MariaDB's, with all of its sources; MySQL's from 8.0.22 on; that of older ones. A privilege may be missing
_REPLICA = ("SHOW ALL SLAVES STATUS", "SHOW REPLICA STATUS", "SHOW SLAVE STATUS")
_BEHIND = ("Seconds_Behind_Master", "Seconds_Behind_Source")
_SYNCED = "Synced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The counters of one moment."""

    running: int  #: threads that execute a statement
    connected: int
    connections: int  #: the most that may be connected
    history: int | None = None  #: old versions of rows that are kept for open views; None: not told
    paused: int | None = None  #: nanoseconds that a Galera node was paused by flow control, ever; None: no cluster
    apart: str = ""  #: the state of a Galera node that is not synced: "Donor/Desynced"
    lag: float | None = None  #: seconds behind; infinite for a replica that is stopped; None: no replica, or not told

    @property
    def free(self) -> int:
        """Connections that are left."""
        return max(0, self.connections - self.connected)


def load_of(connection: Any) -> Load:
    """Ask the server."""
    with connection.cursor() as cursor:
        cursor.execute(_STATUS)
        told: dict[str, str] = {str(name): str(value) for name, value in cursor.fetchall()}
        cursor.execute("SELECT @@max_connections")
        ((most,),) = cursor.fetchall()
    state = told.get("wsrep_local_state_comment", "")
    is_node = bool(state) and "wsrep_flow_control_paused_ns" in told
    return Load(
        running=int(told.get("Threads_running", 0)),
        connected=int(told.get("Threads_connected", 0)),
        connections=int(most),
        history=_number(told, "Innodb_history_list_length"),
        paused=_number(told, "wsrep_flow_control_paused_ns") if is_node else None,
        apart=state if is_node and state != _SYNCED else "",
        lag=_lag(connection),
    )


def _number(told: Mapping[str, str], name: str) -> int | None:
    return int(told[name]) if name in told else None


def _lag(connection: Any) -> float | None:
    for statement in _REPLICA:
        with suppress(pymysql.MySQLError), connection.cursor() as cursor:
            cursor.execute(statement)
            names = [column[0] for column in cursor.description]
            place = next((names.index(name) for name in _BEHIND if name in names), None)
            if place is None:
                continue
            behind = [row[place] for row in cursor.fetchall()]
            return max((float("inf") if one is None else float(one) for one in behind), default=None)
    return None
