# SPDX-License-Identifier: Apache-2.0
"""A request to a service and its response: the port between operations and a session with a cloud.

Implemented by :class:`stackmend.drivers.api.session.ApiSession` and :class:`stackmend_lab.simulated.Cloud`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

#: an object of a service, as its API shows it
Resource = Mapping[str, object]
#: (lowest, highest) microversion, each as (major, minor)
Versions = tuple[tuple[int, int], tuple[int, int]]


def segment(text: object) -> str:
    """The text as one path segment, with every special character quoted."""
    return quote(str(text), safe="")


@dataclass(frozen=True, slots=True)
class ApiAccount:
    """The account the services know us by: Keystone ids."""

    user: str
    project: str  #: "" if the token has no project scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. The path is relative to the service's endpoint; the microversion is the lowest that suffices."""

    service: str  #: type of the service in the catalogue: "compute", "network", "block-storage", "placement"
    method: str
    path: str
    body: Any = None
    microversion: str = ""
    #: Neutron only: the revision number the object must still have (If-Match); None: unconditional
    revision: int | None = None
    endpoint: str = ""  #: with its version, where not whichever the catalog has is asked, but this one node


@dataclass(frozen=True, slots=True)
class Response:
    """The service's response."""

    status: int
    body: Any  #: decoded JSON, else None
    ids: tuple[str, ...]  #: the service's request ids
    after: float | None  #: seconds after which to retry, if the service says so
    words: str  #: the service's own message of a refusal
    code: str = ""  #: the service's own code of a refusal, e.g. "placement.concurrent_update"
    modified: str = ""  #: the Last-Modified header, if the service sends it

    @property
    def good(self) -> bool:
        """Whether the service accepted the request."""
        return 200 <= self.status < 300
