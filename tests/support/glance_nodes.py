# SPDX-License-Identifier: Apache-2.0
"""Glance with several nodes: records in an embedded cloud, and for each node a folder that is served over HTTP.

A node answers like a real one (docs/reference/api-facts.md; tests/lab/control_plane/test_glance_nodes.py).
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from stackmend_lab.cloud import Cloud

from ..drivers.api.fake import TOKEN, Fake, RefusedError, Reply

_FILE = re.compile(r"/v2/images/([^/]+)/file\Z")
_PAGE = 2  #: the number of images on a page


class GlanceFake(Fake):
    """Glance's records, next to the other services."""

    SERVICES: ClassVar[dict[str, tuple[str, str, str]]] = {**Fake.SERVICES, "image": ("/image/v2", "", "")}

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        super().__init__(cloud, folder)
        self.nodes: dict[str, GlanceNode] = {}
        self.stores: list[str] = ["file"]
        self.in_stores: dict[str, list[str]] = {}
        self.catalog: list[str] = []  #: URLs of the image service in addition to its own
        own = [(method, re.compile(pattern + r"\Z"), handler) for method, pattern, handler in self._own()]
        self.routes = own + self.routes

    def _own(self) -> Iterator[tuple[str, str, Callable[..., Reply]]]:
        one = "([^/?]+)"
        yield "GET", "/image/v2/?", self.glance
        yield "GET", r"/image/v2/images\?(.*)", self.list_images
        yield "GET", f"/image/v2/images/{one}", lambda _, name: (200, self.image(name))
        yield "GET", "/image/v2/info/stores", lambda _: (200, {"stores": [{"id": name} for name in self.stores]})
        yield "POST", f"/image/v2/images/{one}/import", self.bring
        yield "DELETE", f"/image/v2/stores/{one}/{one}", self.drop

    def glance(self, _: Any) -> Reply:
        links = [{"rel": "self", "href": f"{self.url}/image/v2/"}]
        return 200, {"versions": [{"id": "v2.16", "status": "CURRENT", "links": links}]}

    def image(self, name: str) -> dict[str, Any]:
        """An image as Glance shows it."""
        row = self.need("Image", "glance", "SELECT * FROM images WHERE id = :id AND deleted = 0", id=name)
        keys = ("id", "name", "status", "size", "owner", "checksum", "os_hash_algo", "os_hash_value")
        return {key: row[key] for key in keys} | {"stores": ",".join(self.in_stores.get(name, ["file"]))}

    def list_images(self, _: Any, query: str) -> Reply:
        """A page of images; the list of hidden images is empty."""
        hidden = "os_hidden=true" in query
        rows = [] if hidden else self.cloud.rows("glance", "SELECT id FROM images WHERE deleted = 0 ORDER BY id")
        marker = re.search(r"marker=([^&]+)", query)
        names = [str(row["id"]) for row in rows]
        start = names.index(marker[1]) + 1 if marker else 0
        some = names[start : start + _PAGE]
        plain = re.sub(r"&?marker=[^&]+", "", query)
        more = {"next": f"/v2/images?{plain}&marker={some[-1]}"} if names[start + _PAGE :] else {}
        return 200, {"images": [self.image(name) for name in some], **more}

    def bring(self, body: Any, name: str) -> Reply:
        """copy-image: copy from the folder of the node that receives the request, at once."""
        (store,) = body["stores"]
        held = self.in_stores.setdefault(name, ["file"])
        if store in held:
            raise RefusedError(400, f"Image is already present at store '{store}'")
        held.append(store)
        return 202, None

    def drop(self, _: Any, store: str, name: str) -> Reply:
        self.in_stores[name].remove(store)
        return 204, None

    def record(self, content: bytes, *, name: str = "", location: str = "file", **more: Any) -> str:
        """Record an active image with this content; returns its id."""
        image = str(uuid.uuid4())
        algorithm, digest = "sha512", hashlib.sha512(content).hexdigest()
        values = {
            "id": image, "name": name or f"image-{image[:6]}", "status": "active", "visibility": "public",
            "size": len(content), "min_disk": 0, "min_ram": 0, "created_at": self.cloud.ago(9000),
            "updated_at": self.cloud.ago(9000), "deleted": 0, "disk_format": "raw", "container_format": "bare",
            "owner": "p" * 32, "protected": 0, "os_hidden": 0, "os_hash_algo": algorithm, "os_hash_value": digest,
            "checksum": hashlib.md5(content, usedforsecurity=False).hexdigest(), **more,
        }  # fmt: skip
        self.cloud.insert("glance", "images", **values)
        if location:
            self.locate(image, location)
        return image

    def locate(self, image: str, scheme: str) -> None:
        """Record a location of an image."""
        self.cloud.insert(
            "glance", "image_locations", image_id=image, value=f"{scheme}:///store/{image}", deleted=0,
            created_at=self.cloud.ago(9000), status="active",
        )  # fmt: skip


class GlanceNode:
    """One glance-api with a filesystem store of its own."""

    def __init__(self, fake: GlanceFake, folder: Path) -> None:
        self.fake, self.folder = fake, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.url = ""
        self.asked: list[tuple[str, str]] = []  #: (image, Range)
        self.busy = 0  #: how many requests are answered with 503
        self.slow = 0.0  #: seconds between two pieces of 64 KiB each

    def put(self, image: str, content: bytes, *, days: float = 30) -> Path:
        """Put a file into its store that was not touched for so long."""
        path = self.folder / image
        path.write_bytes(content)
        then = time.time() - days * 86_400
        os.utime(path, (then, then))
        return path

    def answer(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        """Answer with the content of an image, like glance.api.v2.image_data."""
        asked = handler.headers.get("Range") or ""
        self.asked.append((name, asked))
        if handler.headers.get("X-Auth-Token") != TOKEN:
            return self._empty(handler, 401)
        if self.busy:
            self.busy -= 1
            return self._empty(handler, 503)
        try:
            size = int(self.fake.image(name)["size"])
        except RefusedError:
            return self._empty(handler, 404)
        path = self.folder / name
        if not path.exists():
            return self._empty(handler, 204)
        first, last = (int(part) for part in asked.removeprefix("bytes=").split("-")) if asked else (0, size - 1)
        handler.send_response(206 if asked else 200)
        handler.send_header("Content-Length", str(last - first + 1))
        if asked:
            handler.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        handler.end_headers()
        # the file as it is, up to the promised length: a shorter one ends early
        content = path.read_bytes()[first : last + 1]
        for at in range(0, len(content), 65536):
            handler.wfile.write(content[at : at + 65536])
            time.sleep(self.slow)
        handler.close_connection = True

    def _empty(self, handler: BaseHTTPRequestHandler, status: int) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()


@contextmanager
def serving_nodes(*nodes: GlanceNode) -> Iterator[None]:
    """Serve each node on a port of its own until the end."""
    with ExitStack() as until:
        for node in nodes:
            until.enter_context(_served(node))
        yield


@contextmanager
def _served(node: GlanceNode) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        """One request for content."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = _FILE.match(self.path)
            if found is None:
                return node._empty(self, 404)
            node.answer(self, found[1])

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    node.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
