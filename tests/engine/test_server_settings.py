# SPDX-License-Identifier: Apache-2.0
"""Whatever a server's global settings are, findings, repairs and undo are the same to the byte.

The services set their own modes per session, so the global ones can be anything and nobody would have noticed.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import pytest

from stackmend.app import plans
from stackmend.drivers.database.dialects import Address, dialect_of
from stackmend.drivers.database.dialects.mysql import MySQL, _NativeReader, _PythonReader
from stackmend.model.errors import Exit, SourceError
from stackmend_lab.mariadb import MariaDB

from ..support.damaged_cloud import Ground, Mortal, damaged, ground, unasked

#: global settings that change what statements mean, or what is kept of them; together, as far as they go together
DANGEROUS = {
    "every_mode": {
        "sql_mode": "EMPTY_STRING_IS_NULL,ANSI_QUOTES,PIPES_AS_CONCAT,IGNORE_SPACE,HIGH_NOT_PRECEDENCE,"
        "NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,NO_UNSIGNED_SUBTRACTION,TIME_ROUND_FRACTIONAL",
        "completion_type": "CHAIN",
        "autocommit": 0,
    },
    "oracle": {"sql_mode": "ORACLE,EMPTY_STRING_IS_NULL", "tx_isolation": "SERIALIZABLE", "foreign_key_checks": 0},
    "traditional": {"sql_mode": "TRADITIONAL", "tx_read_only": 1, "completion_type": "RELEASE", "time_zone": "+05:45"},
    "lax": {
        "sql_mode": "",
        "tx_isolation": "READ-UNCOMMITTED",
        "unique_checks": 0,
        "sql_auto_is_null": 1,
        "group_concat_max_len": 4,
        "sql_select_limit": 3,
        "sql_safe_updates": 1,
        "sql_big_selects": 0,
        "max_join_size": 10,
    },
    "latin": {
        "character_set_client": "latin1",
        "character_set_results": "latin1",
        "character_set_connection": "latin1",
        "character_set_server": "latin1",
        "collation_server": "latin1_german2_ci",
    },
}


@dataclass
class Land:
    """A damaged cloud on a server of its own, and what an undisturbed run makes of it."""

    server: MariaDB
    here: Ground
    file: Path
    findings: list[tuple[str, Any]]
    planted: Any
    mended: Any


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory, mortal: Mortal) -> Iterator[Land]:
    """The server, as it comes."""
    folder = tmp_path_factory.mktemp("settings")
    with MariaDB() as server, ground(server, folder, mortal) as here:
        plan = damaged(here)
        file = folder / "plan.json"
        plans.save(unasked(plan), file)
        planted, findings = here.cloud.dump(), _sorted(here.found())
        assert here.run("apply", file)["result"]["exit"] == Exit.REPAIRED
        yield Land(server, here, file, findings, planted, here.cloud.dump())


@pytest.fixture(params=DANGEROUS)
def setting(request: pytest.FixtureRequest, land: Land) -> Iterator[str]:
    """Some dangerous settings, made global, and everything as it was afterwards."""
    land.here.fresh()
    with _globally(land.server, DANGEROUS[request.param]):
        yield str(request.param)


@contextmanager
def _globally(server: MariaDB, settings: Mapping[str, object]) -> Iterator[None]:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(f'@@GLOBAL.{name}' for name in settings)}")
        before = cursor.fetchone()
        assert before is not None
        for name, value in settings.items():
            cursor.execute(f"SET GLOBAL {name} = %s", [value])
        try:
            yield
        finally:
            for name, value in zip(settings, before, strict=True):
                cursor.execute(f"SET GLOBAL {name} = %s", [value])


@pytest.mark.attack("sets every dangerous sql_mode and session default on the server, globally")
def test_findings_repairs_and_undo_are_the_same(land: Land, setting: str) -> None:
    """The same findings, the same rows after the repair, the rows of before after undo."""
    here = land.here
    assert _sorted(here.found()) == land.findings, setting
    done = here.run("apply", land.file)
    assert done["error"] is None
    assert done["result"]["exit"] == Exit.REPAIRED, done
    assert here.cloud.dump() == land.mended, setting
    assert here.run("undo", done["result"]["run"])["result"]["exit"] == Exit.CLEAN
    assert here.cloud.dump() == land.planted, setting


@pytest.mark.parametrize("reader", [_NativeReader, _PythonReader])
def test_both_readers_settle_their_session(land: Land, setting: str, reader: Callable[[Address], Any]) -> None:
    """Whole tables are streamed in the same session, whichever library does it."""
    address = Address.from_url(land.here.cloud.databases["neutron"])
    open_one = reader(address)
    try:
        open_one.begin()
        odd = "CONCAT('x', NULLIF('', 'y'), 'z'), 'a\\\\b'"
        sql = f"SELECT @@sql_mode, @@time_zone, {odd} FROM neutron.standardattributes"
        rows = [row for batch in open_one.stream(sql, 500) for row in batch]
    finally:
        open_one.close()
    assert len(rows) > 100, setting
    assert set(rows) == {(b"NO_AUTO_VALUE_ON_ZERO,STRICT_ALL_TABLES,ALLOW_INVALID_DATES", b"+00:00", b"xz", b"a\\b")}


class _Swallowing(socketserver.BaseRequestHandler):
    """A proxy that answers SETs of one variable itself, and hands on everything else."""

    server: _Proxy

    def handle(self) -> None:
        with socketserver.socket.create_connection(self.server.behind) as real:
            thread = threading.Thread(target=_pump, args=(real, self.request), daemon=True)
            thread.start()
            while packet := self._packet():
                if packet[4:5] == b"\x03" and self.server.swallows in packet:
                    # swallowed: the server is asked for something that changes nothing
                    query = b"\x03DO 0"
                    packet = len(query).to_bytes(3, "little") + packet[3:4] + query
                real.sendall(packet)

    def _packet(self) -> bytes:
        head = self._exactly(4)
        return head + self._exactly(int.from_bytes(head[:3], "little")) if head else b""

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            part = self.request.recv(size - len(found))
            if not part:
                return b""
            found += part
        return found


class _Proxy(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, behind: tuple[str, int], swallows: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Swallowing)
        self.behind, self.swallows = behind, swallows


def _pump(source: Any, target: Any) -> None:
    try:
        while part := source.recv(65536):
            target.sendall(part)
    except OSError:
        return


@pytest.mark.attack("stands between as a proxy that swallows a SET")
@pytest.mark.parametrize("write", [True, False])
@pytest.mark.parametrize(
    ("swallows", "named"),
    [
        (b"SET SESSION sql_mode", "sql_mode"),
        (b"SET SESSION time_zone", "time_zone"),
        (b"ISOLATION LEVEL", "tx_isolation"),
        (b"SET SESSION TRANSACTION READ", "tx_read_only"),
        (b"SET SESSION foreign_key_checks", "foreign_key_checks"),
    ],
)
def test_a_set_that_did_not_take_is_an_error_by_name(land: Land, write: bool, swallows: bytes, named: str) -> None:
    """The variable, what it is and what it should be; nothing is read or written through such a session."""
    others = {"sql_mode": "", "time_zone": "+02:00", "tx_isolation": "SERIALIZABLE", "tx_read_only": int(write)}
    with _globally(land.server, {named: others.get(named, 0)}):
        assert_refused(land, write, swallows, named)


def assert_refused(land: Land, write: bool, swallows: bytes, named: str) -> None:
    """Every way to open a session fails by the name of that variable."""
    with _Proxy(("127.0.0.1", land.server.port), swallows) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        url = land.here.cloud.databases["neutron"].replace(f":{land.server.port}/", f":{proxy.server_address[1]}/")
        address = Address.from_url(url)
        opened: list[Callable[[], Any]] = [lambda: dialect_of(address).connect(address, write=write)]
        if not write:
            opened += [lambda: _NativeReader(address), lambda: _PythonReader(address)]
        for each in opened:
            with pytest.raises(SourceError, match=named) as refused:
                each()
            assert "drops or overrides SET" in refused.value.hint
        proxy.shutdown()
        thread.join()


def _sorted(findings: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return sorted(findings, key=repr)


def test_a_key_of_nothing_and_an_odd_date_come_back(land: Land) -> None:
    """Rows that strict servers would refuse or renumber are put back by undo as they were."""
    address = Address.from_url(land.here.cloud.databases["neutron"])
    connection = MySQL().connect(address, write=True)
    try:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE odd (id INTEGER AUTO_INCREMENT PRIMARY KEY, at DATETIME)")
        try:
            cursor.execute("INSERT INTO odd (id, at) VALUES (0, '0000-00-00 00:00:00'), (7, '2026-02-31 00:00:00')")
            cursor.execute("SELECT id, at FROM odd ORDER BY id")
            assert list(cursor.fetchall()) == [(0, "0000-00-00 00:00:00"), (7, "2026-02-31 00:00:00")]
            with pytest.raises(pymysql.MySQLError):
                cursor.execute("INSERT INTO odd (id, at) VALUES (8, 'no date')")
        finally:
            cursor.execute("DROP TABLE odd")
    finally:
        connection.close()
