# SPDX-License-Identifier: Apache-2.0
"""One order for messages of several hosts. Their clocks may differ, which requests logged by both hosts reveal.

A request reaches the API before it reaches the conductor, the scheduler and the compute host. If all requests reached a
host before they were sent to it, the host's clock is behind by at least that much. If all of them arrived late by
nearly the same long time, its clock is ahead, because work in a queue never waits that evenly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from stackmend.model.diagnosing.logs import Record
from stackmend.model.diagnosing.timeline import Clock, Entry

#: the order in which a request reaches the services, by the prefix of their names
_RANKS = (
    ("nova-api", 0), ("cinder-api", 0), ("neutron-api", 0), ("nova-conductor", 1), ("nova-super-conductor", 1),
    ("nova-scheduler", 2), ("cinder-scheduler", 2), ("nova-compute", 3), ("cinder-volume", 3),
)  # fmt: skip
#: seconds by which an effect may precede its cause: messages are stamped to the millisecond, but not written at once
_TOLERANCE = 0.5
#: a delay that no queue explains: all requests late by more than so many seconds, the same to within a few seconds,
#: and at least so many requests
_LATE, _EVEN, _SEVERAL = 120.0, 5.0, 3


def _rank(record: Record) -> int | None:
    return next((rank for begin, rank in _RANKS if record.service.startswith(begin)), None)


def clocks(records: Sequence[Record]) -> tuple[Clock, ...]:
    """The hosts whose clock differs from that of the reference host, which most requests reach first."""
    first: dict[str, dict[str, tuple[int, float]]] = defaultdict(dict)
    for record in records:
        rank = _rank(record)
        if record.at is None or rank is None or not record.request or not record.host:
            continue
        seen = first[record.request].get(record.host)
        if seen is None or (rank, record.at) < seen:
            first[record.request][record.host] = (rank, record.at)
    pairs: dict[tuple[str, str], list[float]] = defaultdict(list)
    for hosts in first.values():
        for one, (rank, at) in hosts.items():
            for other, (behind, later) in hosts.items():
                if one != other and rank < behind:
                    pairs[one, other].append(later - at)
    reference = _reference(pairs)
    found = []
    for (one, other), delays in sorted(pairs.items()):
        if one != reference:
            continue
        if (
            max(delays) < -_TOLERANCE
            or (min(delays) < -_TOLERANCE and median(delays) < 0)
            or (len(delays) >= _SEVERAL and min(delays) > _LATE and max(delays) - min(delays) < _EVEN)
        ):
            found.append(Clock(host=other, ahead=min(delays), reference=one, requests=len(delays)))
    return tuple(found)


def _reference(pairs: dict[tuple[str, str], list[float]]) -> str:
    """The host from which most requests came."""
    count: dict[str, int] = defaultdict(int)
    for (one, _), delays in pairs.items():
        count[one] += len(delays)
    return max(sorted(count), key=lambda host: count[host], default="")


def corrected(records: Sequence[Record], entries: Sequence[Entry]) -> tuple[list[Entry], tuple[Clock, ...]]:
    """Everything in one order, with times by one clock. A record without a time stays after the one before it."""
    found = clocks(records)
    ahead = {clock.host: clock.ahead for clock in found}
    keyed: list[tuple[tuple[float, int, str, int], Entry]] = []
    last: dict[str, float] = {}
    for record in sorted(records, key=lambda one: (one.file, one.offset)):
        at = None if record.at is None else record.at - ahead.get(record.host, 0.0)
        order = at if at is not None else last.get(record.file, float("inf"))
        if at is not None:
            last[record.file] = at
        rank = _rank(record)
        keyed.append(((order, 1 if rank is None else rank, record.file, record.offset), _entry(record, at)))
    keyed += [((one.at if one.at is not None else float("inf"), 0, one.source, 0), one) for one in entries]
    keyed.sort(key=lambda pair: pair[0])
    return [entry for _, entry in keyed], found


def _entry(record: Record, at: float | None) -> Entry:
    return Entry(
        at=at,
        told=record.at,
        text=record.text,
        host=record.host,
        service=record.service,
        level=record.level,
        logger=record.logger,
        request=record.request,
        more=record.more,
        ids=record.ids,
        source=f"{record.file}@{record.offset}",
    )
