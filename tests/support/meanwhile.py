# SPDX-License-Identifier: Apache-2.0
"""A change between the last read of an object and the request that changes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend.model.api import Request, Response
from stackmend.model.protocols import Session


class Meanwhile:
    """A session in which something happens once, right before a request with this method is sent."""

    def __init__(self, session: Session, method: str, then: Callable[[], object]) -> None:
        self._session, self._method, self._then = session, method, [then]

    def send(self, request: Request, mark: str = "") -> Response:
        """Send the request."""
        if request.method == self._method and self._then:
            self._then.pop()()
        return self._session.send(request, mark)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)
