# SPDX-License-Identifier: Apache-2.0
"""The story of an object: messages about it, its requests and whatever they touch, until nothing new is found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stackmend.cloud.diagnosing.log_lines import named
from stackmend.engine.diagnosing.clocks import corrected
from stackmend.model.diagnosing.logs import Looked, Record
from stackmend.model.diagnosing.timeline import Entry, Row, Story

#: the limits: rounds, identifiers searched for in one round, and identifiers in all
_ROUNDS, _AT_ONCE, _MOST = 5, 16, 120
#: the most messages that are kept, and the most characters in all of them
_KEPT, _SIZE = 20_000, 64_000_000
#: seconds around a story in which its requests are searched for; seconds before and after the trouble in which the
#: words of causes are
_AROUND, _BEFORE, _AFTER = 600.0, 900.0, 300.0
#: the kinds that are followed; if there is too much, the first kinds win
_ORDER = ("server", "guest", "request", "migration", "port", "volume", "image")
#: kinds that other objects share: of messages found by these, only those about trouble or about contents are kept
_SHARED = frozenset({"image", "host"})
_TELLING = re.compile(r"DELETE|/file\b|\b[45]\d\d\b.*HTTP|HTTP/[\d.]+\"? [45]\d\d|status: [45]\d\d")
#: how a line shows that something went wrong, in the formats that say so
_LEVELS = (" ERROR ", " CRITICAL ", " TRACE ", '"ERROR"', " error : ", "[error]", "[ERROR]")
_INSTANCE = re.compile(r"\[instance: ([0-9a-f-]{36})\]")


class Source(Protocol):
    """Logs that can be searched."""

    @property
    def looked(self) -> Looked:
        """What has been read so far."""
        ...

    def search(self, words: Sequence[str], since: float | None, until: float | None) -> Iterable[Record]:
        """Messages within the window that contain one of the words."""
        ...


@dataclass(slots=True)
class Known:
    """What the databases say about an object."""

    entries: list[Entry] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)  #: related ids -> their kinds
    rows: dict[str, tuple[Row, ...]] = field(default_factory=dict)
    name: str = ""


class _Gathering:
    def __init__(self, kind: str, about: str, known: Known, since: float | None, until: float | None) -> None:
        self.ids: dict[str, str] = {about: kind}
        self.ids |= {name: of for name, of in known.ids.items() if name not in self.ids}
        self.since, self.until = since, until
        self._kind, self._about = kind, about
        self._records: dict[tuple[str, int], Record] = {}
        self._size = 0
        self._asked: set[str] = set()
        self.cut = ""

    def follow(self, source: Source) -> None:
        """Search round after round, until nothing new is found or a limit is reached."""
        since, until = self.since, self.until
        if self._kind == "host":
            self._asked.add(self._about)
            for record in source.search((*_LEVELS, self._about), since, until):
                if self._about in (record.host, record.host.partition(".")[0]) or self._about in record.text:
                    self._keep(record, learn=False)
            return
        for number in range(_ROUNDS):
            words = self._next(1 if number == 0 else _AT_ONCE)
            if not words:
                return
            self._asked |= set(words)
            for record in source.search(words, since, until):
                if self._wanted(record, words):
                    self._keep(record)
            if number == 0:
                since, until = self._span(since, until)
        if left := self._next(_AT_ONCE):
            self.cut = f"not everything was followed: {len(left)} or more related identifiers are left"

    def around(self, source: Source, words: Sequence[str]) -> None:
        """Add messages with one of the words near the trouble, whatever object they are about."""
        moments = [
            r.at for r in self._records.values() if r.at is not None and r.level in ("ERROR", "CRITICAL", "WARNING")
        ]
        moments = moments or [r.at for r in self._records.values() if r.at is not None]
        if not words:
            return
        since = min(moments) - _BEFORE if moments else self.since
        until = max(moments) + _AFTER if moments else self.until
        if moments and max(moments) - min(moments) > 86400:
            since = max(moments) - 86400
        for record in source.search(words, since, until):
            if not self._of_others(record):
                self._keep(record, learn=False)

    @property
    def records(self) -> list[Record]:
        """The messages that were kept."""
        return list(self._records.values())

    def _next(self, most: int) -> list[str]:
        if len(self._asked) >= _MOST:
            self.cut = f"not everything was followed: {_MOST} identifiers are enough"
            return []
        left = [name for name in self.ids if name not in self._asked and self.ids[name] in (*_ORDER, self._kind)]
        order = {kind: number for number, kind in enumerate(_ORDER)}
        return sorted(left, key=lambda name: (name != self._about, order.get(self.ids[name], 9)))[:most]

    def _wanted(self, record: Record, words: Sequence[str]) -> bool:
        if self._of_others(record):
            return False
        hits = [word for word in words if word in record.whole or word.removeprefix("req-") in record.ids]
        if any(self.ids[word] not in _SHARED for word in hits) or self._about in hits or not hits:
            return True
        return record.level in ("ERROR", "CRITICAL", "WARNING") or _TELLING.search(record.text) is not None

    def _of_others(self, record: Record) -> bool:
        """Whether a message is only about other servers: a request may concern many."""
        servers = set(_INSTANCE.findall(record.text))
        mine = {name for name, kind in self.ids.items() if kind == "server"}
        return bool(servers and mine and not servers & mine) and self._kind in ("server", "port", "volume")

    def _keep(self, record: Record, *, learn: bool = True) -> None:
        place = record.file, record.offset
        if len(self._records) >= _KEPT or self._size >= _SIZE:
            self.cut = f"only the first {len(self._records):,} messages were kept"
            return
        if place not in self._records:
            self._size += len(record.text) + len(record.more)
        self._records[place] = record
        if not learn:
            return
        for request in (record.request, record.global_request):
            if request.startswith("req-"):
                self.ids.setdefault(request, "request")
        for kind, name in named(record.whole):
            if kind == "server" and self._kind in ("server", "port", "volume") and self._servers():
                continue  # one server's story: other servers are not followed
            self.ids.setdefault(name, kind)

    def _servers(self) -> bool:
        return any(kind == "server" for kind in self.ids.values())

    def _span(self, since: float | None, until: float | None) -> tuple[float | None, float | None]:
        moments = [record.at for record in self._records.values() if record.at is not None]
        if not moments:
            return since, until
        first, last = min(moments) - _AROUND, max(moments) + _AROUND
        return (first if since is None else max(first, since)), (last if until is None else min(last, until))


def gather(
    kind: str,
    about: str,
    source: Source | None,
    known: Known,
    *,
    since: float | None = None,
    until: float | None = None,
    words: Sequence[str] = (),
) -> Story:
    """Gather the story of an object. ``words`` are those of the causes; they are searched for around the trouble."""
    gathering = _Gathering(kind, about, known, since, until)
    if source is not None:
        gathering.follow(source)
        gathering.around(source, words)
    entries, clocks = corrected(gathering.records, known.entries)
    return Story(
        kind=kind,
        id=about,
        name=known.name,
        entries=tuple(entries),
        ids=_used(gathering.ids, about),
        rows=known.rows,
        clocks=clocks,
        looked=source.looked if source else Looked(),
        cut=gathering.cut,
    )


def _used(ids: Mapping[str, str], about: str) -> dict[str, str]:
    return {name: kind for name, kind in ids.items() if name != about}
