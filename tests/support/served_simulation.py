# SPDX-License-Identifier: Apache-2.0
"""The services of a simulated cloud over HTTP: commands drain and return its hosts as they do on a real cloud."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from stackmend.model.api import Request
from stackmend_lab.cloud import Cloud
from stackmend_lab.cloud.handle import SQLiteStore
from stackmend_lab.simulated.clock import START
from stackmend_lab.simulated.cloud import VERSIONS

from ..drivers.api.fake import Fake, RefusedError, Reply
from .simulated_servers import Told

_PATHS = {
    "compute": "/compute/v2.1", "network": "/network/v2.0", "block-storage": "/volume/v3", "placement": "/placement",
    "image": "/image/v2",
}  # fmt: skip


class ServedSimulation(Fake):
    """Keystone as in the other fakes; requests for any other service go to the simulated cloud.

    Its time begins now, and passes only with requests (``latency``): the same requests get the same answers.
    """

    SERVICES: ClassVar[dict[str, tuple[str, str, str]]] = {
        **Fake.SERVICES,
        "image": ("/image/v2", "", ""),
        **{
            name: (Fake.SERVICES[name][0], *(".".join(map(str, one)) for one in offered))  # type: ignore[dict-item]
            for name, offered in VERSIONS.items()
            if offered
        },
    }

    def __init__(self, simulated: Told, folder: Path) -> None:
        super().__init__(Cloud(SQLiteStore(folder, {}, {}), datetime.now(UTC), []), folder)
        self.simulated = simulated
        simulated.clock.sleep((datetime.now(UTC) - START).total_seconds())
        self.routes[:0] = [
            (method, re.compile(re.escape(path) + r"(/.+)\Z"), self._forwarding(service, method))
            for service, path in _PATHS.items()
            for method in ("GET", "POST", "PUT", "DELETE")
        ]

    def _forwarding(self, service: str, method: str) -> Any:
        def forward(body: Any, path: str) -> Reply:
            version = self.seen[-1].headers.get("openstack-api-version", "").split(" ")[-1]
            answer = self.simulated.send(
                Request(service=service, method=method, path=path, body=body, microversion=version)
            )
            if not answer.good:
                raise RefusedError(answer.status, answer.words)
            return answer.status, answer.body

        return forward
