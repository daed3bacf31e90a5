# SPDX-License-Identifier: Apache-2.0
"""Replicas: which one stands for a server, whether it belongs to the same cloud, and how far behind it is.

A replica that has all transactions which the primary had a moment before is up to date (MariaDB's GTIDs). Otherwise the
lag is what the replica says itself, which is 0 while the connection to the primary hangs. The services' own heartbeats
may show in either case that it is more: a replica need not have all tables of its primary. An account that may not ask
it gets the time since the newest heartbeat, which is never less than the lag.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from stackmend.drivers.database.dialects import Address, Connection, dialect_of
from stackmend.model.errors import ConfigError, SilentError, SourceError
from stackmend.model.events import Events
from stackmend.model.snapshot import CELL
from stackmend.model.step import Value
from stackmend.tables.marks import BEATS, FACTS, VERSIONS

_EVENTS = Events(__name__)

#: seconds that a replica may be behind
MAX_LAG = 60.0
#: HOST, HOST:PORT, [IPV6]:PORT
_PLACE = re.compile(r"(?:\[([0-9a-fA-F:.%]+)\]|([\w.-]+))(?::(\d{1,5}))?")
_TIME = "%Y-%m-%d %H:%M:%S"

#: the newest and the oldest rows that are compared
_SAMPLE = 50
#: share of the sampled rows that the primary must still have: some may have been purged meanwhile
_SHARE = 0.5
#: the primary's last transactions, and those that the replica has, of each domain
_GTIDS = ("SELECT @@GLOBAL.gtid_binlog_pos", "SELECT @@GLOBAL.gtid_slave_pos")
#: MariaDB's variables, which say what a replica takes over, or what it leaves out: of schemas; of SCHEMA.TABLE; of
#: patterns of these
_FILTERS = tuple(f"replicate_{wild}{verb}" for wild, verb in (
    ("", "do_db"), ("", "ignore_db"), ("", "do_table"), ("", "ignore_table"), ("wild_", "do_table"),
    ("wild_", "ignore_table"),
))  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaHosts:
    """Which server is read in place of which."""

    host: str = ""  #: HOST or HOST:PORT of the replica of every server
    hosts: Mapping[str, str] = field(default_factory=dict)  #: HOST or HOST:PORT of a server -> that of its replica
    username: str = ""  #: "": the account of the primary
    password: str = field(default="", repr=False)
    max_lag: float = MAX_LAG  #: 0: any

    def of(self, addresses: Mapping[str, Address], *, whole: bool = True) -> dict[str, Address]:
        """Database -> its address on the replica, for those that have one.

        ConfigError for a name without a server, and for a replica of PostgreSQL, whose lag nobody here can tell.

        ``whole``: these are all databases; if cells are unknown, a name may be that of their server.
        """
        named = {_host_port(text): (text, _host_port(other)) for text, other in self.hosts.items()}
        every = _host_port(self.host) if self.host else None
        used, found = set[str](), dict[str, Address]()
        for name, address in addresses.items():
            if not address.host:
                continue
            text, place = next(
                (named[key] for key in ((address.host, address.port), (address.host, None)) if key in named),
                ("", every),
            )
            used.add(text)
            if place and address.scheme != "mysql":
                raise ConfigError(
                    f"[replica] names a replica of {address.redacted}: only those of MariaDB and MySQL can be read",
                    "Name under [replica.hosts] the servers whose replicas are to be read, and leave host away.",
                )
            if place:
                found[name] = self._at(address, *place)
        if not whole:
            return found
        if unused := sorted(set(self.hosts) - used):
            raise ConfigError(
                f"[replica.hosts] names {unused[0]}, but no database is there",
                "Write the host as it is in the URL of the database, or of the cell in nova_api.",
            )
        if not found:
            raise ConfigError("[replica] is of no use: no database is on a server", "Only servers have replicas.")
        return found

    def _at(self, address: Address, host: str, port: int | None) -> Address:
        options = {name: value for name, value in address.options.items() if name != "unix_socket"}
        there = replace(address, host=host, port=port or address.port, options=options)
        return there.under(self.username, self.password) if self.username else there


@dataclass(frozen=True, slots=True)
class Behind:
    """How old the data of a replica are."""

    lag: float  #: seconds
    as_of: str  #: UTC, by the primary's clock: it has at least everything that was written until then


def _host_port(text: str) -> tuple[str, int | None]:
    found = _PLACE.fullmatch(text)
    if not found:
        raise ConfigError(f"{text!r} under [replica] is no host", 'Write "HOST" or "HOST:PORT".')
    return (found[1] or found[2]).lower(), int(found[3]) if found[3] else None


def measure(pairs: Mapping[str, tuple[Address, Address]], max_lag: float) -> Behind:
    """How far a replica is behind; ``pairs``: each database of one server -> (primary, replica).

    SourceError, which names the replica, if it has stopped, is further behind than allowed, or nobody can tell.
    """
    primary, there = next(iter(pairs.values()))
    dialect = dialect_of(primary)
    with closing(dialect.connect(primary)) as source:
        now = datetime.fromisoformat(dialect.utcnow(source))
        # before the position: what has that has these as well
        beats = {name: beat for name, (one, _) in pairs.items() if (beat := _beat(source, name, one))}
        had = _gtids(source, _GTIDS[0])
    with closing(dialect.connect(there)) as copy:
        load = dialect.load(copy)
        has = _gtids(copy, _GTIDS[1])
        copied = {name: beat for name in beats if (beat := _beat(copy, name, pairs[name][1]))}
    told = load.lag if load else None
    if told is not None and math.isinf(told):
        raise SourceError(f"the replica {there.redacted} is not read: its replication has stopped")
    apart = [(beats[name] - beat).total_seconds() for name, beat in copied.items()]
    if had and all(has.get(domain, -1) >= number for domain, number in had.items()):
        lag = max([0.0, *apart])
    elif told is not None:
        lag = max([told, *apart])
    elif copied:  # it has everything until then; that the primary has no later report proves nothing
        lag = max(0.0, (now - max(copied.values())).total_seconds())
    else:
        raise SourceError(
            f"the replica {there.redacted} is not read: nobody can tell how far it is behind; its account needs SLAVE"
            " MONITOR (MySQL: REPLICATION CLIENT)"
        )
    _EVENTS.detail("replica measured", server=there.redacted, told=told, lag=lag)
    if max_lag and lag > max_lag:
        raise SourceError(
            f"the replica {there.redacted} is not read: it is {lag:.0f} s behind, more than {max_lag:.0f} ([replica]"
            " max_lag)"
        )
    return Behind(lag, (now - timedelta(seconds=math.ceil(lag))).strftime(_TIME))


def require_current(addresses: Mapping[str, Address]) -> None:
    """SourceError if the server of these databases is itself a replica, and its data are too old to be believed.

    A primary may say that its replication has stopped: it was a replica, and has taken over since. Services report to
    it, so that its newest heartbeat is young. An account that may not ask gets no answer, and nothing is said.
    """
    address = next(iter(addresses.values()))
    dialect = dialect_of(address)
    with closing(dialect.connect(address)) as connection:
        load = dialect.load(connection)
        told = load.lag if load else None
        if told is None or told <= MAX_LAG:
            return
        now = datetime.fromisoformat(dialect.utcnow(connection))
        beats = [beat for name, one in addresses.items() if (beat := _beat(connection, name, one))]
    hint = "Name its primary under [databases], and this one under [replica]."
    if math.isfinite(told):
        raise SourceError(f"{address.redacted} is a replica that is {told:.0f} s behind its primary", hint)
    if beats and (now - max(beats)).total_seconds() <= MAX_LAG:
        return
    since = f"its newest heartbeat is of {max(beats):{_TIME}} UTC" if beats else "no service reports to it"
    raise SourceError(
        f"{address.redacted} is a replica whose replication has stopped, and {since}",
        f"{hint} If it has become the primary: RESET SLAVE ALL.",
    )


def stranger(database: str, primary: Address, there: Address, versions: Sequence[str]) -> str:
    """Why the replica's database is not a copy of the primary's; "" if it is one.

    ``versions``: of the replica's migrations. SourceError if one of the two cannot be asked.
    """
    dialect = dialect_of(primary)
    table, key, fact = FACTS[_service(database)]
    with closing(dialect.connect(primary)) as source, closing(dialect.connect(there)) as copy:
        if rule := _left_out(copy, there.database):
            return f"its replication leaves tables of it out ({rule})"
        if ours := sorted(set(_versions(source)) ^ set(versions)):
            return f"their schemas differ (revision {', '.join(ours)})"
        columns = f"{dialect.quote(key)}, {dialect.quote(fact)}"
        rows: dict[Value, Value] = {}
        for order in ("DESC", "ASC"):
            sql = f"SELECT {columns} FROM {dialect.quote(table)} ORDER BY {dialect.quote(key)} {order} LIMIT {_SAMPLE}"
            rows |= _pairs(dialect.select(copy, sql))
        if not rows:
            (some,) = dialect.select(source, f"SELECT COUNT(*) FROM (SELECT 1 FROM {dialect.quote(table)} LIMIT 1) t")
            return f"it has no {table}" if some[0] else ""
        marks = ", ".join([dialect.placeholder] * len(rows))
        sql = f"SELECT {columns} FROM {dialect.quote(table)} WHERE {dialect.quote(key)} IN ({marks})"
        there_too = _pairs(dialect.select(source, sql, list(rows)))
    other = [number for number, value in rows.items() if number in there_too and there_too[number] != value]
    if other:
        return f"{len(other)} of {len(rows)} rows of {table} are others, for example {key} {other[0]!r}"
    if len(there_too) < _SHARE * len(rows):
        return f"the primary has only {len(there_too)} of {len(rows)} rows of {table} that were compared"
    return ""


def _left_out(connection: Connection, schema: str) -> str:
    """The rule by which a replica does not take over every table of a schema; "" if it does.

    MySQL has no such variables: its rules are in its status, which needs a privilege.
    """
    sql = f"SELECT {', '.join(f'@@GLOBAL.{name}' for name in _FILTERS)}"
    try:
        (told,) = dialect_of(Address("mysql", "")).select(connection, sql)
    except SilentError:
        raise
    except SourceError:
        return ""
    rules = {name: [one.strip() for one in str(text or "").split(",") if one.strip()] for name, text in zip(
        _FILTERS, told, strict=True
    )}  # fmt: skip
    for name, entries in rules.items():
        wild = name.startswith("replicate_wild_")
        ours = [one for one in entries if _alike(one.partition(".")[0], schema, wild=wild)]
        if "ignore" in name:
            broken = bool(ours)
        elif name.endswith("_db"):
            broken = bool(entries) and not ours
        else:  # one table is not all of them; tables are taken over by either of the two variables
            whole = rules["replicate_wild_do_table"]
            broken = bool(entries) and not any(
                _alike(one.partition(".")[0], schema, wild=True) and one.partition(".")[2] == "%" for one in whole
            )
        if broken:
            return f"{name} = {', '.join(entries)}"
    return ""


def _alike(pattern: str, name: str, *, wild: bool) -> bool:
    """Whether a name matches a pattern of SQL; as it is, without ``wild``."""
    if not wild:
        return pattern == name
    parts = re.findall(r"\\.|.", pattern)
    expression = "".join({"%": ".*", "_": "."}.get(part) or re.escape(part[-1]) for part in parts)
    return re.fullmatch(expression, name) is not None


def _pairs(rows: Iterable[tuple[Value, ...]]) -> dict[Value, Value]:
    return {row[0]: row[1] for row in rows}


def _service(database: str) -> str:
    return "nova" if database.startswith(CELL) else database


def _versions(connection: Connection) -> list[str]:
    dialect = dialect_of(Address("mysql", ""))
    for table, column in VERSIONS:
        try:
            return [str(row[0]) for row in dialect.select(connection, f"SELECT {column} FROM {table}")]
        except SilentError:
            raise
        except SourceError:
            continue
    return []


def _beat(connection: Connection, database: str, address: Address) -> datetime | None:
    """When a service reported last, by the rows of a database."""
    if _service(database) not in BEATS:
        return None
    table, column = BEATS[_service(database)]
    dialect = dialect_of(address)
    try:
        rows = dialect.select(connection, f"SELECT MAX({column}) FROM {dialect.qualified(address, table)}")
    except SilentError:
        raise
    except SourceError:  # the account may not read it, or the database is told to be missing when it is read
        return None
    return datetime.fromisoformat(str(rows[0][0])) if rows[0][0] else None


def _gtids(connection: Connection, sql: str) -> dict[str, int]:
    """MariaDB: domain -> sequence number; empty without them."""
    try:
        ((text,),) = dialect_of(Address("mysql", "")).select(connection, sql)
    except SilentError:
        raise
    except SourceError:  # MySQL has others
        return {}
    found: dict[str, int] = {}
    for one in str(text or "").split(","):
        domain, _, rest = one.partition("-")
        if rest:
            found[domain] = int(rest.rpartition("-")[2])
    return found
