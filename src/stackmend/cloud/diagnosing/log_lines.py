# SPDX-License-Identifier: Apache-2.0
"""What log lines say: requests to APIs, objects and their kinds, and the steps of an operation that goes well."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
#: kind -> how a message names an object of that kind; the first group is its id
_NAMED: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern.replace("<id>", f"({_ID})"), re.IGNORECASE))
    for kind, pattern in (
        ("server", r"\[instance: <id>\]"),
        ("server", r"/servers/<id>"),
        ("server", r"\bdevice_id[=:'\" ]+<id>"),
        ("server", r"\binstance(?: with)?(?: UUID)?:? <id>"),
        ("port", r"\bport(?:_id|s)?(?:/|[=: ]+|: )(?:u?['\"])?<id>"),
        ("port", r"network-(?:vif-(?:un)?plugged|vif-deleted|changed)[- '(:,]+<id>"),
        ("volume", r"\bvolumes?(?:_id)?(?:/|[=: -]+)(?:u?['\"])?<id>"),
        ("image", r"\bimages?(?:_id)?(?:/|[=: ]+)(?:u?['\"])?<id>"),
        ("migration", r"\bmigration[=: ]+<id>"),
    )
)
_REQUEST = re.compile(rf"\breq-{_ID}")
_HTTP = re.compile(r"\b(?P<method>GET|POST|PUT|PATCH|DELETE|HEAD) (?P<path>/\S*)")
_STATUS = re.compile(r'(?:HTTP/[\d.]+"?\)? status: |HTTP/[\d.]+" |\(HTTP/[\d.]+ |status: )(?P<status>\d{3})')
_PROXIED = re.compile(r"\] \S+ (?P<back>\S+)/(?P<node>\S+) [-+\d/]+ (?P<status>\d{3}) ")
_CLIENT = re.compile(r"^(?:haproxy\[\d+\]: |\[pid: [^\]]*\] )?(?P<client>\d+\.\d+\.\d+\.\d+|[0-9a-f]*:[0-9a-f:]+)")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to an API."""

    client: str
    method: str
    path: str
    status: int
    node: str = ""  #: the name of the load balancer's back end


def asked(text: str) -> Asked | None:
    """The request that a line of an access log or of a service's own log records."""
    found = _HTTP.search(text)
    if found is None:
        return None
    status = _PROXIED.search(text) or _STATUS.search(text)
    client = _CLIENT.match(text)
    node = status.groupdict().get("node") or "" if status else ""
    return Asked(
        client["client"] if client else "",
        found["method"],
        found["path"],
        int(status["status"]) if status else 0,
        node,
    )


def named(text: str) -> Iterator[tuple[str, str]]:
    """(kind, id) of each object that a message names together with its kind."""
    for kind, pattern in _NAMED:
        for found in pattern.finditer(text):
            yield kind, found[1].lower()
    for found in _REQUEST.finditer(text):
        yield "request", found[0]


#: (description for people, pattern of the message), in the order of a healthy build
BUILD: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (step, re.compile(pattern))
    for step, pattern in (
        ("the API accepts the build", r"POST /(?:v2\.\d/|compute/)\S*servers.* (?:202|status: 202)|^create$"),
        ("a host begins to build", r"compute__do_build_and_run_instance$|\] Starting instance"),
        ("the host claims room for it", r"Claim successful|Attempting claim"),
        ("the disk is made of the image", r"Creating image"),
        ("its interfaces are plugged", r"Successfully plugged vif|VM Started \(Lifecycle|network-vif-plugged"),
        ("the guest is started", r"Instance spawned successfully|Took [\d.]+ seconds to spawn the instance"),
        ("the build ends", r"Took [\d.]+ seconds to build instance"),
    )
)
