# SPDX-License-Identifier: Apache-2.0
"""The baselines: what it costs other programs to read the very same columns.

* (a) ``mariadb --quick``: the client that every operator has, with its output thrown away;
* (b) the raw drain: the same queries over the same socket, with the bytes received and thrown away unparsed. Nothing
  that reads over this protocol can be faster.
"""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterable

import pymysql
from pymysql.constants import CLIENT, COMMAND

from stackmend.tables import Table, tables
from stackmend_lab.mariadb import MariaDB


def selects(labels: Iterable[str], databases: dict[str, str]) -> list[str]:
    """One SELECT for each table and database: the columns that an audit reads, as the tables declare them.

    ``databases`` maps the names of :mod:`stackmend.model.snapshot` to names on the server.
    """
    statements = []
    for label in labels:
        for table in tables().get(label, ()):
            if not table.bulk:
                continue
            statements += [
                _select(table, schema)
                for database, schema in databases.items()
                if table.service == ("nova" if database.startswith("cell:") else database)
            ]
    return statements


def schemas(databases: dict[str, str]) -> dict[str, str]:
    """Database -> its name on the server, from URLs."""
    return {name: url.rsplit("/", 1)[1] for name, url in databases.items()}


def _select(table: Table, schema: str) -> str:
    columns = ", ".join(f"{c.expr} AS `{c.name}`" if c.expr else f"t.`{c.name}`" for c in table.columns)
    join = table.join.replace("JOIN ", f"JOIN `{schema}`.") if table.join else ""
    where = f" WHERE {table.where}" if table.where else ""
    return f"SELECT {columns} FROM `{schema}`.`{table.name}` t {join}{where}"


def client_stream(server: MariaDB, statements: list[str]) -> None:
    """(a): run all statements with one ``mariadb --quick`` and throw the output away."""
    subprocess.run(
        ["mariadb", "--no-defaults", "-u", "root", "-S", str(server.socket), "--quick", "-N", "-B"],
        input=";\n".join(statements).encode(),
        stdout=subprocess.DEVNULL,
        check=True,
    )


def raw_drain(server: MariaDB, statements: list[str]) -> int:
    """(b): run all statements over one connection; receive every byte and look at none. Returns the number of bytes.

    A last statement answers with a marker, which shows the end, so that no packet has to be parsed.
    """
    marker = uuid.uuid4().hex
    half = len(marker) // 2
    connection = pymysql.connect(
        unix_socket=str(server.socket), user="root", client_flag=CLIENT.MULTI_STATEMENTS, read_timeout=600
    )
    try:
        script = ";".join([*statements, f"SELECT CONCAT('{marker[:half]}', '{marker[half:]}')"])
        connection._execute_command(COMMAND.COM_QUERY, script)
        sock = connection._sock
        buffer, tail, total = bytearray(1 << 20), b"", 0
        wanted = marker.encode()
        while wanted not in tail:
            size = sock.recv_into(buffer)
            if not size:
                raise RuntimeError("the server closed the connection in the middle of the drain")
            total += size
            tail = (tail + bytes(buffer[max(0, size - 256) : size]))[-512:]
        return total
    finally:
        connection._force_close()
