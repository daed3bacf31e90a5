# SPDX-License-Identifier: Apache-2.0
"""Verifies images: reads the content of every active image on every Glance node, and compares it with the records."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

from stackmend.app import apis, hosts
from stackmend.app.image_records import Recorded, recorded
from stackmend.app.session import CloudSession, no_progress
from stackmend.config.settings import Config
from stackmend.drivers.hosts.transport import Transport
from stackmend.drivers.images.ledger import Ledger
from stackmend.drivers.images.node import ApiNode
from stackmend.drivers.images.pace import Pace, StoppedError
from stackmend.engine.auditing import catalogue
from stackmend.hosts import image_stores
from stackmend.hosts.image_stores import StoreSpec
from stackmend.model.errors import ConfigError, Exit, SourceError, UsageError
from stackmend.model.finding import Finding, State, finding_of
from stackmend.model.objects.images import Content, Held, ImageRecord, Node, StoreVisit
from stackmend.model.protocols import Completed, Hosts, Progress

_MEBIBYTE = 1 << 20
#: the check that finds a cause of damage, but no damage itself
_TOLD = "image-stores-unshared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to verify, and how."""

    images: Sequence[str] = ()  #: ids or names; empty: every active image
    endpoints: Sequence[str] = ()
    stores: Sequence[str] = ()
    quick: bool = False
    parallel: int = 4
    rate: int = 0  #: MiB per second for all readers together; 0: no limit
    state: str = ""  #: file that records what has been read already
    anew: bool = False


@dataclass(slots=True, kw_only=True)
class Verified:
    """The result of a verification."""

    nodes: list[Node]
    images: int
    empty: int  #: number of images that have no content by design
    quick: bool
    findings: list[Finding] = field(default_factory=list)
    unread: list[tuple[str, str, str]] = field(default_factory=list)  #: (node, image, why)
    incomplete: dict[str, str] = field(default_factory=dict)  #: check -> why it has no result
    balanced: bool = False  #: only one URL is known, and it may be that of a load balancer
    before: int = 0  #: number of contents that an earlier attempt has read
    seconds: float = 0.0

    @property
    def read(self) -> int:
        """Number of bytes read."""
        return sum(content.read for node in self.nodes for content in node.held.values())

    @property
    def exit(self) -> Exit:
        """7 if anything could not be read, else 3 if anything is wrong, else 0.

        Stores that are not shared are reported, but do not count: every image has just been verified on every node.
        """
        if self.unread or self.incomplete:
            return Exit.INCOMPLETE
        return Exit.FINDINGS if any(one.check != _TOLD for one in self.findings) else Exit.CLEAN


class _Reader(Protocol):
    """Reads the content of images on one node."""

    node: Node

    def read(self, image: ImageRecord, *, quick: bool) -> Content:
        """What the node has of the image."""
        ...


@dataclass(slots=True)
class _OfApi:
    node: Node
    there: ApiNode

    def read(self, image: ImageRecord, *, quick: bool) -> Content:
        return self.there.read(image, quick=quick)


@dataclass(slots=True)
class _OfStore:
    node: Node  #: with what the sizes of its files say
    hosts: Hosts
    store: StoreSpec
    rate: int

    def read(self, image: ImageRecord, *, quick: bool) -> Content:
        seen = self.node.held[image.id]
        return seen if quick else image_stores.read(self.hosts, self.store, image, seen, self.rate)


@dataclass(slots=True)
class _Ending:
    """Runs commands on hosts, and ends them when the pace is stopped (:class:`stackmend.model.protocols.Hosts`)."""

    transport: Transport
    pace: Pace

    def run(self, host: str, argv: Sequence[str], *, limit: float = 60.0, stdin: bytes = b"") -> Completed:
        running = self.transport.start(host, argv, limit=limit, stdin=stdin)
        while (done := running.poll(1.0)) is None:
            if self.pace.over:
                running.end()
                raise StoppedError
        return done


def verify(config: Config, asked: Asked, progress: Progress = no_progress) -> Verified:
    """Read every image on every node, and run the checks on the result. Nothing is changed.

    UsageError for an unknown image or store, ConfigError or ApiError if there is nothing to query, SourceError if
    Glance's records or a store cannot be read.
    """
    begun = time.monotonic()
    session = CloudSession.looking(config)
    wanted = recorded(session).chosen(asked.images)
    with ExitStack() as until:
        pace = Pace(asked.rate * _MEBIBYTE)
        readers, balanced = _readers(config, asked, wanted, pace, until)
        names = [reader.node.name for reader in readers]
        ledger = Ledger(Path(asked.state) if asked.state else _place(config, names, asked.quick), anew=asked.anew)
        before = ledger.number
        done = False
        try:
            held = _every(readers, wanted, asked, ledger, pace, progress)
            done = True
        finally:
            ledger.close(over=done)
    # read the records again: a file that seemed to belong to no image may have been an upload in progress
    known = recorded(session).known if wanted.known is not None else None
    nodes = [replace(reader.node, held=held[reader.node.name]) for reader in readers]
    found = Verified(
        nodes=nodes, images=len(wanted.images), empty=wanted.empty, quick=asked.quick, balanced=balanced,
        before=before,
    )  # fmt: skip
    both = None if known is None or wanted.known is None else known | wanted.known
    judge(found, config, wanted.images, both, whole=not asked.images)
    found.seconds = round(time.monotonic() - begun, 1)
    return found


