# SPDX-License-Identifier: Apache-2.0
"""Stories are gathered until nothing new comes, within bounds, and put into one order by one clock."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from stackmend.engine.diagnosing import gather as gathering
from stackmend.engine.diagnosing.clocks import clocks, corrected
from stackmend.engine.diagnosing.gather import Known, gather
from stackmend.engine.diagnosing.summary import template
from stackmend.model.diagnosing.logs import UUID, Looked, Record
from stackmend.model.diagnosing.timeline import Entry


def name(text: str) -> str:
    """An id."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, text))


SERVER, OTHER, PORT, VOLUME = name("server"), name("other"), name("port"), name("volume")
FIRST, SECOND = f"req-{name('first')}", f"req-{name('second')}"


def record(
    at: float | None, text: str, *, host: str = "c01", service: str = "nova-compute", request: str = "", **more: str
) -> Record:
    """A message; its place is its own."""
    ids = frozenset(UUID.findall(f"{request[4:]} {text}"))
    return Record(
        at=at,
        text=text,
        host=host,
        service=service,
        request=request,
        ids=ids,
        file=f"{host}/{service}",
        offset=next(_PLACES),
        **more,
    )


def _places() -> Iterator[int]:
    yield from range(10**9)


_PLACES = _places()


@dataclass
class Fake:
    """Logs in memory."""

    records: list[Record]
    looked: Looked = field(default_factory=Looked)
    asked: list[list[str]] = field(default_factory=list)

    def search(self, words: Sequence[str], since: float | None, until: float | None) -> Iterator[Record]:
        """As a reader does it."""
        self.asked.append(list(words))
        for one in self.records:
            within = one.at is None or ((since is None or one.at >= since) and (until is None or one.at <= until))
            if within and any(word in one.whole or word.removeprefix("req-") in one.ids for word in words):
                yield one


def test_followed_until_nothing_new_comes() -> None:
    """Server -> its request -> the port -> a request of another service -> the volume."""
    logs = Fake(
        [
            record(1, f"[instance: {SERVER}] Claim successful", request=FIRST),
            record(2, f"plugging port {PORT}", request=FIRST),
            record(3, f"Port {PORT} bound", service="neutron-server", request=SECOND),
            record(4, f"volume {VOLUME} asked for", service="neutron-server", request=SECOND),
            record(5, f"volume {VOLUME}: it is there", service="cinder-volume"),
            record(5, f"volume {name('foreign')}: it is there", service="cinder-volume"),
        ]
    )
    story = gather("server", SERVER, logs, Known())
    assert [entry.at for entry in story.entries] == [1, 2, 3, 4, 5]
    assert story.ids == {FIRST: "request", PORT: "port", SECOND: "request", VOLUME: "volume"}
    assert story.cut == ""


def test_what_the_databases_name_is_followed_too() -> None:
    """A request that no message of the server names."""
    logs = Fake([record(1, "Failed to bind", service="neutron-server", request=SECOND)])
    story = gather("server", SERVER, logs, Known(ids={SECOND: "request"}))
    assert [entry.text for entry in story.entries] == ["Failed to bind"]


def test_other_servers_of_a_request_are_left_out() -> None:
    """Ten servers are made by one request: nine have stories of their own."""
    logs = Fake(
        [
            record(1, f"[instance: {SERVER}] Claim successful", request=FIRST),
            record(2, f"[instance: {OTHER}] Claim successful", request=FIRST),
            record(3, "something for all of them", request=FIRST),
        ]
    )
    story = gather("server", SERVER, logs, Known())
    assert [entry.at for entry in story.entries] == [1, 3]
    assert OTHER not in story.ids


def test_others_of_an_image_are_left_out_unless_they_fail() -> None:
    """A thousand servers use it."""
    image = name("image")
    logs = Fake(
        [
            record(1, f"[instance: {SERVER}] fetching image {image}", level="ERROR"),
            record(2, f"image {image} is shown to somebody", service="glance-api"),
            record(3, f"image {image} is not there", service="glance-api", level="ERROR"),
        ]
    )
    assert [entry.at for entry in gather("server", SERVER, logs, Known()).entries] == [1, 3]


