# SPDX-License-Identifier: Apache-2.0
"""The fake services over HTTP, faults and all."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from .fake import TOKEN, Fake, RefusedError, Reply, Seen


@contextmanager
def serving(fake: Fake) -> Iterator[Fake]:
    """The fake on a port of its own, until the end."""

    class Handler(BaseHTTPRequestHandler):
        """One request: noted, broken if it is to be, answered."""

        def handle_one(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            fake.seen.append(Seen(self.command, self.path, body, {k.lower(): v for k, v in self.headers.items()}))
            fault = next((f for f in fake.faults if f.method == self.command and f.path in self.path), None)
            if fault:
                fake.faults.remove(fault)
            if fault and fault.how == "drop":
                return self.cut()
            status, answer = (fault.status, fault.body) if fault and fault.how == "refuse" else self.answer(body)
            for event in [e for e in fake.then if e[0] == self.command and e[1] in self.path]:
                fake.then.remove(event)
                event[2]()
            if fault and fault.how == "lose":
                return self.cut()
            text = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.send_header("Content-Type", "application/json")
            self.send_header("x-openstack-request-id", f"req-{uuid.uuid4()}")
            if "/auth/tokens" in self.path:
                self.send_header("X-Subject-Token", TOKEN)
            for name, value in (fault.headers if fault else fake.headers(self.path)).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def answer(self, body: Any) -> Reply:
            """What the service says."""
            for method, pattern, handler in fake.routes:
                match = pattern.match(self.path)
                if match and method == self.command:
                    try:
                        return handler(body, *match.groups())
                    except RefusedError as no:
                        return no.status, {"error": {"message": no.words, "code": no.status}}
            return 404, {"error": {"message": f"no route {self.command} {self.path}", "code": 404}}

        def cut(self) -> None:
            """Close the connection without a word."""
            self.close_connection = True
            self.connection.close()

        do_GET = do_POST = do_PUT = do_DELETE = handle_one  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
        fake.cloud.close()
