# SPDX-License-Identifier: Apache-2.0
"""A load as Nova, Neutron, Cinder and Placement put on their databases: processes that do one request after the other.

The statements are those of the services, joined as their ORM joins them: ``nova.db.main.api._build_instance_get`` and
``service_update``, ``neutron.services.revisions`` (a revision is a compare-and-swap), the reports of agents.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import quantiles
from typing import Any

import pymysql

_INSTANCE = """
    SELECT i.*, c.*, g.*, r.* FROM nova.instances AS i
      LEFT OUTER JOIN (nova.security_group_instance_association AS a
                       JOIN nova.security_groups AS g ON g.id = a.security_group_id AND a.deleted = 0 AND g.deleted = 0)
        ON a.instance_uuid = i.uuid AND i.deleted = 0
      LEFT OUTER JOIN nova.security_group_rules AS r ON r.parent_group_id = g.id AND r.deleted = 0
      LEFT OUTER JOIN nova.instance_info_caches AS c ON c.instance_uuid = i.uuid
     WHERE i.deleted = 0 AND i.uuid = %s"""
_PORT = """
    SELECT p.*, s.*, b.*, f.*, x.* FROM neutron.ports AS p
      JOIN neutron.standardattributes AS s ON s.id = p.standard_attr_id
      LEFT OUTER JOIN neutron.ml2_port_bindings AS b ON b.port_id = p.id
      LEFT OUTER JOIN neutron.ipallocations AS f ON f.port_id = p.id
      LEFT OUTER JOIN neutron.securitygroupportbindings AS x ON x.port_id = p.id
     WHERE p."""


@dataclass(frozen=True)
class Objects:
    """What is asked for: keys of rows."""

    servers: Sequence[tuple[int, str]]  #: id, UUID
    ports: Sequence[tuple[str, int]]  #: id, its standard attribute
    services: Sequence[int]
    agents: Sequence[str]
    volumes: Sequence[str]


def objects(connection: pymysql.Connection[Any]) -> Objects:
    """Those of a built cloud, as many as caches of services do not hold."""

    def keys(sql: str) -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return [row if len(row) > 1 else row[0] for row in cursor.fetchall()]

    return Objects(
        keys("SELECT id, uuid FROM nova.instances WHERE deleted = 0"),
        keys("SELECT id, standard_attr_id FROM neutron.ports WHERE device_owner LIKE 'compute:%'"),
        keys("SELECT id FROM nova.services WHERE deleted = 0"),
        keys("SELECT id FROM neutron.agents"),
        keys("SELECT id FROM cinder.volumes WHERE deleted = 0"),
    )


class Session:
    """One worker of a service, with its connection."""

    def __init__(self, connection: pymysql.Connection[Any], known: Objects, seed: int) -> None:
        self._connection, self._known, self._chance = connection, known, random.Random(seed)
        self.took = array("d")  #: start and duration of each statement, in turn

    def ask(self, sql: str, *parameters: Any) -> Any:
        """One statement, timed; its first row."""
        begin = time.monotonic()
        with self._connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            found = cursor.fetchone()
        self.took.extend((begin, time.monotonic() - begin))
        return found

    def commit(self) -> None:
        """Commit, timed."""
        begin = time.monotonic()
        self._connection.commit()
        self.took.extend((begin, time.monotonic() - begin))

    def show(self) -> None:
        """GET /servers/{id}: the mapping, the server, its metadata, its flavor."""
        _, uuid = self._chance.choice(self._known.servers)
        self.ask("SELECT m.*, c.* FROM nova_api.instance_mappings m LEFT OUTER JOIN nova_api.cell_mappings c"
                 " ON c.id = m.cell_id WHERE m.instance_uuid = %s LIMIT 1", uuid)  # fmt: skip
        self.ask(_INSTANCE, uuid)
        self.ask("SELECT * FROM nova.instance_system_metadata WHERE instance_uuid = %s AND deleted = 0", uuid)
        self.ask("SELECT * FROM nova.instance_extra WHERE instance_uuid = %s AND deleted = 0", uuid)
        self.ask("SELECT * FROM nova.block_device_mapping WHERE instance_uuid = %s AND deleted = 0", uuid)
        self.commit()

    def ports(self) -> None:
        """GET /ports?device_id=..., as nova-compute heals its cache."""
        self.ask(f"{_PORT}device_id = %s", self._chance.choice(self._known.servers)[1])
        self.commit()

    def save(self) -> None:
        """instance.save(): a state, and when."""
        number, uuid = self._chance.choice(self._known.servers)
        self.ask(_INSTANCE, uuid)
        self.ask("UPDATE nova.instances SET updated_at = UTC_TIMESTAMP(), progress = %s WHERE id = %s",
                 self._chance.randrange(100), number)  # fmt: skip
        self.commit()

    def wired(self) -> None:
        """The agent says that a port is up: status, and revision by compare-and-swap."""
        port, attribute = self._chance.choice(self._known.ports)
        self.ask(f"{_PORT}id = %s", port)
        (revision,) = self.ask("SELECT revision_number FROM neutron.standardattributes WHERE id = %s", attribute)
        self.ask("UPDATE neutron.ports SET status = %s WHERE id = %s", self._chance.choice(["ACTIVE", "DOWN"]), port)
        self.ask("UPDATE neutron.standardattributes SET revision_number = %s, updated_at = UTC_TIMESTAMP()"
                 " WHERE id = %s AND revision_number = %s", revision + 1, attribute, revision)  # fmt: skip
        self.commit()

    def report(self) -> None:
        """nova-compute and an agent report."""
        self.ask("UPDATE nova.services SET report_count = report_count + 1, last_seen_up = UTC_TIMESTAMP(),"
                 " updated_at = UTC_TIMESTAMP() WHERE id = %s", self._chance.choice(self._known.services))  # fmt: skip
        self.commit()
        self.ask("UPDATE neutron.agents SET heartbeat_timestamp = UTC_TIMESTAMP() WHERE id = %s",
                 self._chance.choice(self._known.agents))  # fmt: skip
        self.commit()

    def attached(self) -> None:
        """GET /volumes/{id}, and what a server has in Placement."""
        self.ask("SELECT v.*, a.* FROM cinder.volumes v LEFT OUTER JOIN cinder.volume_attachment a"
                 " ON a.volume_id = v.id AND a.deleted = 0 WHERE v.deleted = 0 AND v.id = %s",
                 self._chance.choice(self._known.volumes))  # fmt: skip
        self.ask("SELECT * FROM placement.allocations WHERE consumer_id = %s",
                 self._chance.choice(self._known.servers)[1])  # fmt: skip
        self.commit()

    def requests(self) -> Iterator[Callable[[], None]]:
        """What comes in: mostly questions."""
        kinds = (self.show, self.ports, self.save, self.wired, self.report, self.attached)
        while True:
            yield self._chance.choices(kinds, weights=(30, 20, 10, 10, 15, 15))[0]


def work(where: Mapping[str, Any], known: Objects, seed: int, think: float, over: Event, file: Path) -> None:
    """One process: requests until it is over; ``think``: mean seconds between two of them."""
    connection = pymysql.connect(**where, autocommit=False)
    session = Session(connection, known, seed)
    chance = random.Random(seed)
    for request in session.requests():
        if over.is_set():
            break
        try:
            request()
        except pymysql.OperationalError as problem:  # two agents on one port: a deadlock is tried again
            if problem.args[0] not in (1205, 1213):
                raise
            connection.rollback()
        if think:
            time.sleep(chance.expovariate(1 / think))
    connection.close()
    file.write_bytes(session.took.tobytes())


@dataclass(frozen=True)
class Window:
    """What the load did between two moments."""

    seconds: float
    statements: int
    p99: float  #: seconds

    @property
    def rate(self) -> float:
        """Statements a second."""
        return self.statements / self.seconds


class Load:
    """The processes, which have ended when the ``with`` block has; then :meth:`window` tells of any time in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._took: list[tuple[float, float]] = []

    @contextmanager
    def running(self, where: Mapping[str, Any], known: Objects, processes: int, think: float) -> Iterator[None]:
        """Load the server."""
        context = multiprocessing.get_context("spawn")
        over = context.Event()
        files = [self._folder / f"load-{number}" for number in range(processes)]
        some = [
            context.Process(target=work, args=(dict(where), known, number, think, over, file))
            for number, file in enumerate(files)
        ]
        for process in some:
            process.start()
        try:
            yield
        finally:
            over.set()
            for process in some:
                process.join(60)
        if any(process.exitcode for process in some):
            raise RuntimeError("a process of the load has failed")
        for file in files:
            values = array("d")
            values.frombytes(file.read_bytes())
            self._took += zip(values[::2], values[1::2], strict=True)

    def window(self, begin: float, end: float) -> Window:
        """What was begun and done between these times of :func:`time.monotonic`."""
        took = [duration for start, duration in self._took if begin <= start and start + duration <= end]
        if len(took) < 100:
            raise RuntimeError(f"the load did only {len(took)} statements in {end - begin:.1f} s")
        return Window(end - begin, len(took), quantiles(took, n=100)[98])