@pytest.mark.parametrize(("bound", "value"), [("_MOST", 10), ("_KEPT", 5), ("_SIZE", 200), ("_ROUNDS", 2)])
def test_bounds_are_said(monkeypatch: pytest.MonkeyPatch, bound: str, value: int) -> None:
    """A story without an end is cut, and the answer says so."""
    monkeypatch.setattr(gathering, bound, value)
    chain = [f"req-{name(str(n))}" for n in range(200)]
    records = [record(0, f"[instance: {SERVER}] begins", request=chain[0])]
    records += [record(n, f"{one} leads to {chain[n + 1]}", request=one) for n, one in enumerate(chain[:-1])]
    story = gather("server", SERVER, Fake(records), Known())
    assert story.cut
    assert len(story.entries) < 60


def test_words_of_causes_are_looked_for_around_the_trouble() -> None:
    """Whatever object they name; not a day before."""
    logs = Fake(
        [
            record(100_000, f"[instance: {SERVER}] failed", level="ERROR"),
            record(100_010, "Out of memory: Killed process 7", service="kernel"),
            record(1_000, "Out of memory: Killed process 6", service="kernel"),
        ]
    )
    story = gather("server", SERVER, logs, Known(), words=("Out of memory",))
    assert [entry.at for entry in story.entries] == [100_000, 100_010]


def _both(delays: list[float]) -> list[Record]:
    """Requests that the API logs, and the host these seconds later."""
    records = []
    for number, delay in enumerate(delays):
        request = f"req-{name(str(number))}"
        records.append(record(1000.0 * number, "POST", host="ctl1", service="nova-api", request=request))
        records.append(record(1000.0 * number + delay, "works", host="c01", request=request))
    return records


@pytest.mark.parametrize(
    ("delays", "ahead"),
    [
        ([0.1, 3.0, 0.4], None),  # queues
        ([-120.5, -119.0], -120.5),  # before it was sent
        ([3600.2, 3600.9, 3601.5], 3600.2),  # late by an hour, evenly: local time
        ([3600.2, 400.0, 90.0], None),  # a busy queue
        ([3600.2], None),  # one late message proves nothing
        ([-0.2, 0.1], None),  # written in milliseconds, not at once
    ],
)
def test_clocks_are_compared_by_requests(delays: list[float], ahead: float | None) -> None:
    """Only what cannot be otherwise is corrected."""
    found = clocks(_both(delays))
    assert [(clock.host, clock.reference, clock.ahead) for clock in found] == (
        [("c01", "ctl1", pytest.approx(ahead))] if ahead is not None else []
    )


def test_the_order_is_that_of_the_corrected_times() -> None:
    """Messages come after the requests that caused them; what has no time stays behind what stood before it."""
    records = _both([-120.0, -119.0])
    undated = record(None, "no time", host="c01")
    entries, found = corrected([*records, undated], [Entry(at=500.0, text="a row", kind="action")])
    assert len(found) == 1
    assert [entry.text for entry in entries] == ["POST", "works", "a row", "POST", "works", "no time"]
    assert entries[1].told == -120.0
    assert entries[1].at == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"[instance: {SERVER}] took 1.2 s on 10.0.0.1:80", f"[instance: {OTHER}] took 33 s on 10.9.0.1:8080"),
        ("Guest instance-0000001a: 'disk a' is fa:16:3e:00:00:01", "Guest instance-0000002b: 'x' is fa:16:3e:ff:00:01"),
    ],
)
def test_templates_leave_out_what_differs(one: str, other: str) -> None:
    """Two messages of one kind have one template."""
    assert template(one) == template(other)
    assert template(one) != template("something else")
