# SPDX-License-Identifier: Apache-2.0
"""What is said to a service and what it answers: the port between operations and a session with a cloud.

:class:`stackmend.drivers.api.session.ApiSession` is such a session, and :class:`stackmend_lab.simulated.Cloud` is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

#: an object of a service as its API shows it
Resource = Mapping[str, object]
#: (lowest, highest) microversion, each as (major, minor)
Versions = tuple[tuple[int, int], tuple[int, int]]


def segment(text: object) -> str:
    """Text as one segment of a path, whatever it holds."""
    return quote(str(text), safe="")


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the services take us for: ids of Keystone."""

    user: str
    project: str  #: "" where the token is of none


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent. The path is below the service's endpoint; the microversion is the lowest that will do."""

    service: str  #: type of the service: "compute", "network", "block-storage", "placement"
    method: str
    path: str
    body: Any = None
    microversion: str = ""
    #: of Neutron: it is made only while this is the number of the object's revision; None: in any case
    revision: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: Any  #: of JSON, else None
    ids: tuple[str, ...]  #: the service's names of the request
    after: float | None  #: seconds after which it may be tried again, where the service says so
    words: str  #: the service's own words where it refused
    code: str = ""  #: its own code of the refusal, "placement.concurrent_update"
    modified: str = ""  #: Last-Modified of what was read, where the service tells

    @property
    def good(self) -> bool:
        """Whether the service has accepted it."""
        return 200 <= self.status < 300
