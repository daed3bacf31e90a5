# SPDX-License-Identifier: Apache-2.0
"""Diagnosis: gathers an object's story from logs and databases, and finds the causes in the catalogue that fit it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from stackmend.app import audits, hosts, selecting
from stackmend.app.offline.bundles import Bundle
from stackmend.app.session import CloudSession
from stackmend.app.snapshots import find
from stackmend.cloud.diagnosing import histories
from stackmend.cloud.objects import UUID
from stackmend.config.settings import Config
from stackmend.drivers.logs import reader
from stackmend.drivers.logs.files import Logs
from stackmend.drivers.logs.reader import Window
from stackmend.drivers.logs.remote import RemoteLogs
from stackmend.drivers.logs.stored import StoredLogs
from stackmend.engine.diagnosing import catalogue, judge, summary
from stackmend.engine.diagnosing.gather import Known, Source, gather
from stackmend.model.diagnosing.cause import Diagnosis
from stackmend.model.diagnosing.logs import Looked, Record
from stackmend.model.diagnosing.timeline import FINDING, Entry
from stackmend.model.errors import ConfigError, StackmendError, UsageError
from stackmend.model.events import Events
from stackmend.model.finding import Finding

_EVENTS = Events(__name__)
_REQUEST = re.compile(r"req-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: the ways in which lines of all formats show that something went wrong
_TROUBLE = (
    " ERROR ", " CRITICAL ", " TRACE ", " WARNING ", " WARN ", '"ERROR"', '"CRITICAL"', '"WARNING"', " error : ",
    "[error]", "[ERROR]", "[Error]", "|ERR|", "|WARN|", ":error]", '"PRIORITY":"3"', '"PRIORITY" : "3"', "DENIED",
    "Out of memory", "oom-kill", "]: ERROR",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The question: which object, which sources, which time."""

    kind: str
    text: str  #: name or id
    logs: tuple[str, ...] = ()
    snapshot: str = ""  #: its messages are searched instead of logs
    since: float | None = None
    until: float | None = None
    offset: float = 0.0  #: seconds by which times without a zone are ahead of UTC
    hosts: tuple[str, ...] = ()  #: hosts whose logs are searched; those that matter are copied
    folders: tuple[str, ...] = ("/var/log",)  #: the log folders on those hosts
    audit: bool = True  #: whether to run the checks on the object


@dataclass(slots=True)
class _Source:
    """Logs, as a :class:`stackmend.engine.diagnosing.gather.Source`."""

    logs: Logs
    remote: RemoteLogs | None = None
    looked: Looked = field(default_factory=Looked)
    _seen: int = 0

    def search(self, words: Sequence[str], since: float | None, until: float | None) -> Iterator[Record]:
        """The messages that contain one of the words. Sizes are added up in every round; files are counted once."""
        looked, needles = Looked(), [word.removeprefix("req-").encode() for word in words]
        if self.remote is not None:
            self.remote.fetch([word.decode() for word in needles], since)
        with _EVENTS.timed("logs searched", words=len(words)) as facts:
            for file in self.logs.files:
                # in a log file named after the object, such as a guest's own, every line is about it
                own = any(word in file.name for word in words)
                yield from reader.read(file, (b"\n",) if own else needles, Window(since, until), looked)
            facts["bytes"], facts["messages"] = looked.size, looked.records
        if self._seen:
            looked.files = looked.skipped = looked.damaged = 0
        self.looked.add(looked)
        self._seen += 1


def diagnose(config: Config, asked: Asked, bundle: Bundle | None = None) -> Diagnosis:
    """What happened to an object, and why. UsageError if there is no source that could show it.

    ``bundle``: its dumps take the place of the cloud's databases, with its own configuration.
    """
    known, unread, name = _known(config, asked, bundle)
    stored = StoredLogs(find(config, asked.snapshot)) if asked.snapshot else None
    if not (asked.logs or asked.hosts or stored or known.entries or unread):
        raise UsageError(f"nothing tells of {asked.kind} {asked.text}", "Give logs: --logs /var/log, or a sosreport.")
    if not asked.logs and not asked.hosts:
        return _judged(asked, name, stored, known, {**_outside(stored, asked.since), **unread})
    with closing(Logs(asked.logs, offset=asked.offset)) as logs, ExitStack() as stack:
        source = _Source(logs, _remote(config, asked, logs, stack))
        return _judged(asked, name, source, known, unread, logs)


