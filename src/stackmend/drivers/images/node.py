# SPDX-License-Identifier: Apache-2.0
"""The API of one Glance node: compares the content that it delivers for an image with the records.

A node without the content answers 204, "no content". No node accepts HEAD. A node sends the recorded size as
Content-Length even if its file is shorter, and then breaks off the connection (docs/reference/api-facts.md).
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Protocol

from stackmend.cloud.image import content
from stackmend.drivers.api.session import ApiSession
from stackmend.drivers.images.pace import Pace
from stackmend.model.errors import ApiError, LostError
from stackmend.model.objects.images import Content, Held, ImageRecord

if TYPE_CHECKING:
    import requests

#: bytes held in memory per reader
CHUNK = 1 << 20
#: number of attempts while a node does not answer or is busy, and seconds between them
TRIES, PAUSE = 3, 1.0


class Digest(Protocol):
    """A hash being computed."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class ApiNode:
    """Reads from one node."""

    def __init__(self, session: ApiSession, url: str, pace: Pace, pause: float = PAUSE) -> None:
        self._session, self.url, self._pace, self._pause = session, url, pace, pause

    def read(self, image: ImageRecord, *, quick: bool) -> Content:
        """What the node has of an image. Reads all of it, or only its last byte if ``quick``.

        Content that breaks off twice at the same byte is too short; any other failure is UNREAD.
        """
        before, why = -1, ""
        for number in range(TRIES):
            if number:
                time.sleep(self._pause)
            try:
                found, size, why = self._last(image) if quick else self._whole(image)
            except LostError as problem:
                why = problem.message
                continue
            except ApiError as problem:
                return Content(held=Held.UNREAD, why=problem.message)
            if found is not None:
                return found
            if size >= 0 and size == before:
                return Content(held=Held.SIZE, size=None if quick else size, why=why, read=size)
            before = size
        return Content(held=Held.UNREAD, why=why)

    def _last(self, image: ImageRecord) -> tuple[Content | None, int, str]:
        """Request the last byte, which a file that is too short lacks. (answer, bytes before it broke off, why)."""
        last = image.size - 1
        with self._session.download(content(self.url, image.id), {"Range": f"bytes={last}-{last}"}) as answer:
            if answer.status_code in (400, 416):
                # the store cannot read at an offset, or the range that follows from the recorded size is refused
                return self._first(image)
            if (found := _refused(answer)) is not None or answer.status_code >= 500:
                return found, -1, _told(answer)
            got = self._drained(answer, None)
        if got:
            return Content(held=Held.WHOLE, size=image.size, read=got), 0, ""
        return None, 0, "its last byte is not there"

    def _first(self, image: ImageRecord) -> tuple[Content | None, int, str]:
        """Verify only that any content arrives. Returns as :meth:`_last`."""
        with self._session.download(content(self.url, image.id)) as answer:
            if (found := _refused(answer)) is not None or answer.status_code >= 500:
                return found, -1, _told(answer)
            for chunk in answer.iter_content(1024):
                if chunk:
                    return Content(held=Held.WHOLE, size=image.size, read=len(chunk)), 0, ""
        return None, 0, "nothing comes of it"

    def _whole(self, image: ImageRecord) -> tuple[Content | None, int, str]:
        """Read every byte. Returns as :meth:`_last`."""
        try:
            digest: Digest | None = hashlib.new(image.algorithm, usedforsecurity=False) if image.digest else None
        except ValueError:
            return Content(held=Held.UNREAD, why=f"this machine has no {image.algorithm}"), 0, ""
        with self._session.download(content(self.url, image.id)) as answer:
            if (found := _refused(answer)) is not None or answer.status_code >= 500:
                return found, -1, _told(answer)
            size = self._drained(answer, digest)
        if size < image.size:
            return None, size, f"it ends after {size} bytes"
        if size > image.size:
            return Content(held=Held.SIZE, size=size, why=f"{size} bytes", read=size), size, ""
        made = digest.hexdigest() if digest else ""
        same = made == image.digest.lower() if digest else True
        why = "" if same else f"its {image.algorithm} is {made[:16]}..."
        held = Held.WHOLE if same else Held.HASH
        return Content(held=held, size=size, digest=made, why=why, read=size), size, ""

    def _drained(self, answer: requests.Response, digest: Digest | None) -> int:
        """The number of bytes that arrived before the end, or before the connection broke off."""
        import requests

        size = 0
        try:
            for data in answer.iter_content(CHUNK):
                size += len(data)
                if digest is not None:
                    digest.update(data)
                self._pace.took(len(data))
        except requests.RequestException as problem:
            return max(size, _before(problem))
        return size


def _before(problem: BaseException) -> int:
    """Bytes received before a connection broke off, including the last piece, which requests does not hand over."""
    import urllib3

    if isinstance(problem, urllib3.exceptions.IncompleteRead):
        return int(problem.partial or 0)
    return max((_before(one) for one in problem.args if isinstance(one, BaseException)), default=0)


def _refused(answer: requests.Response) -> Content | None:
    """What an answer without content means; None if it has content, or if the node has an error (5xx)."""
    if answer.status_code == 204:
        return Content(held=Held.MISSING, why="no content (204)")
    if answer.status_code in (200, 206) or answer.status_code >= 500:
        return None
    return Content(held=Held.UNREAD, why=_told(answer))


def _told(answer: requests.Response) -> str:
    if answer.status_code == 404:
        return "this account does not see the image there (404)"
    if answer.status_code in (401, 403):
        return f"this account may not read it ({answer.status_code})"
    return f"the node answers {answer.status_code}"
