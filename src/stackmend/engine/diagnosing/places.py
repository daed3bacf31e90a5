# SPDX-License-Identifier: Apache-2.0
"""Where in the services' code an operation failed, by the tracebacks in the logs: the likeliest files first.

The deepest frame of the earliest traceback is a good guess, but it is wrong in known ways. Decorators, RPC and WSGI
layers pass an exception on without being its cause; a client library only repeats the answer of the other service; an
object filled from a database row fails if the row is wrong, and what runs programs if it is told the wrong thing.
docs/explanation/diagnosis.md has the measured accuracy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stackmend.model.diagnosing.logs import TROUBLE, Record
from stackmend.model.diagnosing.timeline import CodePlace, Entry

_FRAME = re.compile(r'File \\?"([^"\\]+)\\?", line (\d+), in ([\w<>.]+)')
_SERVICES = ("nova", "cinder", "neutron", "glance", "keystone", "placement", "octavia", "heat")
_OWN = re.compile(rf"(?:^|/)((?:{'|'.join(_SERVICES)})/[\w/.-]+\.py)$")
#: code that only passes exceptions on
_PLUMBING = re.compile(
    r"/(?:exception_wrapper|wsgi|safe_utils|rpc|baserpc|rpcapi|hooks|coordination|notifications?|exception|utils)\.py$"
    r"|/(?:notifications|pecan_wsgi|middleware|validation|callbacks)/|neutron/db/(?:api|_\w+)\.py$|/objects/base\.py$"
    r"|/brick/|neutron/api/v2/(?:resource|base)\.py$|/openstack/(?:extensions|__init__|requestlog)\.py$|/cleanable\.py$"
)
_CLIENT = re.compile(r"(?:neutron|cinder|glance|keystone|nova)client/|openstack/(?:proxy|resource)\.py|keystoneauth1/")
#: errors raised by code that was given something wrong
_HANDED = re.compile(r"NoneType|KeyError|AttributeError|IndexError|ValueError|TypeError: '|has no attribute")
#: the weight of a frame by its depth, the deepest first; the factors for each earlier traceback and for a client's
_DEPTH = (1.0, 0.55, 0.5, 0.3, 0.2, 0.1)
_LATER, _REPEATED = 0.6, 0.2


@dataclass(frozen=True, slots=True)
class _Frame:
    file: str  #: the path from the service's package on; "" for other code
    path: str
    line: int
    function: str


def places(entries: Iterable[Entry | Record], most: int = 3) -> tuple[CodePlace, ...]:
    """The likeliest places, the best guess first; none if no traceback has a frame in a service's code."""
    scores: dict[str, float] = {}
    shown: dict[str, CodePlace] = {}
    for number, (entry, frames, suspects) in enumerate(_failures(entries)):
        weight = _LATER**number * (_REPEATED if _CLIENT.search(frames[-1].path) else 1.0)
        for part, place in zip(_DEPTH, suspects, strict=False):
            scores[place.file] = scores.get(place.file, 0.0) + weight * part
            if place.file not in shown or (place.line and not shown[place.file].line):
                shown[place.file] = CodePlace(
                    file=place.file, line=place.line, function=place.function, service=service_of(entry), at=entry.at
                )
    return tuple(shown[file] for file in sorted(scores, key=lambda file: -scores[file])[:most])


def _failures(entries: Iterable[Entry | Record]) -> list[tuple[Entry | Record, tuple[_Frame, ...], list[_Frame]]]:
    """Each failure once, in the order of the first message about it, with the longest of its tracebacks.

    The code in which it happens often logs only its own frames; whoever called that logs the same again with more.
    """
    found: dict[tuple[_Frame, ...], tuple[Entry | Record, tuple[_Frame, ...], list[_Frame]]] = {}
    for entry in _in_order(entries):
        frames = tuple(_frames(entry.whole))
        if not (suspects := _suspects(frames, entry.whole)):
            continue
        known = found.get(frames[-3:])
        if known is None or len(suspects) > len(known[2]):
            found[frames[-3:]] = (known[0] if known else entry, frames, suspects)
    return list(found.values())


def service_of(entry: Entry | Record) -> str:
    """The service whose code wrote a message: by the logger, or else by the service's name up to the first hyphen."""
    root = entry.logger.partition(".")[0]
    return root if root in _SERVICES else entry.service.partition("-")[0]


def _in_order(entries: Iterable[Entry | Record]) -> list[Entry | Record]:
    telling = [one for one in entries if "Traceback" in one.whole or (one.level in TROUBLE and 'File "' in one.whole)]
    return sorted(telling, key=lambda one: one.at if one.at is not None else float("inf"))


def _frames(text: str) -> Iterator[_Frame]:
    for path, line, function in _FRAME.findall(text):
        own = _OWN.search(path.rpartition("-packages/")[2])
        yield _Frame(own[1] if own else "", path, int(line), function)


def _suspects(frames: tuple[_Frame, ...], text: str) -> list[_Frame]:
    """One frame for each file, the deepest first, without code that only passes exceptions on."""
    own: dict[str, _Frame] = {}
    for frame in reversed(frames):
        if frame.file:
            own.setdefault(frame.file, frame)
    core = [frame for file, frame in own.items() if not _PLUMBING.search(file)] or list(own.values())
    if core and "/objects/" in next(iter(own)) and _HANDED.search(text[-400:]):
        service = core[0].file.partition("/")[0]
        rows, statements = (_Frame(f"{service}/db/{name}", "", 0, "") for name in ("api.py", "sqlalchemy/api.py"))
        core[:1] = [rows, core[0], statements]
    return core