def _judged(
    asked: Asked, name: str, source: Source | None, known: Known, unread: dict[str, str], logs: Logs | None = None
) -> Diagnosis:
    story = gather(asked.kind, name, source, known, since=asked.since, until=asked.until, words=catalogue.words())
    more = {**(logs.unread if logs else {}), **(source.looked.unread if source else {})}
    return judge.judged(story, unread={**more, **unread})


def _outside(stored: StoredLogs | None, since: float | None) -> dict[str, str]:
    """What a snapshot cannot tell, because its messages begin later than was asked."""
    begin = stored.window.since if stored else None
    if begin is None or since is None or since >= begin:
        return {}
    return {"snapshot": f"its messages begin at {datetime.fromtimestamp(begin, UTC):%Y-%m-%dT%H:%M:%S}Z"}


def _remote(config: Config, asked: Asked, logs: Logs, stack: ExitStack) -> RemoteLogs | None:
    """The logs on hosts; None if no hosts are named, ConfigError if no access to hosts is configured."""
    if not asked.hosts:
        return None
    transport = hosts.reach(config)
    if transport is None:
        raise ConfigError("no access to hosts is configured", 'Write [hosts] and transport = "ssh".')
    stack.callback(transport.close)
    return RemoteLogs(transport, asked.hosts, asked.folders, logs)


def _known(config: Config, asked: Asked, bundle: Bundle | None) -> tuple[Known, dict[str, str], str]:
    """(what the databases know, unread source -> why, id). Without databases the object has to be given by id."""
    known = Known()
    offline = not config.databases and not config.has_account
    if offline or asked.kind == "request":
        if asked.kind == "request" and not _REQUEST.fullmatch(asked.text):
            raise UsageError(f"{asked.text!r} is not a request id", "Give it as the logs have it: req- and a UUID.")
        if asked.kind not in ("request", "host") and not UUID.fullmatch(asked.text):
            raise ConfigError(
                f"no database is configured, so that {asked.kind} {asked.text!r} cannot be looked up",
                f"Specify the {asked.kind} by ID, or set [databases].",
            )
        name = asked.text
    else:
        name = selecting.chosen(config, [(asked.kind, asked.text)])[asked.kind, asked.text].id
    if not config.databases:
        return known, {}, name
    session = CloudSession.of(config)
    with session.live() as live:
        history = histories.of(live, asked.kind, name)
    known.entries, known.ids, known.rows = history.entries, dict(history.ids), history.rows
    known.ids.pop(name, None)
    known.name = next(histories.titles(history.rows, asked.kind), "")
    unread = {f"database {source}": why for source, why in {**session.databases.errors, **history.unread}.items()}
    if asked.audit and asked.kind in ("server", "port", "volume", "host"):
        known.entries += _findings(config, name, unread, bundle)
    return known, unread, name


def _findings(config: Config, name: str, unread: dict[str, str], bundle: Bundle | None) -> list[Entry]:
    """What the checks find about the object now, or when the dumps were made."""
    try:
        report = audits.audit(config, about=(name,), settle=0, use_api=False, bundle=bundle)
    except StackmendError as problem:
        unread["audit"] = problem.message
        return []
    return [_finding(found) for found in report.findings]


def _finding(found: Finding) -> Entry:
    return Entry(
        at=time.time(), kind=FINDING, level="WARNING", text=f"{found.check}: {found.message}", service="stackmend",
        source=found.fingerprint,
    )  # fmt: skip


def summarise(
    logs: Sequence[str], since: float, until: float, *, offset: float = 0.0, snapshot: Path | None = None
) -> summary.Summary:
    """What fails most in a window, and what is new compared with the window of equal length before it."""
    before = since - (until - since)
    if snapshot is not None:
        stored = StoredLogs(snapshot)
        groups = summary.summarised(stored.search(_TROUBLE, before, until), since, until)
        return summary.Summary(
            since, until, groups, stored.looked, {**_outside(stored, before), **stored.looked.unread}
        )
    with closing(Logs(logs, offset=offset)) as found:
        source = _Source(found)
        records: Iterable[Record] = source.search(_TROUBLE, before, until)
        groups = summary.summarised(records, since, until)
        return summary.Summary(since, until, groups, source.looked, {**found.unread, **source.looked.unread})