def judge(
    found: Verified, config: Config, images: Mapping[str, ImageRecord], known: frozenset[str] | None, *, whole: bool
) -> None:
    """Run the checks on what was read. ``whole``: every image was read, not only those named."""
    found.unread = [
        (node.name, name, content.why)
        for node in found.nodes
        for name, content in node.held.items()
        if content.held is Held.UNREAD
    ]
    visit = StoreVisit(nodes=tuple(found.nodes), images=images, known=known, now=time.time())
    for name, check in catalogue.store_checks().items():
        own = replace(visit, ages={**check.ages, **config.ages.get(name, {})})
        try:
            found.findings += [finding_of(check, row, State.CONFIRMED) for row in check.find(own)]
        except SourceError as problem:
            # such a check judges files: without a store, or for single images, it has nothing to answer
            if whole and _stored(found.nodes):
                found.incomplete[name] = problem.message


def _stored(nodes: Iterable[Node]) -> bool:
    return any(not node.api for node in nodes)


def _readers(
    config: Config, asked: Asked, wanted: Recorded, pace: Pace, until: ExitStack
) -> tuple[list[_Reader], bool]:
    """(the readers, one per node; whether the only URL may be that of a load balancer)."""
    endpoints = list(dict.fromkeys(asked.endpoints or (() if asked.stores else config.image_endpoints)))
    stores = [StoreSpec.of(one) for one in asked.stores or (() if asked.endpoints else config.image_stores)]
    balanced = False
    found: list[_Reader] = []
    if endpoints or not stores:
        session = apis.sign_in(config)
        until.callback(session.close)
        if not endpoints:
            nova = config.nova_settings.get("glance.api_servers", "").split(",")
            endpoints = [url for url in map(str.strip, nova) if "://" in url] or session.endpoints("image")
            balanced = len(endpoints) < 2
        if not endpoints:
            raise ConfigError("the catalog has no image service", "Name the nodes: --endpoint URL.")
        for url in endpoints:
            name = _checked(url)
            found.append(_OfApi(Node(name=name, api=True), ApiNode(session, name, pace)))
    if stores:
        transport = hosts.reach(config)
        if transport is None:
            raise ConfigError("no access to hosts is configured", 'Write [hosts] and transport = "ssh".')
        until.enter_context(closing(transport))
        rate = max(1, asked.rate // min(asked.parallel, len(stores))) if asked.rate else 0
        for store in dict.fromkeys(stores):
            node = image_stores.by_size(image_stores.listed(transport, store), wanted.images)
            found.append(_OfStore(node, _Ending(transport, pace), store, rate))
    return found, balanced


def _checked(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r} is no URL of a node", "Write it with its port: http://10.0.0.11:9292.")
    return url.rstrip("/").removesuffix("/v2")


def _place(config: Config, names: Sequence[str], quick: bool) -> Path:
    """The file that records what has been read already; one per set of nodes and way of reading."""
    mark = hashlib.sha256("\n".join([*sorted(names), str(quick)]).encode()).hexdigest()[:12]
    return config.state / f"image-verify-{mark}.jsonl"


def _every(
    readers: Sequence[_Reader], wanted: Recorded, asked: Asked, ledger: Ledger, pace: Pace, progress: Progress
) -> dict[str, dict[str, Content]]:
    """Node -> image -> content. A few are read at a time, from each node in turn, so that the load is spread."""
    held: dict[str, dict[str, Content]] = {reader.node.name: {} for reader in readers}
    number = len(readers) * len(wanted.images)
    todo = ((reader, image) for image in wanted.images.values() for reader in readers)

    def one(reader: _Reader, image: ImageRecord) -> Content:
        name = reader.node.name
        if (before := ledger.known(name, image, quick=asked.quick)) is not None:
            return before
        content = reader.read(image, quick=asked.quick)
        if content.held is Held.WHOLE:
            ledger.note(name, image, quick=asked.quick)
        return content

    with ThreadPoolExecutor(asked.parallel) as pool:
        running: dict[Future[Content], tuple[_Reader, ImageRecord]] = {}
        try:
            while True:
                for reader, image in islice(todo, asked.parallel - len(running)):
                    running[pool.submit(one, reader, image)] = reader, image
                if not running:
                    return held
                progress("reading images", sum(map(len, held.values())), number)
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    reader, image = running.pop(future)
                    held[reader.node.name][image.id] = future.result()
        finally:
            pace.stop()
